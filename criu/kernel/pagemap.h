/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which pages of a task are there and what kind they are: ioctl PAGEMAP_SCAN (6.7), or, on kernels
 * without it, the entries of /proc/PID/pagemap, which know less.
 */
#ifndef CRIU_KERNEL_PAGEMAP_H
#define CRIU_KERNEL_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Categories of a page; values are the kernel's PAGE_IS_*. */
enum page_category {
	PAGE_WPALLOWED = 1 << 0, /* in a range registered for asynchronous write protection */
	PAGE_WRITTEN = 1 << 1,   /* written since it was write-protected there */
	PAGE_FILE = 1 << 2,      /* of a file or shared memory: not a private copy */
	PAGE_PRESENT = 1 << 3,
	PAGE_SWAPPED = 1 << 4,
	PAGE_PFNZERO = 1 << 5, /* the zero page */
	PAGE_HUGE = 1 << 6,    /* mapped by a PMD, or hugetlb */
	PAGE_SOFT_DIRTY = 1 << 7,
	PAGE_GUARD = 1 << 8, /* MADV_GUARD_INSTALL; kernel 6.15 and later */
};

struct page_run {
	uint64_t start, end; /* bytes */
	uint64_t categories; /* those of the query's report mask */
};

/*
 * A page matches if (its categories ^ inverted) has all of all_of and, unless any_of is 0, one of
 * any_of: the terms of PAGEMAP_SCAN. Neighbours that match and agree in the report categories are
 * one region.
 */
struct page_query {
	uint64_t inverted, all_of, any_of, report;
	bool write_protect; /* reset PAGE_WRITTEN of what matches (async write protection; report
			       must name PAGE_WRITTEN) */
};

/* Pages that a private anonymous mapping must save: present or swapped, not zero pages. */
extern const struct page_query page_query_private_anon;
/* The same of a private file mapping: also not the file's own. */
extern const struct page_query page_query_private_file;
/* Pages in memory of any kind. */
extern const struct page_query page_query_present;
/* Guard regions. */
extern const struct page_query page_query_guard;

struct pagemap;

enum pagemap_source { PAGEMAP_BEST = 0, PAGEMAP_ENTRIES = 1 };

/* dir: a descriptor of /proc/PID. Opens its pagemap; with PAGEMAP_ENTRIES the ioctl is never used.
 * 0 or -errno. */
int pagemap_open(int dir, enum pagemap_source source, struct pagemap **ret);
void pagemap_free(struct pagemap *pagemap);
/* Can it report these categories? Entries know present, swapped, file, soft-dirty; zero pages are
 * not told apart from others there. */
bool pagemap_knows(const struct pagemap *pagemap, uint64_t categories);
/* Does what is not mapped cost nothing to scan? Of entries each is read. */
bool pagemap_skips_gaps(const struct pagemap *pagemap);

/*
 * Calls emit for each region of [start, end) (page aligned) that matches, in order, whatever
 * mappings it spans: one call for many small mappings costs a fifth of one call each. Where emit
 * returns not 0 the scan ends with that. May be called by several threads for one pagemap. 0 or
 * -errno; -EOPNOTSUPP if a category cannot be known.
 */
int pagemap_scan(const struct pagemap *pagemap, uint64_t start, uint64_t end,
		 const struct page_query *query, int (*emit)(void *arg, const struct page_run *run),
		 void *arg);

/*
 * The same as a loop: up to max regions from *pos on, which moves behind what was looked at; how
 * many, or -errno. Done when *pos is end.
 */
int pagemap_scan_some(const struct pagemap *pagemap, uint64_t *pos, uint64_t end,
		      const struct page_query *query, struct page_run *ret_runs, size_t max);

#endif
