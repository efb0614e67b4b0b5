// SPDX-License-Identifier: GPL-2.0-only
/*
 * One test a name, run as: try NAME DIRECTORY-OF-PROGRAMS. Exits 0, or says what went wrong and
 * exits 1. All but the speed are also what a user of the library may expect of it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "blob-test.h"
#include "compel/compel.h"
#include "test/compel/inject.h"
#include "test/compel/tasks.h"

static char program[4096];

static const char *program_at(const char *dir, const char *name)
{
	snprintf(program, sizeof(program), "%s/%s", dir, name);
	return program;
}

static void expect(bool ok, const char *what)
{
	if (!ok)
		die("expected: %s", what);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void expect_well(struct victim *v)
{
	if (!victim_is_well(v))
		exit(1);
}

/* The main thread in each of the calls, among threads in all the others. */
static void try_kinds(const char *dir)
{
	static const char *const kinds[] = {"compute", "nanosleep", "futex",
					    "poll",    "pipe",      "epoll"};

	for (int first = 0; first < 6; first++) {
		const char *list[7] = {0};
		struct victim v;

		for (int i = 0; i < 6; i++)
			list[i] = kinds[(first + i) % 6];
		victim_start(&v, program_at(dir, first % 2 ? "victim" : "victim-static"), list);
		for (int i = 0; i < 30; i++) {
			inject_once(v.pid, 0);
			if (i % 10 == 0)
				expect_well(&v);
		}
		expect_well(&v);
		victim_stop(&v);
	}
}

/* A stopped process is injected into and remains stopped. */
static void try_stopped(const char *dir)
{
	static const char *const kinds[] = {"nanosleep", "compute", "futex", NULL};
	struct threads threads;
	struct victim v;

	victim_start(&v, program_at(dir, "victim"), kinds);
	for (int i = 0; i < 20; i++) {
		kill(v.pid, SIGSTOP);
		wait_state(v.pid, 'T');
		inject_once(v.pid, 0);
		wait_state(v.pid, 'T');
		kill(v.pid, SIGCONT);
		expect_well(&v);
	}
	/* Left stopped on demand. */
	threads_stop(v.pid, &threads);
	threads_detach(&threads, SIGSTOP);
	wait_state(v.pid, 'T');
	kill(v.pid, SIGCONT);
	expect_well(&v);
	victim_stop(&v);
}

struct sender {
	struct victim *v;
	bool stop;
	bool with_stops;
};

static void *send_signals(void *arg)
{
	struct sender *sender = arg;

	while (!__atomic_load_n(&sender->stop, __ATOMIC_SEQ_CST)) {
		victim_signal(sender->v);
		if (sender->with_stops) {
			kill(sender->v->pid, SIGSTOP);
			usleep(1500);
			kill(sender->v->pid, SIGCONT);
			usleep(2000);
		}
		usleep(500);
	}
	return NULL;
}

/* Signals that come at any time arrive once, SIGSTOP and SIGCONT in the middle do no harm. */
static void try_signals(const char *dir, bool with_stops)
{
	static const char *const kinds[] = {"compute", "compute", "nanosleep",
					    "compute", "poll",    NULL};
	struct victim v;
	struct sender sender = {&v, false, with_stops};
	pthread_t thread;

	victim_start(&v, program_at(dir, "victim"), kinds);
	pthread_create(&thread, NULL, send_signals, &sender);
	for (int i = 0; i < 100; i++)
		inject_once(v.pid, 0);
	__atomic_store_n(&sender.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	expect(v.nr_sent > 20, "many signals");
	expect_well(&v);
	victim_stop(&v);
}

static void print_line(void *opaque, enum compel_level level, const char *text)
{
	printf("%s\n", text);
}

static struct compel_session *infect(pid_t pid, struct threads *threads, unsigned int slots)
{
	struct compel_options options = {.log = print_line};
	struct compel_layout layout = {.threads = slots};
	struct compel_session *s;

	threads_stop(pid, threads);
	expect(compel_session_new(pid, &options, &s) == 0, "session");
	expect(compel_blob_load(s, &blob_test, &layout) == 0, "load");
	return s;
}

/* A blob that faults is an error, and the process is cured all the same. */
static void try_fault(const char *dir)
{
	static const char *const kinds[] = {"nanosleep", "compute", NULL};
	struct compel_session *s;
	struct threads threads;
	struct victim v;
	long ret;

	victim_start(&v, program_at(dir, "victim"), kinds);
	s = infect(v.pid, &threads, 0);
	expect(compel_call(s, threads.tids[0], BLOB_TEST_test_fault, 8, &ret) == -EFAULT, "fault");
	expect(compel_call(s, threads.tids[1], BLOB_TEST_test_fault, 8, &ret) == -EFAULT, "fault");
	expect(compel_call(s, threads.tids[1], BLOB_TEST_test_tid, 5, &ret) == 0 &&
		       ret == threads.tids[1] + 5,
	       "a call after that");
	expect(compel_cure(s) == 0, "cure");
	compel_session_free(s);
	threads_detach(&threads, 0);
	expect_well(&v);
	victim_stop(&v);
}

/* A process that dies in the middle is an error, not a hang. */
static void try_death(const char *dir)
{
	static const char *const kinds[] = {"nanosleep", "compute", NULL};

	for (int when = 0; when < 3; when++) {
		struct compel_rpc rpc = {.command = 1};
		struct compel_session *s;
		struct threads threads;
		struct victim v;
		long ret;

		victim_start(&v, program_at(dir, "victim"), kinds);
		s = infect(v.pid, &threads, 0);
		if (when == 1)
			expect(compel_daemon_start(s) == 0, "daemon");
		if (when == 2)
			expect(compel_call(s, threads.tids[1], BLOB_TEST_test_tid, 0, &ret) == 0,
			       "call");
		kill(v.pid, SIGKILL);
		expect(compel_rpc(s, &rpc) < 0, "no answer");
		expect(compel_call(s, threads.tids[1], BLOB_TEST_test_tid, 0, &ret) < 0, "no call");
		compel_session_free(s);
		for (unsigned int i = 0; i < threads.count; i++)
			compel_detach(threads.tids[i], 0);
		victim_stop(&v);
	}
}

/* Without the instructions for a way back it works as well, and says that it is not safe. */
static void try_bare(const char *dir)
{
	static const char *const kinds[] = {"nanosleep", NULL};
	struct compel_options options = {.refuse_unsafe = true};
	struct compel_session *s;
	struct threads threads;
	struct victim v;

	victim_start(&v, program_at(dir, "bare"), kinds);
	threads_stop(v.pid, &threads);
	expect(compel_session_new(v.pid, &options, &s) == -ENOTSUP, "refused as unsafe");
	threads_detach(&threads, 0);
	for (int i = 0; i < 50; i++)
		inject_once(v.pid, INJECT_UNSAFE);
	expect_well(&v);
	victim_stop(&v);
}

/* Filters of a process do not hold for what it is made to do, and hold again after it. */
static void try_sandbox(const char *dir)
{
	static const char *const kinds[] = {"compute", "nanosleep", "sandbox", NULL};
	struct victim v;

	if (geteuid() != 0)
		return;
	victim_start(&v, program_at(dir, "victim"), kinds);
	for (int i = 0; i < 30; i++)
		inject_once(v.pid, 0);
	expect_well(&v);
	victim_stop(&v);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_times(const char *what, double *ms, int count)
{
	qsort(ms, count, sizeof(*ms), compare_doubles);
	printf("%-44s median %7.3f ms, least %7.3f, most %7.3f\n", what, ms[count / 2], ms[0],
	       ms[count - 1]);
}

enum { ROUNDS = 50 };

/* What this process used of a processor: other work on the machine does not show in it. */
static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void time_single(const char *dir)
{
	static const char *const kinds[] = {"nanosleep", NULL};
	double all[ROUNDS], load[ROUNDS], cure[ROUNDS], rpc_ms[ROUNDS];
	struct victim v;

	victim_start(&v, program_at(dir, "victim"), kinds);
	for (int i = 0; i < ROUNDS; i++) {
		struct compel_rpc rpc = {.command = 1};
		struct compel_session *s;
		struct threads threads;
		double t0, t1, t2, t3;

		threads_stop(v.pid, &threads);
		t0 = now_ms();
		expect(compel_session_new(v.pid, NULL, &s) == 0, "session");
		expect(compel_blob_load(s, &blob_test, NULL) == 0, "load");
		expect(compel_daemon_start(s) == 0, "daemon");
		t1 = now_ms();
		expect(compel_rpc(s, &rpc) == 0, "rpc");
		t2 = now_ms();
		compel_session_free(s);
		t3 = now_ms();
		threads_detach(&threads, 0);
		load[i] = t1 - t0;
		rpc_ms[i] = t2 - t1;
		cure[i] = t3 - t2;
		all[i] = t3 - t0;
	}
	print_times("session, load, start the command loop", load, ROUNDS);
	print_times("a command", rpc_ms, ROUNDS);
	print_times("cure", cure, ROUNDS);
	print_times("all of it, one task", all, ROUNDS);
	expect_well(&v);
	victim_stop(&v);
}

static void time_threads(const char *dir)
{
	enum { THREADS = 500 };
	static const char *kinds[THREADS + 1];
	struct compel_thread_call calls[THREADS];
	double call[ROUNDS], again[ROUNDS], cure[ROUNDS], cpu[ROUNDS];
	struct victim v;

	for (int i = 0; i < THREADS; i++)
		kinds[i] = "sleep";
	victim_start(&v, program_at(dir, "victim"), kinds);
	for (int i = 0; i < ROUNDS; i++) {
		struct compel_session *s;
		struct threads threads;
		double t0, t1, t2, t3;

		threads_stop(v.pid, &threads);
		expect(compel_session_new(v.pid, NULL, &s) == 0, "session");
		expect(compel_blob_load(s, &blob_test,
					&(struct compel_layout){.threads = THREADS}) == 0,
		       "load");
		expect(compel_daemon_start(s) == 0, "daemon");
		for (int n = 0; n < THREADS; n++) {
			uint64_t args = compel_args_address(s).value;

			calls[n] = (struct compel_thread_call){.tid = threads.tids[n],
							       .arg = args + n * 64};
		}
		cpu[i] = cpu_ms();
		t0 = now_ms();
		expect(compel_call_threads(s, BLOB_TEST_test_facts, calls, THREADS) == 0, "calls");
		t1 = now_ms();
		cpu[i] = cpu_ms() - cpu[i];
		expect(compel_call_threads(s, BLOB_TEST_test_facts, calls, THREADS) == 0, "again");
		t2 = now_ms();
		compel_session_free(s);
		t3 = now_ms();
		threads_detach(&threads, 0);
		call[i] = t1 - t0;
		again[i] = t2 - t1;
		cure[i] = t3 - t2;
	}
	print_times("a function of 4 calls in 500 threads", call, ROUNDS);
	print_times("of that, processor time of the caller", cpu, ROUNDS);
	print_times("the same again", again, ROUNDS);
	print_times("cure of 500 threads", cure, ROUNDS);
	victim_stop(&v);
}

int main(int argc, char **argv)
{
	const char *name = argc == 3 ? argv[1] : "";
	const char *dir = argv[2];

	alarm(300);
	if (strcmp(name, "kinds") == 0)
		try_kinds(dir);
	else if (strcmp(name, "stopped") == 0)
		try_stopped(dir);
	else if (strcmp(name, "signals") == 0)
		try_signals(dir, false);
	else if (strcmp(name, "stops") == 0)
		try_signals(dir, true);
	else if (strcmp(name, "fault") == 0)
		try_fault(dir);
	else if (strcmp(name, "death") == 0)
		try_death(dir);
	else if (strcmp(name, "sandbox") == 0)
		try_sandbox(dir);
	else if (strcmp(name, "bare") == 0)
		try_bare(dir);
	else if (strcmp(name, "speed") == 0)
		time_single(dir), time_threads(dir);
	else if (strcmp(name, "threads") == 0)
		time_threads(dir);
	else
		die("usage: try kinds|stopped|signals|stops|fault|death|sandbox|bare|speed "
		    "DIRECTORY");
	return 0;
}
