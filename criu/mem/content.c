// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where saved pages lie. A page map entry says that its pages are in the pages file of the same
 * directory (PRESENT), or in that of the parent directory (PARENT), whose page map of the same name
 * may say the same again, with other boundaries. Everything that comes from images is checked here,
 * before a process exists: order, alignment, ends, known flags, and that pages files are as long as
 * their page maps say. Entries of older releases are read as CRIU reads them (in_parent,
 * compat_nr_pages).
 */
#include "mem/content.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/lib/image.h"
#include "mem/mem-priv.h"
#include "mem/vma-status.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/pagemap.pb-c.h"

static int open_dirs(struct cr *cr, uint32_t level)
{
	struct mem *mem = cr->mem;

	if (!mem->n_dirs) {
		mem->dirs = xcalloc(CONTENT_MAX_LEVELS, sizeof(struct image_dir *));
		mem->dirs[mem->n_dirs++] = cr->images;
	}
	while (mem->n_dirs <= level) {
		struct image_dir *last = mem->dirs[mem->n_dirs - 1];
		struct image_dir *parent;
		int err = image_dir_open_parent(last, &parent);

		if (err)
			return log_refuse(cr, err, "%s", image_last_error(last));
		if (!parent)
			return log_refuse(cr, -ENOENT,
					  "pages are said to be in the parent images, but there is "
					  "no link \"parent\"");
		mem->dirs[mem->n_dirs++] = parent;
	}
	return 0;
}

int content_dir(struct cr *cr, uint32_t level, struct image_dir **ret)
{
	int err;

	if (level >= CONTENT_MAX_LEVELS)
		return log_refuse(cr, -ELOOP,
				  "the chain of parent images has more than %d directories",
				  CONTENT_MAX_LEVELS);
	pthread_mutex_lock(&cr->mem->lock);
	err = open_dirs(cr, level);
	if (!err)
		*ret = cr->mem->dirs[level];
	pthread_mutex_unlock(&cr->mem->lock);
	return err;
}

static uint32_t entry_flags(const PagemapEntry *e)
{
	if (e->has_in_parent && e->in_parent)
		return (e->has_flags ? e->flags : 0) | PE_PARENT;
	return e->has_flags ? e->flags : PE_PRESENT;
}

/* NULL if the entry is fine, else what is wrong with it. */
static const char *entry_fault(const PagemapEntry *e, uint64_t end_before, uint64_t limit)
{
	uint64_t n_pages = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages;
	uint32_t flags = entry_flags(e);

	if (e->vaddr % MEM_PAGE)
		return "its address is not that of a page";
	if (e->vaddr < end_before)
		return "it is not behind the entry before it";
	if (n_pages > limit / MEM_PAGE || e->vaddr > limit - n_pages * MEM_PAGE)
		return "it reaches too far";
	if (flags & ~(PE_PARENT | PE_LAZY | PE_PRESENT))
		return "it has unknown flags";
	if (!(flags & (PE_PARENT | PE_PRESENT)))
		return "its pages were left with the task (--lazy-pages), which cannot be restored "
		       "from yet";
	return NULL;
}

static int read_entries(struct image *img, uint64_t limit, struct content_level *level)
{
	uint64_t end = 0;

	for (;;) {
		PagemapEntry *e;
		const char *fault;
		uint64_t n_pages;
		int err = image_read_as(img, &pagemap_entry__descriptor, &e);

		if (err <= 0)
			return err;
		fault = entry_fault(e, end, limit);
		if (!fault) {
			n_pages = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages;
			end = e->vaddr + n_pages * MEM_PAGE;
			/* A page that is here is not looked for in the parent. */
			pages_add(&level->pages, e->vaddr, end,
				  entry_flags(e) & PE_PRESENT ? PE_PRESENT : PE_PARENT);
		} else {
			err = image_refuse(img, -EBADMSG, "vaddr %#" PRIx64 ": %s", e->vaddr,
					   fault);
		}
		image_message_free(e);
		if (err < 0)
			return err;
	}
}

static int check_pages_file(struct image_dir *dir, struct content_level *level)
{
	_cleanup_image_ struct image *img = NULL;
	struct stat st;
	int err;

	level->size = level->pages.n_present * MEM_PAGE;
	if (!level->size)
		return 0;
	err = image_open(dir, IMAGE_PAGES, level->pages_id, &img);
	if (err)
		return err;
	if (image_fd(img) < 0)
		return image_refuse(img, -ENOENT, "is missing");
	if (fstat(image_fd(img), &st) < 0)
		return image_refuse(img, -errno, "cannot be looked at");
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < level->size)
		return image_refuse(img, -EBADMSG,
				    "has %" PRIu64 " bytes, its page map speaks of %" PRIu64,
				    (uint64_t)st.st_size, level->size);
	return 0;
}

static void fill_offsets(struct content_level *level)
{
	uint64_t offset = 0;

	level->offsets = xcalloc(level->pages.n, sizeof(*level->offsets));
	for (size_t i = 0; i < level->pages.n; i++) {
		const struct pages_run *run = &level->pages.runs[i];

		level->offsets[i] = offset;
		if (pages_run_flags(run) & PE_PRESENT)
			offset += run->n_pages * MEM_PAGE;
	}
}

/* 1: there is such a page map, 0: there is none. */
static int load_level(struct image_dir *dir, const struct content *content, uint64_t limit,
		      struct content_level *level)
{
	_cleanup_image_ struct image *img = NULL;
	PagemapHead *head;
	int err;

	level->is_loaded = true;
	err = image_open(dir, content->kind, content->number, &img);
	if (err)
		return err;
	if (image_is_missing(img))
		return 0;
	err = image_read_as(img, &pagemap_head__descriptor, &head);
	if (err == 0)
		return image_refuse(img, -EBADMSG, "has no head");
	if (err < 0)
		return err;
	level->pages_id = head->pages_id;
	image_message_free(head);
	err = read_entries(img, limit, level);
	if (!err)
		err = check_pages_file(dir, level);
	if (err)
		return err;
	fill_offsets(level);
	return 1;
}

static bool has_parent_pages(const struct content_level *level)
{
	for (size_t i = 0; i < level->pages.n; i++)
		if (!(pages_run_flags(&level->pages.runs[i]) & PE_PRESENT))
			return true;
	return false;
}

static void add_extent(struct content *content, uint64_t start, uint64_t end, uint64_t offset,
		       uint32_t level)
{
	struct content_extent *last = content->n ? &content->extents[content->n - 1] : NULL;

	if (last && last->level == level && last->start + last->size == start &&
	    last->offset + last->size == offset) {
		last->size += end - start;
		return;
	}
	content->extents = array_grow(content->extents, &content->capacity, content->n + 1,
				      sizeof(*content->extents));
	content->extents[content->n++] = (struct content_extent){start, end - start, offset, level};
}

/* Adds the extents of [start, end) as level has it. Chains are short, so going down by recursion is
 * fine. */
static int resolve(struct content *content, uint32_t index, uint64_t start, uint64_t end,
		   uint64_t *ret_missing)
{
	const struct content_level *level = &content->levels[index];
	size_t i;

	*ret_missing = start;
	if (index >= content->n_levels)
		return -ENOENT;
	for (i = pages_find(&level->pages, start); start < end; i++) {
		const struct pages_run *run = &level->pages.runs[i];
		uint64_t stop;
		int err;

		*ret_missing = start;
		if (i == level->pages.n || pages_run_start(run) > start)
			return -ENOENT;
		stop = MIN(pages_run_end(run), end);
		if (pages_run_flags(run) & PE_PRESENT) {
			add_extent(content, start, stop,
				   level->offsets[i] + (start - pages_run_start(run)), index);
		} else {
			err = resolve(content, index + 1, start, stop, ret_missing);
			if (err)
				return err;
		}
		start = stop;
	}
	return 0;
}

int content_resolve(struct content *content, uint64_t *ret_missing)
{
	const struct pages *pages = &content->levels[0].pages;

	for (size_t i = 0; i < pages->n; i++) {
		int err = resolve(content, 0, pages_run_start(&pages->runs[i]),
				  pages_run_end(&pages->runs[i]), ret_missing);

		if (err)
			return err;
	}
	return 0;
}

int content_load(struct cr *cr, int kind, uint64_t number, uint64_t limit, bool may_miss,
		 struct content *ret)
{
	char name[IMAGE_NAME_MAX];
	uint64_t missing;

	*ret = (struct content){.kind = kind, .number = number};
	image_name(kind, number, name);
	do {
		struct content_level *level;
		struct image_dir *dir = NULL;
		int found;

		found = content_dir(cr, ret->n_levels, &dir);
		if (found < 0)
			return found;
		ret->levels = xreallocarray(ret->levels, ret->n_levels + 1, sizeof(*ret->levels));
		level = &ret->levels[ret->n_levels++];
		*level = (struct content_level){0};
		found = load_level(dir, ret, limit, level);
		if (found < 0)
			return log_refuse(cr, found, "%s", image_last_error(dir));
		if (!found && !may_miss)
			return log_refuse(cr, -ENOENT, "%s: is missing%s", name,
					  ret->n_levels > 1 ? " in the parent images" : "");
		if (!found)
			return 0;
		/* A parent that pages are asked from must have a page map, also of an object. */
		may_miss = false;
	} while (has_parent_pages(&ret->levels[ret->n_levels - 1]));

	if (content_resolve(ret, &missing))
		return log_refuse(cr, -EBADMSG,
				  "%s: the page at %#" PRIx64 " is in none of the parent page maps",
				  name, missing);
	return 0;
}

void content_release(struct content *content)
{
	for (uint32_t i = 0; i < content->n_levels; i++) {
		pages_release(&content->levels[i].pages);
		free(content->levels[i].offsets);
	}
	free(content->levels);
	free(content->extents);
	*content = (struct content){0};
}

size_t content_find(const struct content *content, uint64_t address)
{
	size_t low = 0, high = content->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (content->extents[middle].start + content->extents[middle].size > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}
