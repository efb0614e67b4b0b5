/* SPDX-License-Identifier: GPL-2.0-only */
/* The meeting place of the tasks of a restore, with real processes in random schedules. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "cr.h"
#include "plugin/share-priv.h"
#include "util/fd.h"
#include "util/futex.h"

#define N        8
#define ROUNDS   200
#define FIRST_FD 512
#define LIMIT_MS 60000

static const char *const names[N] = {"task 10", "task 11", "task 12", "task 13",
				     "task 14", "task 15", "task 16", "task 17"};
static const uint32_t two_each[N] = {2, 2, 2, 2, 2, 2, 2, 2};
static const uint32_t only_first[N] = {1};
static const bool everybody[N] = {true, true, true, true, true, true, true, true};
static const bool first_two[N] = {true, true};

static const struct share_class classes[] = {{"q.all", two_each}, {"q.first", only_first}};
static const struct share_barrier barriers[] = {{"q", "all", everybody}, {"q", "two", first_two}};
enum { ALL, FIRST };

/* Shared by the processes of one run. */
struct field {
	struct share *share;
	struct futex finished, never, word;
	struct futex answers[N];
	size_t n;
	unsigned int seed;
};

typedef int (*part_fn)(struct field *field, size_t i);

static struct cr cr;

static struct field *field_new(size_t n, size_t room)
{
	struct field *field = mmap(NULL, sizeof(*field), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct share_plan plan = {
		.n_participants = n,
		.names = names,
		.classes = classes,
		.n_classes = 2,
		.barriers = barriers,
		.n_barriers = 2,
		.room = room,
		.first_fd = FIRST_FD,
	};

	assert_ptr_not_equal(field, MAP_FAILED);
	field->n = n;
	assert_int_equal(share_new(&cr, &plan, &field->share), 0);
	return field;
}

static void field_free(struct field *field)
{
	share_free(field->share);
	munmap(field, sizeof(*field));
}

static void dawdle(unsigned int *seed)
{
	struct timespec t = {.tv_nsec = rand_r(seed) % 300000};

	switch (rand_r(seed) % 4) {
	case 0:
		nanosleep(&t, NULL);
		break;
	case 1:
		sched_yield();
		break;
	}
}

static unsigned int seed_of(const struct field *field, size_t i)
{
	return field->seed * 100 + (unsigned int)i;
}

/* Never returns. What was put must stay until all have fetched it. */
static void take_part(struct field *field, size_t i, part_fn part)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	share_join(field->share, i);
	futex_store(&field->answers[i], (uint32_t)part(field, i));
	share_leave(field->share);
	futex_add_wake(&field->finished, 1);
	futex_wait_for(&field->finished, (uint32_t)field->n, LIMIT_MS);
	_exit(0);
}

static void start(struct field *field, part_fn part, pid_t *ret_pids)
{
	share_start(field->share);
	for (size_t i = 0; i < field->n; i++) {
		ret_pids[i] = fork();
		assert_true(ret_pids[i] >= 0);
		if (!ret_pids[i])
			take_part(field, i, part);
		share_set_pid(field->share, i, ret_pids[i]);
	}
}

static void collect(struct field *field, const pid_t *pids)
{
	int status;

	assert_int_equal(futex_wait_for(&field->finished, (uint32_t)field->n, LIMIT_MS), 0);
	for (size_t i = 0; i < field->n; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

static void run(struct field *field, part_fn part)
{
	pid_t pids[N];

	start(field, part, pids);
	/* As the coordinator does: it waits for the tasks, nothing will come from it. */
	if (share_wait_begin(field->share, &field->never, 0, SHARE_NOBODY, "the tasks") == 0) {
		collect(field, pids);
		share_wait_end(field->share);
	} else {
		collect(field, pids);
	}
}

static void assert_answers(const struct field *field, int expected)
{
	for (size_t i = 0; i < field->n; i++)
		assert_int_equal((int)futex_get(&field->answers[i]), expected);
}

/* ---- what succeeds ---- */

static int put_own(struct field *field, size_t i)
{
	char key[32];
	int fd, err;

	snprintf(key, sizeof(key), "fd %zu", i);
	fd = memfd_create(key, MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)i + 1) < 0)
		return -errno;
	err = share_put_fd(field->share, "p", key, fd);
	close(fd);
	if (err)
		return err;
	snprintf(key, sizeof(key), "bytes %zu", i);
	return share_put_bytes(field->share, "p", key, &i, sizeof(i));
}

static int get_of(struct field *field, size_t i)
{
	size_t value = N;
	struct stat st;
	char key[32];
	int fd;

	snprintf(key, sizeof(key), "bytes %zu", i);
	if (share_get_bytes(field->share, "p", key, &value, sizeof(value)) != sizeof(value) ||
	    value != i)
		return -EBADMSG;
	snprintf(key, sizeof(key), "fd %zu", i);
	fd = share_get_fd(field->share, "p", key);
	if (fd < 0)
		return fd;
	if (fd < FIRST_FD || fstat(fd, &st) < 0 || st.st_size != (off_t)i + 1)
		return -EBADF;
	close(fd);
	return 0;
}

static int all_to_all(struct field *field, size_t i)
{
	unsigned int seed = seed_of(field, i);
	size_t from = (size_t)rand_r(&seed);
	int err;

	dawdle(&seed);
	err = put_own(field, i);
	for (size_t k = 0; k < field->n && !err; k++) {
		dawdle(&seed);
		err = get_of(field, (from + k) % field->n);
	}
	for (int k = 0; k < 2 && !err; k++) {
		dawdle(&seed);
		err = share_class_done(field->share, ALL);
	}
	if (!err && share_class_done(field->share, ALL) != -ERANGE)
		return -EPROTO;
	if (!err)
		err = share_wait_class(field->share, ALL);
	dawdle(&seed);
	return err ? err : share_barrier_wait(field->share, ALL);
}

static void test_random_exchange(void **state)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct field *field = field_new(N, 1 << 20);

		field->seed = round;
		run(field, all_to_all);
		assert_answers(field, 0);
		assert_string_equal(share_chain(field->share), "");
		field_free(field);
	}
}

/* Each can only put after its predecessor did: one wake-up that is lost stops the chain. */
static int relay(struct field *field, size_t i)
{
	unsigned int seed = seed_of(field, i);
	char key[32];

	for (size_t step = 0; step < 10; step++) {
		size_t turn = step * field->n + i;
		int err;

		if (turn) {
			snprintf(key, sizeof(key), "%zu", turn - 1);
			err = share_wait_key(field->share, "p", key);
			if (err)
				return err;
		}
		dawdle(&seed);
		snprintf(key, sizeof(key), "%zu", turn);
		err = share_put_bytes(field->share, "p", key, "", 0);
		if (err)
			return err;
	}
	return 0;
}

static int relay_deferred(struct field *field, size_t i)
{
	char key[32];

	for (size_t step = 0; step < 10; step++) {
		size_t turn = step * field->n + i;

		snprintf(key, sizeof(key), "%zu", turn - 1);
		for (;;) {
			uint32_t generation = share_generation(field->share);
			int err;

			if (!turn || share_has_key(field->share, "p", key))
				break;
			err = share_defer(field->share, generation, key);
			if (err)
				return err;
		}
		snprintf(key, sizeof(key), "%zu", turn);
		if (share_put_bytes(field->share, "p", key, "", 0))
			return -EPROTO;
	}
	return 0;
}

/* The same on a word of the caller's. */
static int relay_word(struct field *field, size_t i)
{
	for (uint32_t step = 0; step < 10; step++) {
		uint32_t turn = step * (uint32_t)field->n + (uint32_t)i, now;

		while ((now = futex_get(&field->word)) != turn) {
			int err = share_wait_word(field->share, &field->word, now, SHARE_NOBODY,
						  "its turn", -1);

			if (err)
				return err;
		}
		futex_set(&field->word, turn + 1);
	}
	return 0;
}

static void test_relays(void **state)
{
	const part_fn parts[] = {relay, relay_deferred, relay_word};

	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct field *field = field_new(N, 1 << 20);

		field->seed = round;
		run(field, parts[round % 3]);
		assert_answers(field, 0);
		field_free(field);
	}
}

static int get_two(struct field *field, size_t i)
{
	char text[8] = "";
	int before = share_get_fd(field->share, "p", "before");
	int after = share_get_fd(field->share, "p", "after");
	struct stat st;

	if (before < 0 || after < 0 || fstat(before, &st) < 0 || st.st_size != 5 ||
	    fstat(after, &st) < 0 || st.st_size != 7)
		return -EBADF;
	if (share_get_bytes(field->share, "p", "text", text, 3) != 6 || strcmp(text, "abc") != 0)
		return -EBADMSG;
	/* Keys of another plugin are others. */
	return share_has_key(field->share, "q", "text") ? -EPROTO : 0;
}

static void test_coordinator_puts(void **state)
{
	struct field *field = field_new(N, 0);
	int fd = memfd_create("x", MFD_CLOEXEC), other = memfd_create("y", MFD_CLOEXEC);
	pid_t pids[N];

	assert_int_equal(ftruncate(fd, 5), 0);
	assert_int_equal(ftruncate(other, 7), 0);
	assert_int_equal(share_put_fd(field->share, "p", "before", fd), 0);
	assert_int_equal(share_put_fd(field->share, "p", "before", fd), -EEXIST);
	start(field, get_two, pids);
	assert_int_equal(share_put_fd(field->share, "p", "after", other), 0);
	assert_int_equal(share_put_bytes(field->share, "p", "text", "abcdef", 6), 0);
	assert_int_equal(share_get_fd(field->share, "p", "text"), -EINVAL);
	collect(field, pids);
	assert_answers(field, 0);
	close(fd);
	close(other);
	field_free(field);
}

static void test_limits(void **state)
{
	struct field *field = field_new(1, 5 << 19);
	char *big = calloc(1, SHARE_MAX_BYTES + 1), name[SHARE_MAX_NAME + 2];

	memset(name, 'k', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(share_put_bytes(field->share, "p", name, "", 0), -ENAMETOOLONG);
	name[SHARE_MAX_NAME] = '\0';
	assert_int_equal(share_put_bytes(field->share, "p", name, "", 0), 0);
	assert_true(share_has_key(field->share, "p", name));
	assert_int_equal(share_put_bytes(field->share, "p", "a", big, SHARE_MAX_BYTES + 1), -E2BIG);
	assert_int_equal(share_put_bytes(field->share, "p", "a", big, SHARE_MAX_BYTES), 0);
	assert_int_equal(share_put_bytes(field->share, "p", "b", big, SHARE_MAX_BYTES), 0);
	assert_int_equal(share_put_bytes(field->share, "p", "c", big, SHARE_MAX_BYTES), -ENOSPC);
	assert_false(share_has_key(field->share, "p", "c"));
	assert_true(share_has_key(field->share, "p", "b"));
	assert_int_equal(share_find_class(field->share, "q.first"), FIRST);
	assert_int_equal(share_find_class(field->share, "q.none"), -ENOENT);
	assert_int_equal(share_find_barrier(field->share, "q", "two"), 1);
	assert_int_equal(share_find_barrier(field->share, "p", "two"), -ENOENT);
	assert_int_equal(share_barrier_wait(field->share, 1), -EPERM);
	free(big);
	field_free(field);
}

/* ---- what cannot end ---- */

/* Everybody waits for the key of the next, in a circle, in all the ways there are to wait. */
static int circle(struct field *field, size_t i)
{
	unsigned int seed = seed_of(field, i);
	uint32_t generation;
	char key[32];

	dawdle(&seed);
	snprintf(key, sizeof(key), "%zu", (i + 1) % field->n);
	switch ((i + field->seed) % 5) {
	case 0:
		return share_get_fd(field->share, "p", key);
	case 1:
		return share_wait_class(field->share, ALL);
	case 2:
		return share_wait_word(field->share, &field->never, 0, 0, "the first", -1);
	case 3:
		for (;;) {
			int err;

			generation = share_generation(field->share);
			if (share_has_key(field->share, "p", key))
				return 0;
			err = share_defer(field->share, generation, key);
			if (err)
				return err;
		}
	}
	return share_wait_key(field->share, "p", key);
}

static void test_circles(void **state)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		/* Two are the tightest race: both may be the last to fall asleep. */
		struct field *field = field_new(round % 2 ? 2 : N, 1 << 20);

		field->seed = round / 2;
		run(field, circle);
		assert_answers(field, -EDEADLK);
		assert_non_null(strstr(share_chain(field->share), "task 11 waits for "));
		field_free(field);
	}
}

/* Each makes its file, and then some wait for what never comes while others end. */
static int some_leave(struct field *field, size_t i)
{
	unsigned int seed = seed_of(field, i);

	dawdle(&seed);
	if (i % 2 == 0)
		return share_put_bytes(field->share, "p", names[i], "", 0);
	if (share_wait_key(field->share, "p", names[i - 1]))
		return -EPROTO;
	return share_wait_key(field->share, "p", "never") == -EDEADLK ? 0 : -EPROTO;
}

static void test_last_one_leaves(void **state)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct field *field = field_new(N, 1 << 20);

		field->seed = round;
		run(field, some_leave);
		assert_answers(field, 0);
		assert_int_equal(share_outcome(field->share), -EDEADLK);
		field_free(field);
	}
}

static int known_chain(struct field *field, size_t i)
{
	return i ? share_wait_class(field->share, FIRST) : share_wait_key(field->share, "p", "x");
}

static void test_chain(void **state)
{
	struct field *field = field_new(2, 0);

	run(field, known_chain);
	assert_answers(field, -EDEADLK);
	assert_non_null(strstr(share_chain(field->share),
			       "task 10 waits for key `x' of plugin p; task 11 waits for class "
			       "q.first, of which task 10 has 1 file"));
	field_free(field);
}

/* ---- failure ---- */

static int barrier_of_two(struct field *field, size_t i)
{
	unsigned int seed = seed_of(field, i);

	dawdle(&seed);
	return i == 0 ? -ECANCELED : share_barrier_wait(field->share, 1);
}

static void test_barrier_breaks(void **state)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct field *field = field_new(2, 1 << 20);

		field->seed = round;
		run(field, barrier_of_two);
		assert_answers(field, -ECANCELED);
		assert_int_equal(share_outcome(field->share), 0);
		field_free(field);
	}
}

static int wait_or_fail(struct field *field, size_t i)
{
	unsigned int seed = seed_of(field, i);

	dawdle(&seed);
	if (i == field->seed % field->n) {
		share_fail(field->share);
		return -ECANCELED;
	}
	switch (i % 3) {
	case 0:
		return share_wait_key(field->share, "p", "never");
	case 1:
		return share_wait_word(field->share, &field->never, 0, SHARE_NOBODY, "x", -1);
	}
	return share_barrier_wait(field->share, ALL);
}

static void test_fail_wakes_all(void **state)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct field *field = field_new(N, 1 << 20);

		field->seed = round;
		run(field, wait_or_fail);
		assert_answers(field, -ECANCELED);
		field_free(field);
	}
}

/* The first dies, with the lock in every second round; the others sleep, or want the lock. */
static int one_dies(struct field *field, size_t i)
{
	unsigned int seed = seed_of(field, i);
	char key[32];

	dawdle(&seed);
	if (i == 0) {
		if (field->seed % 2)
			share_lock(field->share);
		raise(SIGKILL);
	}
	snprintf(key, sizeof(key), "%zu", i);
	if (i % 2)
		share_put_bytes(field->share, "p", key, "", 0);
	return share_barrier_wait(field->share, ALL);
}

static void test_death(void **state)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct field *field = field_new(N, 1 << 20);
		pid_t pids[N];
		int status;

		field->seed = round;
		start(field, one_dies, pids);
		/* Every tenth time the coordinator runs into the lock before it hears of the death.
		 */
		if (round % 20 == 1) {
			siginfo_t info;

			assert_int_equal(waitid(P_PID, (id_t)pids[0], &info, WEXITED | WNOWAIT), 0);
			assert_int_equal(share_wait_key(field->share, "p", "never"), -ECANCELED);
		}
		assert_int_equal(waitpid(pids[0], &status, 0), pids[0]);
		assert_true(WIFSIGNALED(status));
		share_participant_died(field->share, 0);
		futex_add_wake(&field->finished, 1);
		assert_int_equal(futex_wait_for(&field->finished, N, LIMIT_MS), 0);
		for (size_t i = 1; i < N; i++) {
			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			assert_int_equal((int)futex_get(&field->answers[i]), -ECANCELED);
		}
		field_free(field);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_exchange),
		cmocka_unit_test(test_relays),
		cmocka_unit_test(test_coordinator_puts),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_circles),
		cmocka_unit_test(test_last_one_leaves),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_barrier_breaks),
		cmocka_unit_test(test_fail_wakes_all),
		cmocka_unit_test(test_death),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
