// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump, third part: bytes. All page maps are made first; then each pages file is cut into parts of
 * a few MiB, and any worker takes any part: process_vm_readv(2) into a buffer that stays in the
 * CPU's cache, checksum, pwrite(2) at the offset that follows from the page map. So the order of
 * files is fixed while that of bytes is not, the tool's own memory does not depend on the task's,
 * and page cache is charged to the tool.
 *
 * /proc/PID/mem takes twice as long, and is for pages that the task may not read itself, and for
 * those it shares with other tasks after a fork: process_vm_readv(2) pins pages, and the kernel
 * gives the task a copy of its own of such a page before that.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/lib/image.h"
#include "mem/mem-priv.h"
#include "mem/objects.h"
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
/* Of a worker's buffer. Half of it or twice as much is slower here (L2 has 512 KiB). */
#define BUFFER_SIZE (256 * 1024)
#define MAX_PIECES  (BUFFER_SIZE / MEM_PAGE)

/* A task or an object, with a page map and a pages file. */
struct source {
	struct task *task; /* one of the two */
	struct mem_object *object;
	const struct pages *pages;
	uint32_t pages_id;
	struct image *img;
	size_t n_parts;
	int pagemap_fd, mem_fd; /* of a task */
	_Atomic size_t n_left;  /* parts that are not written yet */
};

struct part {
	struct source *source;
	struct pages_cursor from;
};

struct page_dump {
	struct cr *cr;
	struct source *sources;
	size_t n_sources;
	struct part *parts;
	size_t n_parts, capacity;
	char **buffers;       /* by worker */
	pthread_mutex_t lock; /* of source.img */
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

/* Page map entries of a stretch of a task's memory (proc_pid_pagemap(5)). */
#define WINDOW_PAGES      512
#define PM_MMAP_EXCLUSIVE (1ull << 56)

struct window {
	uint64_t start, end;
	uint64_t entries[WINDOW_PAGES];
};

/* Is the page mapped by this task alone? Where the kernel does not tell, it is. */
static bool is_exclusive(int pagemap_fd, struct window *window, uint64_t address)
{
	if (address < window->start || address >= window->end) {
		ssize_t n = pread_all(pagemap_fd, window->entries, sizeof(window->entries),
				      (off_t)(address / MEM_PAGE * 8));

		window->start = address;
		window->end = address + (n > 0 ? n / 8 * MEM_PAGE : 0);
		if (window->end == address)
			return true;
	}
	return window->entries[(address - window->start) / MEM_PAGE] & PM_MMAP_EXCLUSIVE;
}

/* Splits pieces where they begin and cease to be shared with other tasks; a piece has a page at
 * least. */
static size_t split_shared(const struct source *source, struct window *window,
			   const struct pages_piece *pieces, size_t n, struct pages_piece *ret)
{
	size_t n_ret = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t end = pieces[i].address + pieces[i].size;

		for (uint64_t at = pieces[i].address; at < end; at += MEM_PAGE) {
			uint32_t flags = pieces[i].flags;

			if (!is_exclusive(source->pagemap_fd, window, at))
				flags |= PAGES_FORCED;
			if (at > pieces[i].address && ret[n_ret - 1].flags == flags)
				ret[n_ret - 1].size += MEM_PAGE;
			else
				ret[n_ret++] = (struct pages_piece){at, MEM_PAGE, flags};
		}
	}
	return n_ret;
}

static int read_forced(struct cr *cr, const struct source *source, char *buffer, uint64_t address,
		       uint64_t size)
{
	ssize_t n = pread_all(source->mem_fd, buffer, size, (off_t)address);

	if (n == (ssize_t)size)
		return 0;
	address += n < 0 ? 0 : n;
	return log_err(cr, n < 0 ? (int)n : -EFAULT, "pid %d: read its memory at %" PRIx64,
		       source->task->host_pid, address);
}

/* Pieces from the first on that need no force: how many bytes were read, which may be fewer than
 * they have. */
static ssize_t read_plain(const struct task *task, char *buffer, const struct pages_piece *pieces,
			  size_t n)
{
	struct iovec remote[MAX_PIECES];
	struct iovec local = {buffer, 0};
	size_t n_remote = 0;
	ssize_t done;

	for (; n_remote < n && !(pieces[n_remote].flags & PAGES_FORCED); n_remote++) {
		remote[n_remote].iov_base = (void *)(uintptr_t)pieces[n_remote].address;
		remote[n_remote].iov_len = pieces[n_remote].size;
		local.iov_len += pieces[n_remote].size;
	}
	done = n_remote ? process_vm_readv(task->host_pid, &local, 1, remote, n_remote, 0) : 0;
	return done < 0 ? -errno : done;
}

static int read_task(struct cr *cr, const struct source *source, char *buffer,
		     const struct pages_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n;) {
		ssize_t done = read_plain(source->task, buffer, pieces + i, n - i);

		if (done < 0 && done != -EFAULT)
			return log_err(cr, (int)done, "pid %d: read its memory at %" PRIx64,
				       source->task->host_pid, pieces[i].address);
		for (; i < n && done > 0 && (uint64_t)done >= pieces[i].size; i++) {
			done -= pieces[i].size;
			buffer += pieces[i].size;
		}
		/* The next has to be forced, or could not be read in another way, or not all of it.
		 */
		if (i < n && (done > 0 || pieces[i].flags & PAGES_FORCED || done == -EFAULT)) {
			uint64_t skip = done > 0 ? done : 0;
			int err = read_forced(cr, source, buffer + skip, pieces[i].address + skip,
					      pieces[i].size - skip);

			if (err)
				return err;
			buffer += pieces[i++].size;
		}
	}
	return 0;
}

/* The last page of an object may lie in it only in part; the rest is zero. */
static int read_object(struct cr *cr, const struct mem_object *object, char *buffer,
		       const struct pages_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n; buffer += pieces[i].size, i++) {
		ssize_t done =
			pread_all(object->fd, buffer, pieces[i].size, (off_t)pieces[i].address);

		if (done < 0)
			return log_err(cr, (int)done,
				       "shared memory %s (%" PRIu64 "): read at %" PRIx64,
				       object->name, object->shmid, pieces[i].address);
		memset(buffer + done, 0, pieces[i].size - done);
	}
	return 0;
}

static int open_task(struct cr *cr, struct source *source)
{
	int dir = task_proc_fd(source->task);

	source->pagemap_fd = openat(dir, "pagemap", O_RDONLY | O_CLOEXEC);
	source->mem_fd = openat(dir, "mem", O_RDONLY | O_CLOEXEC);
	if (source->pagemap_fd < 0 || source->mem_fd < 0)
		return log_err(cr, -errno, "pid %d: open its memory", source->task->host_pid);
	return 0;
}

/* By whoever writes the first part. */
static int open_source(struct page_dump *dump, struct source *source)
{
	int err = 0;

	pthread_mutex_lock(&dump->lock);
	if (!source->img) {
		err = image_create(dump->cr->images, IMAGE_PAGES, source->pages_id, &source->img);
		if (err)
			err = image_failed(dump->cr, err);
		else if (source->task)
			err = open_task(dump->cr, source);
	}
	pthread_mutex_unlock(&dump->lock);
	return err;
}

/* By whoever has written the last. */
static int close_source(struct cr *cr, struct source *source)
{
	int err = image_close(TAKE_PTR(source->img));

	close_at(&source->pagemap_fd);
	close_at(&source->mem_fd);
	source->pagemap_fd = source->mem_fd = -1;
	return err ? image_failed(cr, err) : 0;
}

static char *buffer_of(struct page_dump *dump, size_t worker)
{
	if (!dump->buffers[worker])
		dump->buffers[worker] = xmalloc(BUFFER_SIZE);
	return dump->buffers[worker];
}

/* Up to a buffer full of what comes next: number of pieces, and their bytes. */
static size_t gather(const struct pages *pages, struct pages_cursor *cursor, uint64_t max,
		     struct pages_piece *ret_pieces, uint64_t *ret_size)
{
	uint64_t size = 0;
	size_t n = 0;

	while (size < max && n < MAX_PIECES &&
	       pages_next(pages, cursor, max - size, &ret_pieces[n]))
		size += ret_pieces[n++].size;
	*ret_size = size;
	return n;
}

static int read_source(struct cr *cr, const struct source *source, char *buffer,
		       struct window *window, const struct pages_piece *pieces, size_t n)
{
	struct pages_piece apart[MAX_PIECES];

	if (source->object)
		return read_object(cr, source->object, buffer, pieces, n);
	n = split_shared(source, window, pieces, n, apart);
	return read_task(cr, source, buffer, apart, n);
}

static int write_part(void *ctx, size_t index, size_t worker)
{
	struct page_dump *dump = ctx;
	struct cr *cr = dump->cr;
	const struct part *part = &dump->parts[index];
	struct source *source = part->source;
	struct pages_cursor cursor = part->from;
	uint64_t end = MIN(cursor.offset + PART_SIZE, source->pages->n_present * MEM_PAGE);
	char *buffer = buffer_of(dump, worker);
	struct window window = {0};
	int err = open_source(dump, source);

	while (!err && cursor.offset < end) {
		struct pages_piece pieces[MAX_PIECES];
		uint64_t offset = cursor.offset, size;
		size_t n = gather(source->pages, &cursor, MIN(end - offset, (uint64_t)BUFFER_SIZE),
				  pieces, &size);

		if (plan_is_cancelled(cr))
			return -ECANCELED;
		err = read_source(cr, source, buffer, &window, pieces, n);
		if (err)
			return err;
		err = image_pages_write(source->img, buffer, size, offset);
		if (err)
			return image_failed(cr, err);
		progress_add(cr, size);
	}
	if (!err && atomic_fetch_sub(&source->n_left, 1) == 1)
		err = close_source(cr, source);
	return err;
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

/* Objects first, then tasks: ids of pages files come out as in CRIU's images. */
static void find_sources(struct page_dump *dump)
{
	const struct mem_objects *objects = dump->cr->mem->objects;
	struct task *task;

	dump->sources = xcalloc(objects->n + dump->cr->tree->n_tasks, sizeof(*dump->sources));
	for (size_t i = 0; i < objects->n; i++) {
		if (!objects->items[i]->size)
			continue;
		dump->sources[dump->n_sources++] =
			(struct source){.object = objects->items[i],
					.pages = &objects->items[i]->pages,
					.pagemap_fd = -1,
					.mem_fd = -1};
	}
	tree_for_each_task (task, dump->cr->tree)
		if (task->mm)
			dump->sources[dump->n_sources++] =
				(struct source){.task = task,
						.pages = &task->mm->dump->pages,
						.pagemap_fd = -1,
						.mem_fd = -1};
}

static void cut_sources(struct page_dump *dump)
{
	for (size_t i = 0; i < dump->n_sources; i++) {
		struct source *source = &dump->sources[i];
		_cleanup_free_ struct pages_cursor *cursors = NULL;

		source->pages_id = ++dump->cr->mem->last_pages_id;
		source->n_parts = pages_cut(source->pages, PART_SIZE, &cursors);
		source->n_left = source->n_parts;
		dump->parts = array_grow(dump->parts, &dump->capacity,
					 dump->n_parts + source->n_parts, sizeof(*dump->parts));
		for (size_t j = 0; j < source->n_parts; j++)
			dump->parts[dump->n_parts++] = (struct part){source, cursors[j]};
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
		err = pool_run(cr->pool, dump->n_parts, write_part, dump);
	stats_end(cr->stats, STATS_MEMWRITE_TIME);
	return err;
}

int mem_dump_pages(struct cr *cr)
{
	struct page_dump dump = {.cr = cr, .lock = PTHREAD_MUTEX_INITIALIZER};
	size_t n_workers = pool_size(cr->pool);
	int err;

	dump.buffers = xcalloc(n_workers, sizeof(*dump.buffers));
	err = dump_all(&dump);

	for (size_t i = 0; i < dump.n_sources; i++)
		(void)close_source(cr, &dump.sources[i]);
	for (size_t i = 0; i < n_workers; i++)
		free(dump.buffers[i]);
	free(dump.buffers);
	free(dump.parts);
	free(dump.sources);
	return err;
}
