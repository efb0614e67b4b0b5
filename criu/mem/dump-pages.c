// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump, third part: bytes. All page maps are made first; then each pages file is cut into parts of
 * a few MiB, and any worker takes any part: it reads (page-read.c) into a buffer that stays in the
 * CPU's cache, and writes it, with its checksum, at the offset that follows from the page map. So
 * the order of files is fixed while that of bytes is not, the tool's own memory does not depend on
 * the task's, and page cache is charged to the tool. On tmpfs a part gets huge pages first
 * (huge-file.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/lib/image.h"
#include "mem/mem-priv.h"
#include "mem/objects.h"
#include "mem/page-read.h"
#include "run.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/report.h"
#include "util/stats.h"

#include "images/pagemap.pb-c.h"

/* A part: a multiple of the chunk that digests are of. */
#define PART_SIZE (4 * (uint64_t)IMAGE_CHUNK)

/* A task or an object, with a page map and a pages file. */
struct source {
	struct task *task; /* one of the two */
	struct mem_object *object;
	const struct pages *pages;
	uint32_t pages_id;
	struct image *img;
	struct page_reader reader;
	struct pages_cursor next; /* the part that is taken next begins here */
	uint64_t end;             /* bytes of its pages file */
	size_t n_workers;         /* those on it */
	bool may_be_huge;         /* its pages file */
};

/* What a worker keeps from one part to the next. */
struct page_worker {
	char *buffer;
	struct huge_window window;
};

struct page_dump {
	struct cr *cr;
	struct source *sources;
	size_t n_sources, n_parts;
	size_t first;         /* source that has parts left */
	pthread_mutex_t lock; /* of that, and of each source's img, next and n_workers */
	struct page_worker *workers;
	struct huge_files huge_files;
	bool may_be_huge;
};

static int image_failed(struct cr *cr, int err)
{
	return log_refuse(cr, err, "%s", image_last_error(cr->images));
}

/* --- page maps --- */

static int write_runs(struct image *img, const struct pages *pages)
{
	for (size_t i = 0; i < pages->n;) {
		uint64_t start = pages_run_start(&pages->runs[i]);
		uint32_t flags = pages_run_flags(&pages->runs[i]) & ~PAGES_FORCED;
		PagemapEntry e = PAGEMAP_ENTRY__INIT;
		uint64_t end = start;
		int err;

		for (; i < pages->n && pages_run_start(&pages->runs[i]) == end &&
		       (pages_run_flags(&pages->runs[i]) & ~PAGES_FORCED) == flags;
		     i++)
			end = pages_run_end(&pages->runs[i]);
		e.vaddr = start;
		e.has_nr_pages = true;
		e.nr_pages = (end - start) / MEM_PAGE;
		e.has_flags = true;
		e.flags = flags;
		err = image_write(img, &e.base);
		if (err)
			return err;
	}
	return 0;
}

static int write_page_map(void *ctx, size_t index, size_t worker)
{
	struct page_dump *dump = ctx;
	struct source *source = &dump->sources[index];
	_cleanup_image_ struct image *img = NULL;
	PagemapHead head = PAGEMAP_HEAD__INIT;
	int err;

	if (source->task)
		err = image_create(dump->cr->images, IMAGE_PAGEMAP, source->task->pid, &img);
	else
		err = image_create(dump->cr->images, IMAGE_SHMEM_PAGEMAP, source->object->shmid,
				   &img);
	head.pages_id = source->pages_id;
	if (!err)
		err = image_write(img, &head.base);
	if (!err)
		err = write_runs(img, source->pages);
	if (!err)
		err = image_close(TAKE_PTR(img));
	return err ? image_failed(dump->cr, err) : 0;
}

/* --- bytes --- */

static int open_source(struct page_dump *dump, struct source *source)
{
	struct cr *cr = dump->cr;
	int err = image_create(cr->images, IMAGE_PAGES, source->pages_id, &source->img);

	if (err)
		return image_failed(cr, err);
	/* The descriptor is made here, before several threads ask for it. */
	err = image_fd(source->img);
	if (err < 0)
		return image_failed(cr, err);
	source->may_be_huge = dump->may_be_huge && huge_file_is_possible(err);
	return page_reader_open(cr, &source->reader);
}

static int close_source(struct cr *cr, struct source *source)
{
	int err = image_close(TAKE_PTR(source->img));

	page_reader_close(&source->reader);
	return err ? image_failed(cr, err) : 0;
}

/* The source with parts left that the fewest workers are on. There is one: as many parts are asked
 * for as there are. */
static struct source *choose_source(struct page_dump *dump)
{
	struct source *best = NULL;

	while (dump->sources[dump->first].next.offset == dump->sources[dump->first].end)
		dump->first++;
	for (size_t i = dump->first; i < dump->n_sources; i++) {
		struct source *source = &dump->sources[i];

		if (source->next.offset == source->end)
			continue;
		if (!best || source->n_workers < best->n_workers)
			best = source;
		if (!best->n_workers)
			break;
	}
	return best;
}

static int take_part(struct page_dump *dump, struct source **ret_source,
		     struct pages_cursor *ret_from)
{
	struct source *source;
	int err = 0;

	pthread_mutex_lock(&dump->lock);
	source = choose_source(dump);
	if (!source->img)
		err = open_source(dump, source);
	*ret_source = source;
	*ret_from = source->next;
	source->n_workers++;
	pages_skip(source->pages, &source->next, PART_SIZE);
	pthread_mutex_unlock(&dump->lock);
	return err;
}

static int finish_part(struct page_dump *dump, struct source *source)
{
	bool is_last;

	pthread_mutex_lock(&dump->lock);
	is_last = !--source->n_workers && source->next.offset == source->end;
	pthread_mutex_unlock(&dump->lock);
	return is_last ? close_source(dump->cr, source) : 0;
}

/* Up to a buffer full of what comes next: number of pieces, and their bytes. */
static size_t gather(const struct pages *pages, struct pages_cursor *cursor, uint64_t max,
		     struct pages_piece *ret_pieces, uint64_t *ret_size)
{
	uint64_t size = 0;
	size_t n = 0;

	while (size < max && n < PAGE_MAX_PIECES &&
	       pages_next(pages, cursor, max - size, &ret_pieces[n]))
		size += ret_pieces[n++].size;
	*ret_size = size;
	return n;
}

static int write_pages(struct cr *cr, struct image *img, const char *buffer, uint64_t size,
		       uint64_t offset)
{
	int err = image_pages_digest(img, buffer, size, offset);

	if (err)
		return image_failed(cr, err);
	err = pwrite_all(image_fd(img), buffer, size, (off_t)offset);
	return err ? log_err(cr, err, "%s: write", image_file_name(img)) : 0;
}

static int move_pages(struct page_dump *dump, const struct source *source,
		      struct pages_cursor cursor, struct page_worker *worker)
{
	uint64_t end = MIN(cursor.offset + PART_SIZE, source->end);
	struct page_window window = {0};
	struct cr *cr = dump->cr;

	if (source->may_be_huge)
		huge_file_prepare(&dump->huge_files, &worker->window, image_fd(source->img),
				  cursor.offset, end);

	while (cursor.offset < end) {
		struct pages_piece pieces[PAGE_MAX_PIECES];
		uint64_t offset = cursor.offset, size;
		uint64_t max = MIN(end - offset, (uint64_t)PAGE_BUFFER_SIZE);
		size_t n = gather(source->pages, &cursor, max, pieces, &size);
		int err;

		if (plan_is_cancelled(cr))
			return -ECANCELED;
		err = page_reader_read(cr, &source->reader, &window, worker->buffer, pieces, n);
		if (!err)
			err = write_pages(cr, source->img, worker->buffer, size, offset);
		if (err)
			return err;
		progress_add(cr, size);
	}
	return 0;
}

/* Which part that is follows from who asks when, not from the index. */
static int move_part(void *ctx, size_t index, size_t worker_index)
{
	struct page_dump *dump = ctx;
	struct page_worker *worker = &dump->workers[worker_index];
	struct pages_cursor from;
	struct source *source;
	int err = take_part(dump, &source, &from);

	if (!worker->buffer)
		worker->buffer = xmalloc(PAGE_BUFFER_SIZE);
	if (!err)
		err = move_pages(dump, source, from, worker);
	return err ? err : finish_part(dump, source);
}

/* --- the whole --- */

static int scan_source(void *ctx, size_t index, size_t worker)
{
	struct page_dump *dump = ctx;
	struct source *source = &dump->sources[index];

	if (source->task)
		return mem_scan(dump->cr, source->task);
	return mem_object_scan(dump->cr, source->object);
}

static void add_source(struct page_dump *dump, struct task *task, struct mem_object *object,
		       const struct pages *pages)
{
	dump->sources[dump->n_sources++] = (struct source){
		.task = task,
		.object = object,
		.pages = pages,
		.reader = {.task = task, .object = object, .pagemap_fd = -1, .mem_fd = -1},
	};
}

/* Objects first, then tasks: ids of pages files come out as in CRIU's images. */
static void find_sources(struct page_dump *dump)
{
	const struct mem_objects *objects = dump->cr->mem->objects;
	struct task *task;

	dump->sources = xcalloc(objects->n + dump->cr->tree->n_tasks, sizeof(*dump->sources));
	for (size_t i = 0; i < objects->n; i++)
		if (objects->items[i]->size)
			add_source(dump, NULL, objects->items[i], &objects->items[i]->pages);
	tree_for_each_task (task, dump->cr->tree)
		if (task->mm)
			add_source(dump, task, NULL, &task->mm->dump->pages);
}

static void cut_sources(struct page_dump *dump)
{
	for (size_t i = 0; i < dump->n_sources; i++) {
		struct source *source = &dump->sources[i];

		source->pages_id = ++dump->cr->mem->last_pages_id;
		source->end = source->pages->n_present * MEM_PAGE;
		dump->n_parts += (source->end + PART_SIZE - 1) / PART_SIZE;
	}
}

static void count(struct page_dump *dump)
{
	struct stats *stats = dump->cr->stats;
	uint64_t total = 0;

	for (size_t i = 0; i < dump->n_sources; i++) {
		const struct source *source = &dump->sources[i];
		uint64_t n = source->pages->n_present;

		total += n * MEM_PAGE;
		stats_add(stats, source->task ? STATS_PAGES_WRITTEN : STATS_SHPAGES_WRITTEN, n);
		if (source->task)
			stats_add(stats, STATS_PAGES_SCANNED, source->task->mm->dump->n_scanned);
		else
			stats_add(stats, STATS_SHPAGES_SCANNED, source->object->size / MEM_PAGE);
	}
	progress_set_total(dump->cr, total);
	report_bytes_add(dump->cr->report, total);
}

static int dump_all(struct page_dump *dump)
{
	struct cr *cr = dump->cr;
	int err;

	stats_begin(cr->stats, STATS_MEMDUMP_TIME);
	find_sources(dump);
	err = pool_run(cr->pool, dump->n_sources, scan_source, dump);
	stats_end(cr->stats, STATS_MEMDUMP_TIME);
	if (err)
		return err;

	cut_sources(dump);
	count(dump);
	stats_begin(cr->stats, STATS_MEMWRITE_TIME);
	err = pool_run(cr->pool, dump->n_sources, write_page_map, dump);
	if (!err)
		err = pool_run(cr->pool, dump->n_parts, move_part, dump);
	stats_end(cr->stats, STATS_MEMWRITE_TIME);
	log_debug(cr, "pages files: %" PRIu64 " bytes in huge pages%s", dump->huge_files.bytes,
		  dump->may_be_huge ? "" : ": tasks may have CPUs to themselves");
	if (dump->huge_files.failures)
		log_debug(cr, "pages files: huge pages could not be had %u times: %s",
			  dump->huge_files.failures, strerror(-dump->huge_files.err));
	return err;
}

int mem_dump_pages(struct cr *cr)
{
	struct page_dump dump = {.cr = cr,
				 .lock = PTHREAD_MUTEX_INITIALIZER,
				 .may_be_huge = !huge_files_may_hang("/proc/sys/kernel")};
	size_t n_workers = pool_size(cr->pool);
	int err;

	dump.workers = xcalloc(n_workers, sizeof(*dump.workers));
	err = dump_all(&dump);

	for (size_t i = 0; i < dump.n_sources; i++)
		(void)close_source(cr, &dump.sources[i]);
	for (size_t i = 0; i < n_workers; i++) {
		huge_window_release(&dump.workers[i].window);
		free(dump.workers[i].buffer);
	}
	free(dump.workers);
	free(dump.sources);
	return err;
}
