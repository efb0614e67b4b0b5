/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a file has data and where it has holes. Two ways: the map of its extents (FIEMAP), which
 * not every file system has, and lseek(2) with SEEK_DATA and SEEK_HOLE, which to some finds no
 * holes.
 */
#ifndef CRIU_UTIL_EXTENTS_H
#define CRIU_UTIL_EXTENTS_H

#include <stdbool.h>
#include <sys/types.h>

struct extents {
	int fd;      /* not closed; its offset moves */
	off_t size;  /* of the file */
	bool fiemap; /* ask for the map; becomes false where the file system has none */
};

/*
 * The first stretch of data that ends behind from: 1 with *ret_start >= from and *ret_end <= size,
 * 0 if only a hole follows, or -errno.
 */
int extents_next(struct extents *e, off_t from, off_t *ret_start, off_t *ret_end);

#endif
