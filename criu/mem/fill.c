// SPDX-License-Identifier: GPL-2.0-only
/*
 * Filling memory from pages files. The unit of work is a few MiB of a file, whole chunks of its
 * digest: populate the memory they go to in large steps (a page fault each costs more than the
 * copy), read them there with preadv(2), and check them while they are in the CPU's cache. Bytes of
 * a chunk that are not wanted (the child images have newer ones) are read aside, so that the chunk
 * can be checked. Where a page is still shared with the parent process it is read aside too, and
 * written only if it differs.
 */
#include "mem/fill.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/lib/image.h"
#include "mem/content.h"
#include "mem/mem-priv.h"
#include "mem/vma-status.h"
#include "run.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/stats.h"

#define JOB_SIZE   (4 * (uint64_t)IMAGE_CHUNK)
#define BATCH_SIZE (256 * 1024)
/* By one call; the kernel clears it, and it shall still be in the CPU's cache when it is read. */
#define POPULATE_SIZE (1024 * 1024)
#define MAX_PARTS     (2 * BATCH_SIZE / MEM_PAGE + 1)
/* Shorter pieces are left to page faults: the extra call would cost as much. */
#define POPULATE_MIN (4 * MEM_PAGE)

struct fill_level {
	struct image *img;
	struct image_dir *dir;
	struct fill_piece *pieces;
	size_t n, capacity;
};

struct fill {
	struct cr *cr;
	const struct content *content;
	const char *what;
	struct fill_level *levels;
	struct fill_job *jobs;
	size_t n_jobs, jobs_capacity;
	char **buffers; /* by worker */
};

void fill_add(struct fill_pieces *pieces, const struct content *content, uint64_t start,
	      uint64_t end, uint64_t at, bool is_compared)
{
	for (size_t i = content_find(content, start);
	     i < content->n && content->extents[i].start < end; i++) {
		const struct content_extent *extent = &content->extents[i];
		uint64_t from = MAX(extent->start, start);
		uint64_t to = MIN(extent->start + extent->size, end);

		pieces->items = array_grow(pieces->items, &pieces->capacity, pieces->n + 1,
					   sizeof(*pieces->items));
		pieces->items[pieces->n++] = (struct fill_piece){
			.at = at + (from - start),
			.size = to - from,
			.offset = extent->offset + (from - extent->start),
			.level = extent->level,
			.is_compared = is_compared,
		};
		pieces->size += to - from;
	}
}

void fill_release(struct fill_pieces *pieces)
{
	free(pieces->items);
	*pieces = (struct fill_pieces){0};
}

static void add_job(struct fill_job **jobs, size_t *n_jobs, size_t *capacity, struct fill_job job)
{
	*jobs = array_grow(*jobs, capacity, *n_jobs + 1, sizeof(**jobs));
	(*jobs)[(*n_jobs)++] = job;
}

void fill_cut(const struct fill_piece *pieces, size_t n, uint64_t size, uint64_t chunk,
	      uint64_t max, struct fill_job **jobs, size_t *n_jobs, size_t *capacity)
{
	uint64_t done = 0; /* end of the last job */

	for (size_t i = 0; i < n; i++) {
		uint64_t start = MAX(round_down(pieces[i].offset, chunk), done);
		uint64_t end = MIN(round_up(pieces[i].offset + pieces[i].size, chunk), size);

		while (start < end) {
			struct fill_job *last = *n_jobs ? &(*jobs)[*n_jobs - 1] : NULL;
			uint64_t stop = MIN(end, start + max);

			/* The first piece of a file may begin a job, later ones may go on with it.
			 */
			if (done && last && last->end == start && last->end - last->start < max) {
				stop = MIN(stop, last->start + max);
				last->end = stop;
			} else {
				add_job(jobs, n_jobs, capacity,
					(struct fill_job){.level = pieces[i].level,
							  .first = i,
							  .start = start,
							  .end = stop});
			}
			start = done = stop;
		}
	}
}

static int failed(const struct fill *fill, const struct fill_level *level, int err)
{
	return log_refuse(fill->cr, err, "%s", image_last_error(level->dir));
}

static void populate(const struct fill_piece *piece, uint64_t from, uint64_t size)
{
	/* Where the kernel cannot (before 5.14) or there is no memory, reading will tell. */
	if (!piece->is_compared && size >= POPULATE_MIN)
		madvise((void *)(uintptr_t)(piece->at + from), size, MADV_POPULATE_WRITE);
}

static void populate_range(const struct fill_level *level, size_t first, uint64_t start,
			   uint64_t end)
{
	for (size_t i = first; i < level->n && level->pieces[i].offset < end; i++) {
		const struct fill_piece *piece = &level->pieces[i];
		uint64_t from = MAX(piece->offset, start);
		uint64_t to = MIN(piece->offset + piece->size, end);

		if (from < to)
			populate(piece, from - piece->offset, to - from);
	}
}

/* What is read by one call: to where it belongs (piece, not compared), or into the buffer. */
struct batch {
	struct iovec parts[MAX_PARTS];
	const struct fill_piece *piece[MAX_PARTS]; /* NULL: not wanted */
	uint64_t in_piece[MAX_PARTS];              /* where in it */
	int n;
	uint64_t offset, size;
};

static void batch_add(struct batch *batch, char *buffer, const struct fill_piece *piece,
		      uint64_t in_piece, uint64_t size)
{
	bool is_direct = piece && !piece->is_compared;

	batch->piece[batch->n] = piece;
	batch->in_piece[batch->n] = in_piece;
	batch->parts[batch->n].iov_base = is_direct ? (void *)(uintptr_t)(piece->at + in_piece)
						    : buffer + batch->size;
	batch->parts[batch->n].iov_len = size;
	batch->size += size;
	batch->n++;
}

/* The next up to BATCH_SIZE bytes from *offset on, below end; *next is the first piece that may be
 * in them. */
static void make_batch(const struct fill_level *level, char *buffer, size_t *next, uint64_t offset,
		       uint64_t end, struct batch *batch)
{
	batch->n = 0;
	batch->size = 0;
	batch->offset = offset;
	end = MIN(end, offset + BATCH_SIZE);
	while (offset < end) {
		const struct fill_piece *piece = NULL;
		uint64_t stop = end;

		while (*next < level->n &&
		       level->pieces[*next].offset + level->pieces[*next].size <= offset)
			++*next;
		if (*next < level->n) {
			const struct fill_piece *candidate = &level->pieces[*next];

			if (candidate->offset <= offset) {
				piece = candidate;
				stop = MIN(end, candidate->offset + candidate->size);
			} else {
				stop = MIN(end, candidate->offset);
			}
		}
		batch_add(batch, buffer, piece, piece ? offset - piece->offset : 0, stop - offset);
		offset = stop;
	}
}

/* preadv(2) until all is there; parts is used up. */
static int read_parts(int fd, struct iovec *parts, int n, off_t offset)
{
	while (n) {
		ssize_t done = preadv(fd, parts, n, offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			return -ENODATA;
		offset += done;
		for (; n && (size_t)done >= parts->iov_len; parts++, n--)
			done -= parts->iov_len;
		if (n) {
			parts->iov_base = (char *)parts->iov_base + done;
			parts->iov_len -= done;
		}
	}
	return 0;
}

static void write_differences(struct cr *cr, char *to, const char *from, uint64_t size)
{
	uint64_t n_same = 0;

	for (uint64_t i = 0; i < size; i += MEM_PAGE) {
		if (memcmp(to + i, from + i, MEM_PAGE) == 0)
			n_same++;
		else
			memcpy(to + i, from + i, MEM_PAGE);
	}
	stats_add(cr->stats, STATS_PAGES_COMPARED, size / MEM_PAGE);
	stats_add(cr->stats, STATS_PAGES_SKIPPED_COW, n_same);
}

static int run_batch(struct fill *fill, const struct fill_level *level, const struct batch *batch)
{
	struct iovec parts[MAX_PARTS];
	uint64_t offset = batch->offset;
	int err;

	memcpy(parts, batch->parts, batch->n * sizeof(*parts));
	err = read_parts(image_fd(level->img), parts, batch->n, (off_t)offset);
	if (err)
		return log_err(fill->cr, err, "%s: read %" PRIu64 " bytes at %" PRIu64 " of %s",
			       fill->what, batch->size, offset, image_file_name(level->img));

	for (int i = 0; i < batch->n; i++) {
		const struct iovec *part = &batch->parts[i];
		const struct fill_piece *piece = batch->piece[i];

		err = image_pages_verify(level->img, part->iov_base, part->iov_len, offset);
		if (err)
			return failed(fill, level, err);
		if (piece && piece->is_compared)
			write_differences(fill->cr,
					  (char *)(uintptr_t)(piece->at + batch->in_piece[i]),
					  part->iov_base, part->iov_len);
		offset += part->iov_len;
	}
	return 0;
}

static int run_job(void *ctx, size_t index, size_t worker)
{
	struct fill *fill = ctx;
	const struct fill_job *job = &fill->jobs[index];
	const struct fill_level *level = &fill->levels[job->level];
	uint64_t populated = job->start;
	size_t next = job->first;
	struct batch batch;

	if (plan_is_cancelled(fill->cr))
		return -ECANCELED;
	if (!fill->buffers[worker])
		fill->buffers[worker] = xmalloc(BATCH_SIZE);
	for (uint64_t offset = job->start; offset < job->end; offset += batch.size) {
		int err;

		if (offset >= populated) {
			populated = MIN(offset + POPULATE_SIZE, job->end);
			populate_range(level, next, offset, populated);
		}

		make_batch(level, fill->buffers[worker], &next, offset, job->end, &batch);
		err = run_batch(fill, level, &batch);
		if (err)
			return err;
	}
	progress_add(fill->cr, job->end - job->start);
	return 0;
}

static int open_levels(struct fill *fill, const struct fill_pieces *pieces)
{
	const struct content *content = fill->content;

	fill->levels = xcalloc(content->n_levels, sizeof(*fill->levels));
	for (size_t i = 0; i < pieces->n; i++) {
		struct fill_level *level = &fill->levels[pieces->items[i].level];

		level->pieces = array_grow(level->pieces, &level->capacity, level->n + 1,
					   sizeof(*level->pieces));
		level->pieces[level->n++] = pieces->items[i];
	}
	for (uint32_t i = 0; i < content->n_levels; i++) {
		struct fill_level *level = &fill->levels[i];
		int err;

		if (!level->n)
			continue;
		err = content_dir(fill->cr, i, &level->dir);
		if (err)
			return err;
		err = image_open(level->dir, IMAGE_PAGES, content->levels[i].pages_id, &level->img);
		if (err)
			return failed(fill, level, err);
		if (image_fd(level->img) < 0)
			return log_refuse(fill->cr, -ENOENT, "%s: is missing",
					  image_file_name(level->img));
		fill_cut(level->pieces, level->n, content->levels[i].size, IMAGE_CHUNK, JOB_SIZE,
			 &fill->jobs, &fill->n_jobs, &fill->jobs_capacity);
	}
	return 0;
}

static void release(struct fill *fill, size_t n_workers)
{
	for (uint32_t i = 0; i < fill->content->n_levels; i++) {
		image_close(fill->levels[i].img);
		free(fill->levels[i].pieces);
	}
	for (size_t i = 0; i < n_workers; i++)
		free(fill->buffers[i]);
	free(fill->levels);
	free(fill->jobs);
	free(fill->buffers);
}

int fill_run(struct cr *cr, const struct content *content, const struct fill_pieces *pieces,
	     bool parallel, const char *what)
{
	struct pool *pool = parallel ? cr->pool : NULL;
	size_t n_workers = pool_size(pool);
	struct fill fill = {.cr = cr, .content = content, .what = what};
	int err;

	if (!pieces->n)
		return 0;
	fill.buffers = xcalloc(n_workers, sizeof(*fill.buffers));
	err = open_levels(&fill, pieces);
	if (!err)
		err = pool_run(pool, fill.n_jobs, run_job, &fill);
	if (!err)
		stats_add(cr->stats, STATS_PAGES_RESTORED, pieces->size / MEM_PAGE);
	release(&fill, n_workers);
	return err;
}
