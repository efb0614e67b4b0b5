/* SPDX-License-Identifier: GPL-2.0-only */
/* Restore: moves saved pages from pages files to where they belong in this process. */
#ifndef CRIU_MEM_FILL_H
#define CRIU_MEM_FILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cr;
struct content;

struct fill_piece {
	uint64_t at, size; /* in this process */
	uint64_t offset;   /* in the pages file of level */
	uint32_t level;
	bool is_compared; /* memory is there already, shared with other processes: write only what
			     differs */
};

struct fill_pieces {
	struct fill_piece *items;
	size_t n, capacity;
	uint64_t size; /* of all */
};

/* Adds the saved pages of [start, end) that content has, to lie at `at`. Call with ascending
 * addresses. */
void fill_add(struct fill_pieces *pieces, const struct content *content, uint64_t start,
	      uint64_t end, uint64_t at, bool is_compared);
void fill_release(struct fill_pieces *pieces);

/*
 * Reads all pieces, checks the digests of what it reads, and leaves the memory as it was saved.
 * With several threads of cr->pool if parallel. what names the object in messages ("pid 7"). 0 or
 * -errno, logged.
 */
int fill_run(struct cr *cr, const struct content *content, const struct fill_pieces *pieces,
	     bool parallel, const char *what);

/* A job: bytes of one pages file, whole chunks of its digest. */
struct fill_job {
	uint32_t level;
	size_t first; /* index in the pieces of that level */
	uint64_t start, end;
};

/*
 * Pure: cuts pieces of one level (ascending offsets, n of them) into jobs of at most max bytes that
 * begin and end at multiples of chunk, or at size, and leaves out chunks that no piece is in.
 * Appends to *jobs.
 */
void fill_cut(const struct fill_piece *pieces, size_t n, uint64_t size, uint64_t chunk,
	      uint64_t max, struct fill_job **jobs, size_t *n_jobs, size_t *capacity);

#endif
