/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Restore: the saved contents of a task's private memory or of a shared object, from its page map
 * and, where that says so, those of the parent image directories: a list of extents, each of which
 * lies in one pages file in one piece.
 */
#ifndef CRIU_MEM_CONTENT_H
#define CRIU_MEM_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/pages.h"

struct cr;
struct image_dir;

/* Directories: [0] is the one restored from, each next one the parent of the one before. */
#define CONTENT_MAX_LEVELS 256

struct content_extent {
	uint64_t start, size; /* address (or offset in the object) and bytes */
	uint64_t offset;      /* in the pages file */
	uint32_t level;       /* whose pages file */
};

/* The page map of one level. */
struct content_level {
	bool is_loaded;
	uint32_t pages_id;
	uint64_t size; /* bytes that the page map says the pages file has */
	struct pages pages;
	uint64_t *offsets; /* in the pages file, of each run */
};

struct content {
	int kind; /* IMAGE_PAGEMAP, IMAGE_SHMEM_PAGEMAP */
	uint64_t number;
	struct content_level *levels;
	uint32_t n_levels;
	struct content_extent *extents; /* ascending, no overlap */
	size_t n, capacity;
};

/*
 * Reads and checks page maps; extents lie below limit. A page map that does not exist is empty if
 * may_miss, else refused. 0 or -errno, logged; content is to be released in any case.
 */
int content_load(struct cr *cr, int kind, uint64_t number, uint64_t limit, bool may_miss,
		 struct content *ret);
void content_release(struct content *content);

/* The first extent that ends behind address; content->n if there is none. */
size_t content_find(const struct content *content, uint64_t address);

/* The image directory of a level, opened when it is asked for first. */
int content_dir(struct cr *cr, uint32_t level, struct image_dir **ret);

/* Pure: puts the extents together from page maps whose levels are all loaded. -ENOENT: a page is in
 * none (*ret_missing). */
int content_resolve(struct content *content, uint64_t *ret_missing);

#endif
