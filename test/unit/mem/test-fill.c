// SPDX-License-Identifier: GPL-2.0-only
/* Cutting what is to be read into jobs (mem/fill.h), and finding pages in a chain of page maps
 * (mem/content.h). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mem/content.h"
#include "mem/fill.h"
#include "mem/vma-status.h"
#include "util/alloc.h"

#define P     4096ull
#define CHUNK (256 * P)

static struct fill_piece piece(uint64_t page, uint64_t n)
{
	return (struct fill_piece){.offset = page * P, .size = n * P};
}

struct cut {
	struct fill_job *jobs;
	size_t n, capacity;
};

/* Jobs do not overlap, are whole chunks, hold every piece, and know the first one they need. */
static void check_jobs(const struct fill_piece *pieces, size_t n, uint64_t size, uint64_t max,
		       const struct cut *cut)
{
	uint64_t end = 0;

	for (size_t i = 0; i < cut->n; i++) {
		const struct fill_job *job = &cut->jobs[i];

		assert_true(job->start >= end && job->start < job->end);
		assert_int_equal(job->start % CHUNK, 0);
		assert_true(job->end % CHUNK == 0 || job->end == size);
		assert_true(job->end - job->start <= max);
		for (size_t j = 0; j < job->first; j++)
			assert_true(pieces[j].offset + pieces[j].size <= job->start);
		end = job->end;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t at = pieces[i].offset;

		for (size_t j = 0; j < cut->n; j++)
			if (cut->jobs[j].start <= at && at < cut->jobs[j].end)
				at = cut->jobs[j].end;
		assert_true(at >= pieces[i].offset + pieces[i].size);
	}
}

static void test_one_large_piece(void **state)
{
	struct fill_piece pieces[] = {piece(0, 1000 * 256 + 3)};
	uint64_t size = pieces[0].size;
	struct cut cut = {0};

	fill_cut(pieces, 1, size, CHUNK, 4 * CHUNK, &cut.jobs, &cut.n, &cut.capacity);
	assert_int_equal(cut.n, 251);
	check_jobs(pieces, 1, size, 4 * CHUNK, &cut);
	free(cut.jobs);
}

static void test_chunks_without_pieces_are_left_out(void **state)
{
	struct fill_piece pieces[] = {piece(3, 1), piece(10 * 256, 2), piece(10 * 256 + 5, 1),
				      piece(12 * 256 - 1, 2)};
	struct cut cut = {0};

	fill_cut(pieces, 4, 100 * CHUNK, CHUNK, 4 * CHUNK, &cut.jobs, &cut.n, &cut.capacity);
	check_jobs(pieces, 4, 100 * CHUNK, 4 * CHUNK, &cut);
	assert_int_equal(cut.n, 2);
	assert_int_equal(cut.jobs[1].start, 10 * CHUNK);
	assert_int_equal(cut.jobs[1].end, 13 * CHUNK);
	free(cut.jobs);
}

static void test_random_pieces(void **state)
{
	srand(5);
	for (int round = 0; round < 200; round++) {
		struct fill_piece pieces[100];
		struct cut cut = {0};
		uint64_t at = 0;

		for (int i = 0; i < 100; i++) {
			at += rand() % 4 ? rand() % 3 : rand() % 2000;
			pieces[i] = piece(at, 1 + (rand() % 5 ? rand() % 20 : rand() % 3000));
			at = (pieces[i].offset + pieces[i].size) / P;
		}
		fill_cut(pieces, 100, (at + 5) * P, CHUNK, 4 * CHUNK, &cut.jobs, &cut.n,
			 &cut.capacity);
		check_jobs(pieces, 100, (at + 5) * P, 4 * CHUNK, &cut);
		free(cut.jobs);
	}
}

static void add_level(struct content *content)
{
	content->levels =
		xreallocarray(content->levels, content->n_levels + 1, sizeof(*content->levels));
	content->levels[content->n_levels++] = (struct content_level){.is_loaded = true};
}

static void add_run(struct content *content, uint64_t first, uint64_t n, uint32_t flags)
{
	struct content_level *level = &content->levels[content->n_levels - 1];
	uint64_t offset = level->pages.n_present * P;

	pages_add(&level->pages, first * P, (first + n) * P, flags);
	level->offsets = xreallocarray(level->offsets, level->pages.n, sizeof(*level->offsets));
	level->offsets[level->pages.n - 1] = offset;
}

static void test_pages_of_parents(void **state)
{
	struct content content = {0};
	uint64_t missing;

	add_level(&content);
	add_run(&content, 10, 2, PE_PRESENT);
	add_run(&content, 12, 6, PE_PARENT);
	add_run(&content, 30, 1, PE_PRESENT);
	add_level(&content);
	add_run(&content, 5, 9, PE_PRESENT);
	add_run(&content, 14, 3, PE_PARENT);
	add_run(&content, 17, 3, PE_PRESENT);
	add_level(&content);
	add_run(&content, 0, 100, PE_PRESENT);

	assert_int_equal(content_resolve(&content, &missing), 0);
	assert_int_equal(content.n, 5);
	assert_int_equal(content.extents[1].level, 1);
	assert_int_equal(content.extents[1].start, 12 * P);
	assert_int_equal(content.extents[1].size, 2 * P);
	assert_int_equal(content.extents[1].offset, 7 * P);
	assert_int_equal(content.extents[2].level, 2);
	assert_int_equal(content.extents[2].offset, 14 * P);
	assert_int_equal(content.extents[3].level, 1);
	assert_int_equal(content.extents[3].offset, 9 * P);
	assert_int_equal(content.extents[3].size, 1 * P);
	assert_int_equal(content.extents[4].offset, 2 * P);
	assert_int_equal(content_find(&content, 12 * P), 1);
	assert_int_equal(content_find(&content, 31 * P), 5);
	content_release(&content);
}

static void test_pages_that_are_nowhere(void **state)
{
	struct content content = {0};
	uint64_t missing;

	add_level(&content);
	add_run(&content, 10, 4, PE_PARENT);
	add_level(&content);
	add_run(&content, 10, 2, PE_PRESENT);
	add_run(&content, 13, 9, PE_PRESENT);
	assert_int_equal(content_resolve(&content, &missing), -ENOENT);
	assert_int_equal(missing, 12 * P);
	content_release(&content);

	add_level(&content);
	add_run(&content, 10, 4, PE_PARENT);
	assert_int_equal(content_resolve(&content, &missing), -ENOENT);
	assert_int_equal(missing, 10 * P);
	content_release(&content);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_large_piece),
		cmocka_unit_test(test_chunks_without_pieces_are_left_out),
		cmocka_unit_test(test_random_pieces),
		cmocka_unit_test(test_pages_of_parents),
		cmocka_unit_test(test_pages_that_are_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
