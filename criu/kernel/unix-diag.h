/* SPDX-License-Identifier: GPL-2.0-only */
/* The unix sockets of our network namespace, as sock_diag(7) tells them. */
#ifndef CRIU_KERNEL_UNIX_DIAG_H
#define CRIU_KERNEL_UNIX_DIAG_H

#include <stddef.h>
#include <stdint.h>

struct unix_facts {
	uint32_t ino;
	uint32_t type;     /* SOCK_x */
	uint32_t state;    /* TCP_x of the kernel: 1 established, 7 closed, 10 listening */
	uint32_t peer;     /* inode of the other end, 0: none */
	uint32_t shutdown; /* bits: 1 cannot receive, 2 cannot send */
	uint32_t rqueue, wqueue;
	char *name; /* raw bytes of sun_path, NULL: unbound */
	size_t name_length;
};

struct unix_list {
	struct unix_facts *items; /* by ino */
	size_t n, capacity;
};

/* 0 or -errno. */
int unix_diag_read(struct unix_list *ret);
void unix_list_release(struct unix_list *list);
/* NULL if there is none. */
const struct unix_facts *unix_list_find(const struct unix_list *list, uint32_t ino);

#endif
