/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading one file of /proc in one go, without memory of its own where it is short. Private to
 * criu/kernel. */
#ifndef CRIU_KERNEL_PROC_PRIV_H
#define CRIU_KERNEL_PROC_PRIV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compel/base/cleanup.h"
#include "util/scan.h"

struct proc_text {
	char *data; /* buffer, or memory that is released at the end */
	size_t size;
	char buffer[4096];
};

/* -ESRCH rather than -ENOENT where the task itself is gone. */
int proc_text_read(int dir, const char *name, struct proc_text *ret);
void proc_text_release(struct proc_text *text);
#define _cleanup_text_ _cleanup_(proc_text_release)

/* Like openat(2) for reading, with the same -ESRCH. */
int proc_open_file(int dir, const char *name, int flags);

/* Writes value in decimal, returns the end; buf has room for 20 characters. */
char *proc_put_decimal(char *buf, uint64_t value);

/* Numbers that name the entries of a directory (relative to dir), in its order; the caller frees
 * *ret. */
int proc_read_numbers(int dir, const char *name, int **ret, size_t *ret_n);

#endif
