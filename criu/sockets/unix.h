/* SPDX-License-Identifier: GPL-2.0-only */
/* Unix sockets: what unix.c and sk-queue.c share. */
#ifndef CRIU_SOCKETS_UNIX_H
#define CRIU_SOCKETS_UNIX_H

#include "files/files-priv.h"
#include "kernel/unix-diag.h"

struct unix_socket {
	struct file file;
	uint32_t ino;
	struct SkOptsEntry *opts; /* dump */
	struct unix_facts facts;  /* dump; the name is the list's */
	struct unix_socket *peer; /* restore */
	bool is_maker;            /* restore: makes the pair; the other takes its end */
};

/* --- sk-queue.c: packets that were sent and not yet received (sk-queues.img) --- */

/* Dump: the queue of a socket, without taking anything out. */
int sk_queue_dump(struct cr *cr, const struct file *file, int type);
/* Restore: sends the packets of file through fd, which is its other end. */
int sk_queue_send(struct cr *cr, const struct file *file, int type, int fd);

#endif
