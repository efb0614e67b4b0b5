// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kills the injector with SIGKILL, again and again, and looks at the victim each time: kill VICTIM
 * TIMES STEP [KIND-OF-MAIN-THREAD [stopped]].
 *
 * First at every system call that the injector makes (both before and after it), which meets every
 * state that it can leave the victim in from its own side; a STEP above 1 takes every so many, from
 * a random one on. Then at TIMES random moments, which meets the victim in the middle of what it
 * was made to do. Each time the victim must go on as if nothing had been.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "test/compel/inject.h"
#include "test/compel/tasks.h"

static const char *const kinds[] = {"compute", "nanosleep", "futex", "poll", "pipe", "epoll"};

static void child(pid_t victim)
{
	inject_once(victim, 0);
	_exit(0);
}

/* Kills it at its n-th stop at a system call, and says which. Returns false if it came to its end
 * before. */
static bool kill_at_syscall(pid_t victim, unsigned int n, struct user_regs_struct *ret_call)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		child(victim);
	}
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
	for (unsigned int i = 0; i < n;) {
		int signal = WSTOPSIG(status) == (SIGTRAP | 0x80) || i == 0 ? 0 : WSTOPSIG(status);

		ptrace(PTRACE_SYSCALL, pid, NULL, (long)signal);
		waitpid(pid, &status, 0);
		if (!WIFSTOPPED(status)) {
			if (!WIFEXITED(status) || WEXITSTATUS(status))
				die("injector failed: status %#x", status);
			return false;
		}
		i += WSTOPSIG(status) == (SIGTRAP | 0x80);
	}
	ptrace(PTRACE_GETREGS, pid, NULL, ret_call);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return true;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void kill_at_time(pid_t victim, int64_t ns)
{
	int64_t end;
	pid_t pid = fork();

	if (pid == 0)
		child(victim);
	end = now_ns() + ns;
	while (now_ns() < end)
		;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int64_t time_once(pid_t victim)
{
	int64_t begin = now_ns();
	int status;
	pid_t pid = fork();

	if (pid == 0)
		child(victim);
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		die("injector failed: status %#x", status);
	return now_ns() - begin;
}

static void kill_at_each_stop(struct victim *v, unsigned int step)
{
	struct user_regs_struct call = {0};
	unsigned int n = 1 + random() % step, times = 0;

	for (; victim_pause(v), kill_at_syscall(v->pid, n, &call); n += step) {
		victim_continue(v);
		if (++times % 16 == 0)
			victim_signal(v);
		if (!victim_is_well(v))
			die("after a kill at stop %u: system call %lld(%#llx, %lld) = %#llx", n,
			    call.orig_rax, call.rdi, call.rsi, call.rax);
	}
	victim_continue(v);
	if (!victim_is_well(v))
		die("after the whole injection");
	printf("killed at %u system call stops: victim unharmed\n", times);
}

static void kill_at_random(struct victim *v, int times)
{
	int64_t whole = time_once(v->pid);

	for (int i = 0; i < times; i++) {
		int64_t ns = random() % (whole * 5 / 4);

		victim_pause(v);
		kill_at_time(v->pid, ns);
		victim_continue(v);
		victim_signal(v);
		if (!victim_is_well(v))
			die("after a kill at nanosecond %lld", (long long)ns);
	}
	printf("killed at %d random moments within %lld us: victim unharmed\n", times,
	       (long long)whole / 1000);
}

int main(int argc, char **argv)
{
	const char *list[ARRAY_SIZE(kinds) + 3] = {"compute", "compute"};
	struct victim v;

	if (argc < 4 || atoi(argv[2]) < 0 || atoi(argv[3]) < 1)
		die("usage: kill VICTIM TIMES STEP [KIND-OF-MAIN-THREAD [stopped]]");
	srandom(getpid());
	if (argc > 4)
		list[0] = argv[4];
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		list[2 + i] = kinds[i];
	victim_start(&v, argv[1], list);
	v.is_kept_stopped = argc > 5;
	kill_at_each_stop(&v, atoi(argv[3]));
	kill_at_random(&v, atoi(argv[2]));
	victim_stop(&v);
	return 0;
}
