// SPDX-License-Identifier: GPL-2.0-only
/* Blocked signals, for the process and for one thread: which, in which order, from whom, with which
 * values. */
#include "crtest.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#define N_QUEUED 40 /* more than are read at a time */

static pthread_barrier_t both;
static int thread_is_bad;

static int next(siginfo_t *info)
{
	struct timespec none = {0};
	sigset_t all;

	sigfillset(&all);
	memset(info, 0, sizeof(*info));
	/* The library's function makes SI_USER of SI_TKILL. */
	return (int)syscall(SYS_rt_sigtimedwait, &all, info, &none, 8);
}

static void queue_to(pid_t tid, int signo, int value)
{
	siginfo_t info = {0};

	info.si_signo = signo;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = 4321;
	info.si_value.sival_int = value;
	crtest_must(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, signo, &info));
}

static void *other(void *arg)
{
	siginfo_t info;

	for (int i = 0; i < 3; i++)
		queue_to(gettid(), SIGRTMIN + 2, 100 + i);
	pthread_kill(pthread_self(), SIGUSR2);
	pthread_barrier_wait(&both);
	pthread_barrier_wait(&both);
	/* Lower numbers come first; of one number, the older one. The thread's own come before
	 * those of the process. */
	thread_is_bad |= next(&info) != SIGUSR2 || info.si_code != SI_TKILL;
	for (int i = 0; i < 3; i++)
		thread_is_bad |= next(&info) != SIGRTMIN + 2 ||
				 info.si_value.sival_int != 100 + i || info.si_uid != 4321 ||
				 info.si_code != SI_QUEUE;
	return NULL;
}

int main(int argc, char **argv)
{
	union sigval value;
	pthread_t thread;
	siginfo_t info;
	sigset_t all;

	crtest_begin(argc, argv);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_barrier_init(&both, NULL, 2);
	if (pthread_create(&thread, NULL, other, NULL))
		crtest_broken("pthread_create");
	pthread_barrier_wait(&both);
	for (int i = 0; i < N_QUEUED; i++) {
		value.sival_int = i;
		crtest_must(sigqueue(getpid(), SIGRTMIN + 5, value));
	}
	crtest_must(kill(getpid(), SIGINT));
	crtest_must(kill(getpid(), SIGCHLD));
	crtest_wait();
	pthread_barrier_wait(&both);
	pthread_join(thread, NULL);

	crtest_equal("thread", thread_is_bad, 0);
	crtest_equal("first signal", next(&info), SIGINT);
	crtest_equal("code of the first", info.si_code, SI_USER);
	crtest_equal("second signal", next(&info), SIGCHLD);
	for (int i = 0; i < N_QUEUED; i++) {
		crtest_equal("queued signal", next(&info), SIGRTMIN + 5);
		crtest_equal("its value", info.si_value.sival_int, i);
		crtest_equal("its sender", info.si_pid, getpid());
	}
	crtest_equal("one more signal", next(&info), -1);
	return crtest_end();
}
