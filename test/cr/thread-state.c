// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each of many threads has of its own: name, mask, alternate stack, nice value, policy, parent
 * death signal, securebits, a robust mutex held, GS base, and the address that is cleared when it
 * ends (or the join would hang).
 */
#include "crtest.h"

#include <asm/prctl.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define N_THREADS 70 /* more than are asked at a time */

static pthread_barrier_t all;
static pthread_mutex_t robust[N_THREADS];
static char stacks[N_THREADS][65536];
static int bad[N_THREADS];

static void set_up(size_t i)
{
	stack_t stack = {.ss_sp = stacks[i], .ss_size = sizeof(stacks[i])};
	struct sched_param none = {0};
	char name[16];
	sigset_t set;

	snprintf(name, sizeof(name), "crtest-%zu\n\\", i);
	prctl(PR_SET_NAME, name);
	sigemptyset(&set);
	sigaddset(&set, 1 + (int)i % 64);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaltstack(&stack, NULL);
	/* Whoever runs the tests may have given them another class. */
	sched_setscheduler(0, SCHED_OTHER, &none);
	setpriority(PRIO_PROCESS, gettid(), (int)i % 20);
	if (i % 3 == 1)
		sched_setscheduler(0, SCHED_BATCH, &none);
	if (i % 3 == 2)
		sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK, &none);
	prctl(PR_SET_PDEATHSIG, 1 + (int)i % 20);
	prctl(PR_SET_SECUREBITS, i % 2 ? SECBIT_NO_SETUID_FIXUP : SECBIT_KEEP_CAPS);
	syscall(SYS_arch_prctl, ARCH_SET_GS, 0x7000000000 + i * 4096);
	pthread_mutex_lock(&robust[i]);
}

static int policy_of(size_t i)
{
	return i % 3 == 1   ? SCHED_BATCH
	       : i % 3 == 2 ? SCHED_IDLE | SCHED_RESET_ON_FORK
			    : SCHED_OTHER;
}

/* Which check failed, 0: none. */
static int check(size_t i)
{
	char name[16] = "", want[16];
	unsigned long base = 0;
	int signo = 0, nice;
	stack_t stack;
	sigset_t set;

	snprintf(want, sizeof(want), "crtest-%zu\n\\", i);
	prctl(PR_GET_NAME, name);
	if (strcmp(name, want) != 0)
		return 1;
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	if (!sigismember(&set, SIGUSR1) ||
	    (i % 64 != 31 && i % 64 != 32 && i % 64 != 8 && i % 64 != 18 &&
	     sigismember(&set, 1 + (int)i % 64) != 1))
		return 2;
	sigaltstack(NULL, &stack);
	if (stack.ss_sp != stacks[i] || stack.ss_size != sizeof(stacks[i]) || stack.ss_flags)
		return 3;
	errno = 0;
	nice = getpriority(PRIO_PROCESS, gettid());
	if (errno || nice != (int)i % 20)
		return 4;
	if (sched_getscheduler(0) != policy_of(i))
		return 5;
	prctl(PR_GET_PDEATHSIG, &signo);
	if (signo != 1 + (int)i % 20)
		return 6;
	if (prctl(PR_GET_SECUREBITS) != (i % 2 ? SECBIT_NO_SETUID_FIXUP : SECBIT_KEEP_CAPS))
		return 7;
	syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
	if (base != 0x7000000000 + i * 4096)
		return 8;
	return 0;
}

static void *run(void *arg)
{
	size_t i = (size_t)arg;

	set_up(i);
	pthread_barrier_wait(&all);
	pthread_barrier_wait(&all);
	bad[i] = check(i);
	/* Ends with the mutex held: the kernel finds it by the robust list. */
	return NULL;
}

static int run_threads(void)
{
	pthread_mutexattr_t attributes;
	pthread_t threads[N_THREADS];

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_barrier_init(&all, NULL, N_THREADS + 1);
	for (size_t i = 0; i < N_THREADS; i++) {
		pthread_mutex_init(&robust[i], &attributes);
		if (pthread_create(&threads[i], NULL, run, (void *)i))
			return 2;
	}
	pthread_barrier_wait(&all);
	crtest_wait();
	pthread_barrier_wait(&all);
	for (size_t i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], NULL);
		crtest_equal("check of a thread", bad[i], 0);
		crtest_equal("mutex of a dead thread", pthread_mutex_lock(&robust[i]), EOWNERDEAD);
	}
	return crtest_child_status();
}

int main(int argc, char **argv)
{
	pid_t pid;

	crtest_begin(argc, argv);
	/* In a child, as the death of the tool that restores a root is the death of that one's
	 * parent. */
	pid = crtest_must(fork());
	if (pid == 0)
		_exit(run_threads());
	crtest_join("child with the threads", pid);
	return crtest_end();
}
