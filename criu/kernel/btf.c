// SPDX-License-Identifier: GPL-2.0-only
/*
 * BTF: a header, then types one after the other, numbered from 1, each with an extent that its kind
 * and count tell, then names. It comes from the kernel, but all of it is checked like any other
 * file: offsets, extents and numbers of types.
 */
#include "kernel/btf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/cleanup.h"
#include "util/alloc.h"
#include "util/fd.h"

#define KIND_ENUM64   19 /* linux/btf.h of 6.0 and later */
#define MAX_NESTING   8
#define MAX_BTF_BYTES (256u << 20)

struct btf_types {
	char *data;
	const char *names;
	size_t names_size;
	uint32_t *offsets; /* of type id in data; [0] is void and means nothing */
	uint32_t n;        /* with void */
};

/* Bytes behind the head of a type; -1: a kind that we do not know. */
static ssize_t extra_size(const struct btf_type *type)
{
	size_t n = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return sizeof(uint32_t);
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return (ssize_t)(n * sizeof(struct btf_member));
	case BTF_KIND_ENUM:
		return (ssize_t)(n * sizeof(struct btf_enum));
	case KIND_ENUM64:
		return (ssize_t)(n * 12);
	case BTF_KIND_FUNC_PROTO:
		return (ssize_t)(n * sizeof(struct btf_param));
	case BTF_KIND_DATASEC:
		return (ssize_t)(n * sizeof(struct btf_var_secinfo));
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return 0;
	default:
		return -1;
	}
}

static int index_types(struct btf_types *types, size_t at, size_t end)
{
	size_t capacity = 0;

	types->n = 1;
	while (at < end) {
		const struct btf_type *type = (const struct btf_type *)(types->data + at);
		ssize_t extra;

		if (end - at < sizeof(*type))
			return -EBADMSG;
		extra = extra_size(type);
		if (extra < 0 || (size_t)extra > end - at - sizeof(*type))
			return -EBADMSG;
		types->offsets = array_grow(types->offsets, &capacity, types->n + 1,
					    sizeof(*types->offsets));
		types->offsets[types->n++] = (uint32_t)at;
		at += sizeof(*type) + (size_t)extra;
	}
	return 0;
}

static bool lies_within(size_t base, uint32_t offset, uint32_t length, size_t size)
{
	return base <= size && offset <= size - base && length <= size - base - offset;
}

/* Takes data. */
static int index_all(char *data, size_t size, struct btf_types **ret)
{
	struct btf_types *types = xcalloc(1, sizeof(*types));
	const struct btf_header *head = (const struct btf_header *)data;
	int err = -EBADMSG;

	types->data = data;
	if (size >= sizeof(*head) && size <= MAX_BTF_BYTES && head->magic == BTF_MAGIC &&
	    head->hdr_len >= sizeof(*head) && head->hdr_len % 4 == 0 && head->type_off % 4 == 0 &&
	    lies_within(head->hdr_len, head->type_off, head->type_len, size) &&
	    lies_within(head->hdr_len, head->str_off, head->str_len, size) && head->str_len) {
		size_t start = head->hdr_len + head->type_off;

		types->names = data + head->hdr_len + head->str_off;
		types->names_size = head->str_len;
		if (types->names[types->names_size - 1] == '\0')
			err = index_types(types, start, start + head->type_len);
	}
	if (err < 0) {
		btf_free(types);
		return err;
	}
	*ret = types;
	return 0;
}

int btf_parse(const void *data, size_t size, struct btf_types **ret)
{
	return index_all(xmemdup(data, size), size, ret);
}

int btf_read(struct btf_types **ret)
{
	char *data;
	size_t size;
	int err = fd_read_file(AT_FDCWD, "/sys/kernel/btf/vmlinux", &data, &size);

	return err < 0 ? err : index_all(data, size, ret);
}

void btf_free(struct btf_types *types)
{
	if (!types)
		return;
	free(types->offsets);
	free(types->data);
	free(types);
}

static const struct btf_type *type_at(const struct btf_types *types, uint32_t id)
{
	return id && id < types->n ? (const struct btf_type *)(types->data + types->offsets[id])
				   : NULL;
}

static bool has_name(const struct btf_types *types, uint32_t name_off, const char *name)
{
	return name_off < types->names_size && strcmp(types->names + name_off, name) == 0;
}

static const struct btf_type *find(const struct btf_types *types, unsigned int kind,
				   const char *name, uint32_t *ret_id)
{
	for (uint32_t id = 1; id < types->n; id++) {
		const struct btf_type *type = type_at(types, id);

		if (BTF_INFO_KIND(type->info) == kind && has_name(types, type->name_off, name)) {
			*ret_id = id;
			return type;
		}
	}
	return NULL;
}

int btf_find_function(const struct btf_types *types, const char *name, uint32_t *ret_id)
{
	return find(types, BTF_KIND_FUNC, name, ret_id) ? 0 : -ENOENT;
}

static bool is_compound(const struct btf_type *type)
{
	return type && (BTF_INFO_KIND(type->info) == BTF_KIND_STRUCT ||
			BTF_INFO_KIND(type->info) == BTF_KIND_UNION);
}

static int find_member(const struct btf_types *types, const struct btf_type *type, const char *name,
		       int depth, uint32_t *ret_bits)
{
	const struct btf_member *members = (const struct btf_member *)(type + 1);

	for (size_t i = 0; i < BTF_INFO_VLEN(type->info); i++) {
		/* With bit fields in the struct, the upper byte is their width. */
		uint32_t bits = BTF_INFO_KFLAG(type->info)
					? BTF_MEMBER_BIT_OFFSET(members[i].offset)
					: members[i].offset;
		const struct btf_type *inner = type_at(types, members[i].type);
		uint32_t within;

		if (has_name(types, members[i].name_off, name)) {
			*ret_bits = bits;
			return 0;
		}
		if (has_name(types, members[i].name_off, "") && is_compound(inner) &&
		    depth < MAX_NESTING &&
		    find_member(types, inner, name, depth + 1, &within) == 0) {
			*ret_bits = bits + within;
			return 0;
		}
	}
	return -ENOENT;
}

int btf_member_offset(const struct btf_types *types, const char *struct_name, const char *member,
		      uint32_t *ret_offset)
{
	uint32_t id, bits;
	const struct btf_type *type = find(types, BTF_KIND_STRUCT, struct_name, &id);
	int err = type ? find_member(types, type, member, 0, &bits) : -ENOENT;

	if (err < 0)
		return err;
	if (bits % 8)
		return -EBADMSG;
	*ret_offset = bits / 8;
	return 0;
}
