// SPDX-License-Identifier: GPL-2.0-only
/* Memory: the table, the array that grows, the arena and the words that processes share, the
 * handler for out-of-memory. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/alloc.h"
#include "util/arena.h"
#include "util/futex.h"
#include "util/hash.h"
#include "util/time.h"

static void table_keeps_what_is_put(void **state)
{
	static int values[5000];
	struct hash h = {};
	uint64_t key;
	size_t n = 0;
	int *value;

	assert_null(hash_get(&h, 1));
	for (uint64_t i = 0; i < 5000; i++)
		assert_null(hash_put(&h, i << 12, &values[i]));
	assert_ptr_equal(hash_put(&h, 0, &values[1]), &values[0]);
	assert_ptr_equal(hash_put(&h, 0, &values[0]), &values[1]);
	for (uint64_t i = 0; i < 5000; i += 2)
		assert_ptr_equal(hash_take(&h, i << 12), &values[i]);
	assert_null(hash_take(&h, 0));
	assert_int_equal(h.n, 2500);
	for (size_t pos = 0; (value = hash_next(&h, &pos, &key));) {
		assert_ptr_equal(value, &values[key >> 12]);
		assert_true((key >> 12) & 1);
		n++;
	}
	assert_int_equal(n, 2500);
	/* Graves do not fill the table. */
	for (int i = 0; i < 100000; i++) {
		hash_put(&h, 1, &values[0]);
		hash_take(&h, 1);
	}
	assert_true(h.n_slots <= 16384);
	hash_release(&h);
	assert_null(hash_get(&h, 1 << 12));
}

static void hashes_differ(void **state)
{
	assert_true(hash_str("a") != hash_str("b"));
	assert_true(hash_str("a") == hash_bytes("a", 1));
	assert_true(hash_pair(1, 2) != hash_pair(2, 1));
}

static void array_grows(void **state)
{
	size_t capacity = 0, n = 0;
	int *items = NULL;

	for (int i = 0; i < 10000; i++) {
		items = array_grow(items, &capacity, n + 1, sizeof(*items));
		items[n++] = i;
	}
	assert_int_equal(items[9999], 9999);
	assert_true(capacity >= n);
	free(items);
}

static void on_no_memory(void *arg, size_t size)
{
	_exit(size > 1ul << 60 && arg == on_no_memory ? 17 : 18);
}

static int status_of_huge_allocation(void (*handler)(void *, size_t))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		volatile size_t huge = SIZE_MAX / 2;

		signal(SIGABRT, SIG_DFL);
		alloc_set_handler(handler, on_no_memory);
		free(xreallocarray(NULL, huge, 16));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void out_of_memory_ends_in_the_handler(void **state)
{
	int status = status_of_huge_allocation(on_no_memory);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 17);
	status = status_of_huge_allocation(NULL);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void arena_is_shared_and_bounded(void **state)
{
	struct arena *arena = arena_new(10000);
	void *start;
	size_t size;
	char *a, *b;

	assert_non_null(arena);
	a = arena_alloc(arena, 100);
	b = arena_alloc_aligned(arena, 10, 256);
	assert_non_null(a);
	assert_true((uintptr_t)a % 16 == 0 && (uintptr_t)b % 256 == 0);
	assert_true(b >= a + 100);
	assert_true(arena_contains(arena, a) && !arena_contains(arena, &arena));
	if (fork() == 0) {
		strcpy(a, "from the child");
		_exit(0);
	}
	wait(NULL);
	assert_string_equal(a, "from the child");
	assert_string_equal(arena_strdup(arena, "copy"), "copy");
	assert_null(arena_alloc(arena, 20000));
	arena_extent(arena, &start, &size);
	assert_ptr_equal(start, arena);
	for (int i = 0; i < 1000; i++)
		arena_alloc(arena, 100);
	assert_null(arena_alloc(arena, 1));
	assert_null(arena_alloc(arena, 1));
	arena_free(arena);
	arena_free(NULL);
}

static void words_are_waited_for(void **state)
{
	struct arena *arena = arena_new(4096);
	struct futex *f = arena_alloc(arena, sizeof(*f)),
		     *answer = arena_alloc(arena, sizeof(*answer));
	uint64_t before = time_now_us();
	pid_t pid;

	assert_int_equal(futex_wait(f, 1, 1000), 0);
	assert_int_equal(futex_wait(f, 0, 10), -ETIMEDOUT);
	assert_int_equal(futex_wait_for(f, 1, 10), -ETIMEDOUT);
	assert_true(time_now_us() - before >= 20000);

	pid = fork();
	if (pid == 0) {
		int err = futex_wait_at_least(f, 3, 60000);

		futex_set(answer, err == 0 ? 1 : 2);
		_exit(0);
	}
	for (int i = 0; i < 3; i++)
		futex_add_wake(f, 1);
	assert_int_equal(futex_wait_for(answer, 1, 60000), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(futex_wake(f, 1), 0);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_keeps_what_is_put),
		cmocka_unit_test(hashes_differ),
		cmocka_unit_test(array_grows),
		cmocka_unit_test(out_of_memory_ends_in_the_handler),
		cmocka_unit_test(arena_is_shared_and_bounded),
		cmocka_unit_test(words_are_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
