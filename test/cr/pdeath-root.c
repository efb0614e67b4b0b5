/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The root of the tree wants a signal when its parent ends, in its main thread and in another one.
 * It has a parent that goes on before the dump, and does after the restore: none may come.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include "crtest.h"

static volatile int n_signals, n_set, is_over;

static void on_signal(int signo)
{
	n_signals++;
}

static int pdeath(void)
{
	int signo = 0;

	crtest_must(prctl(PR_GET_PDEATHSIG, &signo));
	return signo;
}

static void *thread(void *arg)
{
	crtest_must(prctl(PR_SET_PDEATHSIG, SIGUSR2));
	n_set++;
	while (!is_over)
		crtest_sleep_ms(1);
	return (void *)(intptr_t)pdeath();
}

int main(int argc, char **argv)
{
	pthread_t id;
	void *signo;
	pid_t parent;

	crtest_begin(argc, argv);
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	crtest_must(prctl(PR_SET_PDEATHSIG, SIGUSR1));
	crtest_must(-pthread_create(&id, NULL, thread, NULL));
	while (!n_set)
		crtest_sleep_ms(1);
	parent = getppid();
	crtest_wait();
	crtest_equal("signals", n_signals, 0);
	crtest_equal("parent", getppid(), parent);
	crtest_equal("signal of the main thread", pdeath(), SIGUSR1);
	is_over = 1;
	pthread_join(id, &signo);
	crtest_equal("signal of the other one", (intptr_t)signo, SIGUSR2);
	return crtest_end();
}
