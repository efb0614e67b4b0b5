/* SPDX-License-Identifier: GPL-2.0-only */
/* Zombies: with all kinds of exit status, killed by signals that end a process with and without a
 * core file, below the root and deeper. */
#include <signal.h>
#include <sys/mman.h>

#include "crtest.h"

static const struct {
	int code, signo;
} kinds[] = {
	{0, 0},       {1, 0},       {77, 0},      {127, 0},    {255, 0},     {0, SIGKILL},
	{0, SIGTERM}, {0, SIGABRT}, {0, SIGSEGV}, {0, SIGHUP}, {0, SIGXCPU}, {0, 34},
};
#define N_KINDS (sizeof(kinds) / sizeof(*kinds))

static pid_t make(size_t i)
{
	pid_t pid = crtest_must(fork());
	siginfo_t info;

	if (!pid) {
		if (!kinds[i].signo)
			_exit(kinds[i].code);
		signal(kinds[i].signo, SIG_DFL);
		kill(getpid(), kinds[i].signo);
		for (;;)
			pause();
	}
	crtest_must(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	return pid;
}

static void check(size_t i, pid_t pid)
{
	int status = -1;

	crtest_equal("zombie", waitpid(pid, &status, WNOHANG), pid);
	/* Whether there was a core file is not kept. */
	crtest_equal("wait status", status & ~0x80, kinds[i].code << 8 | kinds[i].signo);
}

static void family(pid_t *pids)
{
	for (size_t i = 0; i < N_KINDS; i++)
		pids[i] = make(i);
}

static void child(volatile int *is_ready)
{
	pid_t pids[N_KINDS];

	family(pids);
	*is_ready = 1;
	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
	for (size_t i = 0; i < N_KINDS; i++)
		check(i, pids[i]);
	_exit(crtest_child_status());
}

int main(int argc, char **argv)
{
	pid_t pids[N_KINDS], pid;
	volatile int *is_ready;

	crtest_begin(argc, argv);
	is_ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = crtest_must(fork());
	if (!pid)
		child(is_ready);
	while (!*is_ready)
		crtest_sleep_ms(1);
	family(pids);
	crtest_wait();
	for (size_t i = 0; i < N_KINDS; i++)
		check(i, pids[i]);
	crtest_join("child", pid);
	return crtest_end();
}
