/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page map in memory: runs of pages, ascending, each with the flags of pagemap_entry. Where the
 * bytes of a run lie in the pages file follows from it: PE_PRESENT runs lie there one after
 * another. So it is made first, then cut into jobs, and any worker can write or read any job.
 */
#ifndef CRIU_MEM_PAGES_H
#define CRIU_MEM_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ours, beside PE_*: the task may not read the page itself (PROT_NONE), so reading it has to be
 * forced. Not in images. */
#define PAGES_FORCED (1u << 8)

/* 16 bytes, because a sparse task has millions. */
struct pages_run {
	uint64_t start_flags; /* address; flags in the bits below the page size */
	uint64_t n_pages;
};

struct pages {
	struct pages_run *runs;
	size_t n, capacity;
	uint64_t n_present; /* pages that have bytes in the pages file */
};

static inline uint64_t pages_run_start(const struct pages_run *run)
{
	return run->start_flags & ~4095ull;
}

static inline uint64_t pages_run_end(const struct pages_run *run)
{
	return pages_run_start(run) + run->n_pages * 4096;
}

static inline uint32_t pages_run_flags(const struct pages_run *run)
{
	return run->start_flags & 4095;
}

/* Appends [start, end), which lies behind all there are; grows the last run if it touches it and
 * flags are the same. */
void pages_add(struct pages *pages, uint64_t start, uint64_t end, uint32_t flags);
void pages_release(struct pages *pages);

/* The first run that ends behind address; pages->n if there is none. */
size_t pages_find(const struct pages *pages, uint64_t address);

/* A position within the PRESENT bytes: run, bytes of it that are passed, offset in the file. */
struct pages_cursor {
	size_t run;
	uint64_t skip;
	uint64_t offset;
};

/* A piece of memory whose bytes lie together in the pages file, or on the way there. */
struct pages_piece {
	uint64_t address, size;
	uint32_t flags;
};

/*
 * The next piece of at most max bytes of PRESENT memory, and moves the cursor behind it. False at
 * the end. Pieces that touch in memory (runs that differ by LAZY only) are not put together.
 */
bool pages_next(const struct pages *pages, struct pages_cursor *cursor, uint64_t max,
		struct pages_piece *ret);

/* Moves a cursor over bytes of PRESENT memory, or to the end. */
void pages_skip(const struct pages *pages, struct pages_cursor *cursor, uint64_t bytes);

#endif
