/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stopped processes: by SIGSTOP and by SIGTSTP, one with a stopped child of its own, one with
 * threads. They remain stopped by the signal they were stopped by, go on when told to.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "crtest.h"

enum { PLAIN, TERMINAL, PARENT, CHILD, THREADS, N };

static volatile pid_t *pids;
static volatile int *counts;

static volatile int n_signals;

static void on_sigchld(int signo)
{
	n_signals++;
}

static void count(int index)
{
	for (;;) {
		counts[index]++;
		crtest_sleep_ms(1);
	}
}

static void *thread(void *arg)
{
	for (;;)
		crtest_sleep_ms(1);
	return arg;
}

static pid_t start(int index)
{
	pid_t pid = crtest_must(fork());
	pthread_t id;

	if (pid) {
		while (!counts[index])
			crtest_sleep_ms(1);
		return pid;
	}
	signal(SIGCHLD, SIG_DFL);
	pids[index] = getpid();
	if (index == TERMINAL)
		setpgid(0, 0);
	if (index == PARENT)
		start(CHILD);
	for (int i = 0; index == THREADS && i < 3; i++)
		pthread_create(&id, NULL, thread, NULL);
	count(index);
	return 0;
}

static char state_of(pid_t pid)
{
	char path[64], text[512] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof(text), f))
		return 0;
	fclose(f);
	return strrchr(text, ')')[2];
}

/* It is in that state before its parent is told; and of the child's child we are not. */
static void stop(int index, int signo)
{
	int before = n_signals;

	crtest_must(kill(pids[index], signo));
	while (state_of(pids[index]) != 'T' || (index != CHILD && n_signals == before))
		crtest_sleep_ms(1);
}

static void check(int index, int signo)
{
	siginfo_t info = {0};
	int before = counts[index];

	crtest_equal("state", state_of(pids[index]), 'T');
	if (index != CHILD) {
		crtest_equal("wait",
			     waitid(P_PID, (id_t)pids[index], &info, WSTOPPED | WNOHANG | WNOWAIT),
			     0);
		crtest_equal("signal it was stopped by", info.si_status, signo);
	}
	crtest_must(kill(pids[index], SIGCONT));
	while (counts[index] == before)
		crtest_sleep_ms(1);
	kill(pids[index], SIGKILL);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_sigchld};

	crtest_begin(argc, argv);
	/* What a child leaves is ours to wait for. */
	crtest_must(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pids = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	counts = (volatile int *)(pids + N);
	sigaction(SIGCHLD, &action, NULL);
	start(PLAIN);
	start(TERMINAL);
	start(PARENT);
	start(THREADS);
	stop(PLAIN, SIGSTOP);
	stop(TERMINAL, SIGTSTP);
	stop(CHILD, SIGSTOP);
	stop(PARENT, SIGSTOP);
	stop(THREADS, SIGSTOP);
	crtest_equal("signals of children before", n_signals, 4);
	crtest_wait();
	crtest_equal("signals of children", n_signals, 4);
	check(PLAIN, SIGSTOP);
	check(TERMINAL, SIGTSTP);
	check(CHILD, SIGSTOP);
	check(PARENT, SIGSTOP);
	check(THREADS, SIGSTOP);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	return crtest_end();
}
