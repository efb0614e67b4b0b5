/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POSIX timers: ids with gaps and a high one, every way to notify, a thread as target, CPU clocks,
 * one-shot and periodic, one that never ran; they go off after restore with the value they had.
 * Interval timers beside them.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "crtest.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define GAP 300

static volatile sig_atomic_t fired_tid, fired_value;
static pid_t worker_tid;

static void on_signal(int signo, siginfo_t *info, void *context)
{
	fired_value = info->si_value.sival_int;
	fired_tid = (int)syscall(SYS_gettid);
}

static void *worker(void *arg)
{
	__atomic_store_n(&worker_tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	for (;;)
		pause();
	return arg;
}

static int create(int clock, int notify, int signo, int value, pid_t tid)
{
	struct sigevent event = {.sigev_notify = notify, .sigev_signo = signo};
	int id = -1;

	event.sigev_value.sival_int = value;
	event.sigev_notify_thread_id = tid;
	crtest_must(syscall(SYS_timer_create, clock, &event, &id));
	return id;
}

static void arm(int id, long sec, long interval)
{
	struct itimerspec spec = {.it_value.tv_sec = sec, .it_interval.tv_sec = interval};

	crtest_must(syscall(SYS_timer_settime, id, 0, &spec, NULL));
}

static void check(const char *what, int id, long sec, long interval)
{
	struct itimerspec spec = {0};

	if (syscall(SYS_timer_gettime, id, &spec) < 0) {
		crtest_fail("%s: timer %d: %s", what, id, strerror(errno));
		return;
	}
	crtest_equal(what, spec.it_interval.tv_sec, interval);
	if (spec.it_value.tv_sec > sec || spec.it_value.tv_sec < sec - 3600)
		crtest_fail("%s has %ld s left, had %ld", what, (long)spec.it_value.tv_sec, sec);
}

static void check_fires(int id, int value, pid_t tid)
{
	struct itimerspec spec = {.it_value.tv_nsec = 1000000};

	fired_tid = 0;
	crtest_must(syscall(SYS_timer_settime, id, 0, &spec, NULL));
	while (!fired_tid)
		crtest_sleep_ms(1);
	crtest_equal("value", fired_value, value);
	if (tid)
		crtest_equal("thread", fired_tid, tid);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerval real = {{5, 0}, {100000, 0}}, now;
	int plain, none, threaded, cpu, idle, high = 0, next;
	pthread_t id;

	crtest_begin(argc, argv);
	for (int i = 0; i < 3; i++)
		sigaction(SIGRTMIN + i, &action, NULL);
	pthread_create(&id, NULL, worker, NULL);
	while (!__atomic_load_n(&worker_tid, __ATOMIC_ACQUIRE))
		crtest_sleep_ms(1);

	plain = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 11, 0);
	arm(plain, 50000, 7);
	none = create(CLOCK_REALTIME, SIGEV_NONE, 0, 0, 0);
	arm(none, 60000, 0);
	for (int i = 0; i < GAP; i++)
		crtest_must(syscall(SYS_timer_delete,
				    high = create(CLOCK_REALTIME, SIGEV_NONE, 0, 0, 0)));
	threaded = create(CLOCK_BOOTTIME, SIGEV_THREAD_ID, SIGRTMIN + 1, 22, worker_tid);
	arm(threaded, 70000, 0);
	cpu = create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGRTMIN + 2, 33, 0);
	arm(cpu, 80000, 0);
	idle = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 44, 0);
	setitimer(ITIMER_REAL, &real, NULL);
	crtest_wait();

	check("plain timer", plain, 50000, 7);
	check("timer without signal", none, 60000, 0);
	check("timer of a thread", threaded, 70000, 0);
	check("timer of CPU time", cpu, 80000, 0);
	check("idle timer", idle, 0, 0);
	crtest_true(high < threaded && threaded < cpu && cpu < idle);
	check_fires(idle, 44, 0);
	check_fires(threaded, 22, worker_tid);
	check_fires(plain, 11, 0);
	getitimer(ITIMER_REAL, &now);
	crtest_equal("interval", now.it_interval.tv_sec, 5);
	crtest_true(now.it_value.tv_sec <= 100000 && now.it_value.tv_sec > 90000);
	/* New ones get numbers that nobody has. */
	next = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 55, 0);
	crtest_true(next != plain && next != none && next != threaded && next != cpu &&
		    next != idle);
	return crtest_end();
}
