/* SPDX-License-Identifier: GPL-2.0-only */
/* The descriptors of a task: number, link text and stat(2) of each, from /proc/PID/fd. */
#ifndef CRIU_KERNEL_FDS_H
#define CRIU_KERNEL_FDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct fd_link {
	int fd;
	const char *link; /* "/path", "/path (deleted)", "pipe:[123]", "anon_inode:[eventfd]", … */
	struct stat st;   /* of the file behind it */
};

struct fd_list {
	struct fd_link *items; /* by number */
	size_t n;
	char *texts;
};

/* dir: a descriptor of /proc/PID or of task/TID. */
int fds_read(int dir, struct fd_list *ret);
void fd_list_release(struct fd_list *list);
/* Only the numbers, in order; the caller frees *ret. */
int fds_read_numbers(int dir, int **ret, size_t *ret_n);

#endif
