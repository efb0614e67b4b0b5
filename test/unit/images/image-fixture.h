/* SPDX-License-Identifier: GPL-2.0-only */
/* A directory in memory for a test of images, messages filled with something, and files as bytes.
 */
#ifndef TEST_UNIT_IMAGES_FIXTURE_H
#define TEST_UNIT_IMAGES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "compel/base/bits.h"
#include "images/all.pb-c.h"
#include "images/lib/image.h"

struct fixture {
	char path[64];
	int fd;
};

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->path, "/tmp/test-images.XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return f->fd < 0 ? -1 : 0;
}

static inline void fixture_empty(struct fixture *f)
{
	DIR *stream = fdopendir(openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(f->fd, entry->d_name, 0);
	closedir(stream);
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	fixture_empty(f);
	close(f->fd);
	rmdir(f->path);
	free(f);
	return 0;
}

static inline bool file_exists(struct fixture *f, const char *name)
{
	return faccessat(f->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline size_t count_files(struct fixture *f)
{
	DIR *stream = fdopendir(openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	size_t n = 0;

	while (readdir(stream))
		n++;
	closedir(stream);
	return n - 2;
}

static inline uint8_t *load_file(int dirfd, const char *name, size_t *ret_length)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	data = malloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_length = (size_t)st.st_size;
	return data;
}

static inline void store_file(int dirfd, const char *name, const void *data, size_t length)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, length), length);
	close(fd);
}

static inline void fill_element(const ProtobufCFieldDescriptor *field, void *at,
				unsigned int depth);

/*
 * Sets every field, down to a depth, to values that differ. Lengths of payloads are kept small, so
 * that a payload can be made for them.
 */
static inline void fill_message(ProtobufCMessage *message, unsigned int depth)
{
	uint8_t *base = (uint8_t *)message;

	for (unsigned int i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		size_t size = field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData)
								   : 8;

		if (field->type == PROTOBUF_C_TYPE_MESSAGE && depth == 0 &&
		    field->label != PROTOBUF_C_LABEL_REQUIRED)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			void *list = calloc(2, size);
			size_t step;

			switch (field->type) {
			case PROTOBUF_C_TYPE_MESSAGE:
			case PROTOBUF_C_TYPE_STRING:
			case PROTOBUF_C_TYPE_BYTES:
			case PROTOBUF_C_TYPE_UINT64:
			case PROTOBUF_C_TYPE_INT64:
			case PROTOBUF_C_TYPE_SINT64:
			case PROTOBUF_C_TYPE_FIXED64:
			case PROTOBUF_C_TYPE_SFIXED64:
				step = size;
				break;
			default:
				step = 4;
			}
			fill_element(field, list, depth);
			fill_element(field, (uint8_t *)list + step, depth);
			*(void **)(base + field->offset) = list;
			*(size_t *)(base + field->quantifier_offset) = 2;
			continue;
		}
		if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset)
			*(protobuf_c_boolean *)(base + field->quantifier_offset) = true;
		fill_element(field, base + field->offset, depth);
	}
}

static inline ProtobufCMessage *make_message(const ProtobufCMessageDescriptor *type,
					     unsigned int depth)
{
	ProtobufCMessage *message = calloc(1, type->sizeof_message);

	protobuf_c_message_init(type, message);
	fill_message(message, depth);
	return message;
}

static inline void fill_element(const ProtobufCFieldDescriptor *field, void *at, unsigned int depth)
{
	const ProtobufCEnumDescriptor *values;
	char text[32];

	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)at = make_message(field->descriptor, depth ? depth - 1 : 0);
		break;
	case PROTOBUF_C_TYPE_STRING:
		snprintf(text, sizeof(text), "text-%u", field->id);
		*(char **)at = strdup(text);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		((ProtobufCBinaryData *)at)->len = 5;
		((ProtobufCBinaryData *)at)->data = (uint8_t *)strdup("byte");
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = true;
		break;
	case PROTOBUF_C_TYPE_ENUM:
		values = field->descriptor;
		*(int *)at = values->values[values->n_values - 1].value;
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		*(uint64_t *)at = 100 + field->id;
		break;
	default:
		*(uint32_t *)at = 10 + field->id;
	}
}

/* A complete dump's inventory. */
static inline InventoryEntry some_inventory(void)
{
	InventoryEntry inventory = INVENTORY_ENTRY__INIT;

	inventory.img_version = 2;
	return inventory;
}

#endif
