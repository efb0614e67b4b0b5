/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Stopping one thread and letting it go again: PTRACE_SEIZE, PTRACE_INTERRUPT, the wait,
 * PTRACE_DETACH. Freezing a whole tree is built of these by the caller.
 *
 * All calls take a thread id as this process sees it and must come from the thread that called
 * compel_seize(): the kernel ties a tracee to the thread that traces it. No call here waits for
 * anything but the thread it names.
 *
 * A stop is looked at (WNOWAIT) and never consumed: a signal that a thread was about to receive
 * stays with it should the tracer die at that very moment.
 */
#ifndef COMPEL_PTRACE_H
#define COMPEL_PTRACE_H

#include <stdbool.h>
#include <sys/types.h>

/* Flags of compel_seize(). */
enum {
	/* Suspend the thread's seccomp filters while it is traced (needs CAP_SYS_ADMIN); they hold
	   again once it is not. */
	COMPEL_SEIZE_SUSPEND_SECCOMP = 1 << 0,
};

enum compel_stop_kind {
	COMPEL_STOP_TRAP,  /* by PTRACE_INTERRUPT (or a change of the group stop): would run if let
			      go */
	COMPEL_STOP_GROUP, /* the process is stopped by SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU:
			      remains so when let go */
	COMPEL_STOP_SYSCALL, /* at the entry or exit of a system call; only after compel_resume(..,
				true) */
	COMPEL_STOP_SIGNAL,  /* about to receive a signal; compel_wait_stop() never returns this one
			      */
	COMPEL_STOP_EVENT,   /* another ptrace event; its number is in .event */
};

struct compel_stop {
	enum compel_stop_kind kind;
	int signal; /* GROUP: which signal stopped the process. SIGNAL: which is about to be
		       delivered */
	int event;  /* EVENT: PTRACE_EVENT_x */
};

/*
 * Starts tracing; the thread runs on. Returns 0, -ESRCH (gone), -EPERM (not allowed, or traced by
 * another already). flags: COMPEL_SEIZE_x.
 */
int compel_seize(pid_t tid, unsigned int flags);

/* Asks a seized thread to stop; follow with compel_wait_stop(). Returns 0 or -ESRCH. */
int compel_interrupt(pid_t tid);

/*
 * Waits until the thread has stopped for PTRACE_INTERRUPT or in a group stop. Signals it meets on
 * the way are delivered to it as if nobody looked (a handler's frame is then built before it stops:
 * none is lost, none comes twice). timeout_ms < 0 waits as long as it takes. Returns 0 with
 * *ret_stop (may be NULL) filled, -ETIMEDOUT, or -ESRCH when the thread has exited or was killed.
 */
int compel_wait_stop(pid_t tid, int timeout_ms, struct compel_stop *ret_stop);

/* Waits for the very next stop of whatever kind; the caller lets it go on. Returns 0, -ETIMEDOUT or
 * -ESRCH. */
int compel_wait_any_stop(pid_t tid, int timeout_ms, struct compel_stop *ret_stop);

/* Lets a stopped thread run, with signal delivered to it unless 0, until the next system call stop
 * if wanted. */
int compel_resume(pid_t tid, int signal, bool stop_at_syscall);

/*
 * Ends tracing of a stopped thread. signal 0 lets it be what it was: running, or stopped where the
 * process is in a group stop. SIGSTOP (any one thread suffices) leaves the process stopped; another
 * signal is delivered to it on the way. To continue a process that is in a group stop, send SIGCONT
 * before. Returns 0 or -ESRCH.
 */
int compel_detach(pid_t tid, int signal);

#endif
