/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's description of its own types (/sys/kernel/btf/vmlinux): as much of it as a BPF
 * program of ours needs. Private to criu/kernel. */
#ifndef CRIU_KERNEL_BTF_H
#define CRIU_KERNEL_BTF_H

#include <stddef.h>
#include <stdint.h>

struct btf_types;

/* 0 or -errno; -ENOENT: the kernel has none. */
int btf_read(struct btf_types **ret);
/* Takes a copy of the bytes. -EBADMSG if they are not BTF. */
int btf_parse(const void *data, size_t size, struct btf_types **ret);
void btf_free(struct btf_types *types);

/* The number of the function's type; -ENOENT. */
int btf_find_function(const struct btf_types *types, const char *name, uint32_t *ret_id);
/* Bytes from the start of the struct to the member, which may lie in structs and unions without
 * name; -ENOENT. */
int btf_member_offset(const struct btf_types *types, const char *struct_name, const char *member,
		      uint32_t *ret_offset);

#endif
