/* SPDX-License-Identifier: GPL-2.0-only */
/* The worker pool: every index once, errors, nesting, groups, lazy threads, stop and start again.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <cmocka.h>

#include "util/pool.h"

#define N_INDEXES 10000

struct tally {
	struct pool *pool;
	unsigned char seen[N_INDEXES];
	size_t calls;
	size_t max_worker;
	size_t fail_at; /* SIZE_MAX: never */
};

static size_t thread_count(void)
{
	DIR *dir = opendir("/proc/self/task");
	size_t n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static int tally_index(void *ctx, size_t index, size_t worker)
{
	struct tally *tally = ctx;
	size_t max = __atomic_load_n(&tally->max_worker, __ATOMIC_RELAXED);

	__atomic_add_fetch(&tally->seen[index], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&tally->calls, 1, __ATOMIC_RELAXED);
	while (worker > max && !__atomic_compare_exchange_n(&tally->max_worker, &max, worker, false,
							    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return index == tally->fail_at ? -EBADF : 0;
}

static void test_every_index_once(void **state)
{
	for (size_t size = 0; size <= 5; size++) {
		struct pool *pool = size ? pool_new(size) : NULL;

		for (int round = 0; round < 20; round++) {
			struct tally tally = {.fail_at = SIZE_MAX};

			assert_int_equal(pool_run(pool, N_INDEXES, tally_index, &tally), 0);
			assert_int_equal(tally.calls, N_INDEXES);
			for (size_t i = 0; i < N_INDEXES; i++)
				assert_int_equal(tally.seen[i], 1);
			assert_true(tally.max_worker < pool_size(pool));
		}
		pool_free(pool);
	}
}

static void test_error_stops(void **state)
{
	struct pool *pool = pool_new(4);
	struct tally tally = {.fail_at = 10};

	assert_int_equal(pool_run(pool, N_INDEXES, tally_index, &tally), -EBADF);
	assert_true(tally.calls >= 1 && tally.calls <= N_INDEXES);
	/* The pool is as good as before. */
	tally.fail_at = SIZE_MAX;
	assert_int_equal(pool_run(pool, N_INDEXES, tally_index, &tally), 0);
	assert_int_equal(pool_run(pool, 0, tally_index, &tally), 0);
	pool_free(pool);
}

static void test_error_stops_serial(void **state)
{
	struct tally tally = {.fail_at = 10};

	assert_int_equal(pool_run(NULL, N_INDEXES, tally_index, &tally), -EBADF);
	assert_int_equal(tally.calls, 11);
}

static int nest_outer(void *ctx, size_t index, size_t worker)
{
	struct tally *tally = ctx;
	struct tally *inner = &tally[1 + index];

	return pool_run(tally->pool, 100, tally_index, inner);
}

static void test_nested(void **state)
{
	static struct tally tallies[1 + 50];
	struct pool *pool = pool_new(3);

	tallies[0].pool = pool;
	for (size_t i = 0; i < 50; i++)
		tallies[1 + i].fail_at = SIZE_MAX;
	assert_int_equal(pool_run(pool, 50, nest_outer, tallies), 0);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(tallies[1 + i].calls, 100);
	pool_free(pool);
}

static int group_job(void *ctx)
{
	return (int)__atomic_add_fetch((size_t *)ctx, 1, __ATOMIC_RELAXED) == 500 ? -ENOSPC : 0;
}

static void test_group(void **state)
{
	for (size_t size = 0; size <= 4; size++) {
		struct pool *pool = size ? pool_new(size) : NULL;
		struct pool_group *group = pool_group_new(pool);

		for (int round = 0; round < 5; round++) {
			size_t count = 0;

			for (int i = 0; i < 1000; i++)
				assert_int_equal(pool_submit(group, group_job, &count), 0);
			/* All run, though one failed; the error is told once. */
			assert_int_equal(pool_wait(group), -ENOSPC);
			assert_int_equal(count, 1000);
			assert_int_equal(pool_wait(group), 0);
		}
		pool_group_free(group);
		pool_free(pool);
	}
}

struct overlap {
	struct pool *pool;
	struct pool_group *group;
	struct tally tally;
	size_t singles;
};

static void test_group_beside_run(void **state)
{
	struct overlap overlap = {.tally.fail_at = SIZE_MAX};

	overlap.pool = pool_new(4);
	overlap.group = pool_group_new(overlap.pool);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 20; i++)
			pool_submit(overlap.group, group_job, &overlap.singles);
		assert_int_equal(pool_run(overlap.pool, 1000, tally_index, &overlap.tally), 0);
		pool_wait(overlap.group);
	}
	assert_int_equal(overlap.singles, 1000);
	pool_group_free(overlap.group);
	pool_free(overlap.pool);
}

static int mask_job(void *ctx, size_t index, size_t worker)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (!sigismember(&mask, SIGINT))
		__atomic_add_fetch((size_t *)ctx, 1, __ATOMIC_RELAXED);
	return 0;
}

/* A thread that was joined may be counted for a moment still. */
static void assert_threads(size_t n)
{
	for (int tries = 0; thread_count() != n && tries < 10000; tries++)
		usleep(1000);
	assert_int_equal(thread_count(), n);
}

static void test_lazy_and_stop(void **state)
{
	struct pool *pool = pool_new(3);
	struct tally tally = {.fail_at = SIZE_MAX};
	size_t before = thread_count(), unmasked = 0;

	pool_run(pool, 1, tally_index, &tally);
	assert_threads(before);
	pool_run(pool, N_INDEXES, tally_index, &tally);
	assert_threads(before + 2);
	pool_stop(pool);
	assert_threads(before);
	pool_run(pool, N_INDEXES, mask_job, &unmasked);
	assert_threads(before + 2);
	pool_free(pool);
	assert_threads(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_index_once),
		cmocka_unit_test(test_error_stops),
		cmocka_unit_test(test_error_stops_serial),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_group),
		cmocka_unit_test(test_group_beside_run),
		cmocka_unit_test(test_lazy_and_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
