// SPDX-License-Identifier: LGPL-2.1-only
/*
 * One thread's stops. Waiting uses WNOWAIT: the kernel hands a signal to a tracee out of the very
 * word that a consuming wait clears, so a tracer that died between its wait and PTRACE_CONT would
 * take the signal with it. Not consumed, the word stays until the tracee is resumed, and a tracee
 * whose tracer died gets its signal.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "compel/ptrace.h"

enum { DEATH_MS = 1000, YIELDS = 64, NAP_FIRST_NS = 20000, NAP_LONGEST_NS = 1000000 };

int compel_seize(pid_t tid, unsigned int flags)
{
	unsigned long options = PTRACE_O_TRACESYSGOOD;

	if (flags & COMPEL_SEIZE_SUSPEND_SECCOMP)
		options |= PTRACE_O_SUSPEND_SECCOMP;
	return ptrace(PTRACE_SEIZE, tid, NULL, options) < 0 ? -errno : 0;
}

int compel_interrupt(pid_t tid)
{
	return ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 ? -errno : 0;
}

/* Is tid the leader of a process that is our own child? */
static bool is_our_child(pid_t tid)
{
	char path[64], line[256];
	pid_t leader = 0, parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "Tgid: %d", &leader);
		if (sscanf(line, "PPid: %d", &parent) == 1)
			break;
	}
	return parent == getpid() && leader == tid;
}

/*
 * A dead thread stays, and a dead process's parent is not told of it, until the tracer has seen it.
 * Only the status of our own child is left for whoever in this program waits for it.
 */
static void release_dead(pid_t tid)
{
	if (!is_our_child(tid))
		waitpid(tid, NULL, __WALL | WNOHANG);
}

static bool is_group_stop_signal(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* status is what waitid gives for a tracee: signal | event << 8. */
static struct compel_stop decode(int status)
{
	struct compel_stop stop = {.signal = status & 0x7f, .event = status >> 8};

	if (stop.event == PTRACE_EVENT_STOP)
		stop.kind = is_group_stop_signal(stop.signal) ? COMPEL_STOP_GROUP
							      : COMPEL_STOP_TRAP;
	else if (stop.event)
		stop.kind = COMPEL_STOP_EVENT;
	else if (status == (SIGTRAP | 0x80))
		stop.kind = COMPEL_STOP_SYSCALL;
	else
		stop.kind = COMPEL_STOP_SIGNAL;
	return stop;
}

/* Returns 1 with a stop, 0 when it runs, -ESRCH when it is dead or not ours. */
static int look(pid_t tid, struct compel_stop *ret_stop)
{
	siginfo_t info = {0};

	while (waitid(P_PID, tid, &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL) < 0) {
		if (errno != EINTR)
			return -ESRCH;
	}
	if (info.si_pid == 0)
		return 0;
	if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) {
		release_dead(tid);
		return -ESRCH;
	}
	*ret_stop = decode(info.si_status);
	return 1;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A leader that died is not told of while other threads of its are not released; a wait for it
 * would last. */
static bool is_zombie(pid_t tid)
{
	char path[64], text[512] = {0};
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	if (!f || !fgets(text, sizeof(text), f))
		return true;
	state = strrchr(text, ')');
	return state && (state[2] == 'Z' || state[2] == 'X');
}

/*
 * A stop mostly comes at once, so the processor is only lent out at first; then come naps, ever
 * longer. A blocking wait has no timeout, and would miss the death of a leader.
 */
static int look_until(pid_t tid, int64_t deadline, struct compel_stop *ret_stop)
{
	long nap_ns = NAP_FIRST_NS;
	int found;

	for (unsigned int tries = 0; (found = look(tid, ret_stop)) == 0; tries++) {
		struct timespec nap = {0, nap_ns};

		if (deadline >= 0 && now_ms() >= deadline)
			return -ETIMEDOUT;
		if (tries < YIELDS) {
			sched_yield();
			continue;
		}
		if (nap_ns == NAP_LONGEST_NS && is_zombie(tid))
			return -ESRCH;
		nanosleep(&nap, NULL);
		nap_ns = MIN(nap_ns * 2, (long)NAP_LONGEST_NS);
	}
	return found < 0 ? found : 0;
}

int compel_wait_any_stop(pid_t tid, int timeout_ms, struct compel_stop *ret_stop)
{
	struct compel_stop stop = {0};
	int err = look_until(tid, timeout_ms < 0 ? -1 : now_ms() + timeout_ms, &stop);

	if (err == 0 && ret_stop)
		*ret_stop = stop;
	return err;
}

int compel_wait_stop(pid_t tid, int timeout_ms, struct compel_stop *ret_stop)
{
	int64_t deadline = now_ms() + timeout_ms;
	struct compel_stop stop = {0};
	int err;

	for (;;) {
		err = compel_wait_any_stop(
			tid, timeout_ms < 0 ? -1 : (int)MAX(deadline - now_ms(), (int64_t)0),
			&stop);
		if (err < 0)
			return err;
		if (stop.kind == COMPEL_STOP_TRAP || stop.kind == COMPEL_STOP_GROUP)
			break;
		err = compel_resume(tid, stop.kind == COMPEL_STOP_SIGNAL ? stop.signal : 0, false);
		if (err < 0)
			return err;
	}
	if (ret_stop)
		*ret_stop = stop;
	return 0;
}

int compel_resume(pid_t tid, int signal, bool stop_at_syscall)
{
	long request = stop_at_syscall ? PTRACE_SYSCALL : PTRACE_CONT;

	return ptrace(request, tid, NULL, (unsigned long)signal) < 0 ? -errno : 0;
}

/*
 * PTRACE_DETACH gives its signal only to a tracee in a signal stop, and ours are in others: the
 * signal is queued instead. A stop signal takes effect before the thread has run a single
 * instruction, as the kernel looks for signals on the way out.
 */
int compel_detach(pid_t tid, int signal)
{
	if (signal && kill(tid, signal) < 0)
		return -errno;
	if (ptrace(PTRACE_DETACH, tid, NULL, NULL) == 0)
		return 0;
	if (errno != ESRCH)
		return -errno;
	/* One that is being killed takes its time to die, and is to be released then. */
	compel_wait_any_stop(tid, DEATH_MS, NULL);
	return -ESRCH;
}
