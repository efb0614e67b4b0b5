// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process has as a whole, beside its memory: dispositions of signals, timers, limits, flags.
 * Done by the leader.
 *
 * SIGCHLD is left at its default until no child of the task exits or stops any more (zombies and
 * stopped tasks do so while they are restored): setting that anew throws away what is pending of
 * it, then the real disposition and the signals that were pending when the task was dumped can
 * come. Timers are armed at the same time, as late as possible.
 */
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/time.h>

#include "compel/pie/syscall.h"
#include "pie/restorer.h"

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif

/* The kernel's: linux/signal.h has one without the mask's size settled, and clashes with libc's. */
struct sigevent_args {
	uint64_t value;
	int32_t signo, notify, tid;
	int32_t pad[11];
};

void task_restore_signals(struct restorer *r)
{
	const struct sigaction_args *actions = args_at(r, r->args->sigactions);

	for (int sig = 1; sig <= (int)r->args->sigactions.n; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP || sig == SIGCHLD)
			continue;
		must(r, STEP_SIGACTION, sys(rt_sigaction, sig, &actions[sig - 1], 0, 8),
		     (uint64_t)sig);
	}
}

void task_restore_limits(struct restorer *r)
{
	const struct task_args *args = r->args;

	for (int i = 0; i < ARGS_N_LIMITS; i++)
		must(r, STEP_RLIMIT, sys(prlimit64, 0, i, &args->limits[i], 0), (uint64_t)i);
	must(r, STEP_PERSONALITY, sys(personality, args->personality), args->personality);
}

void task_restore_flags(struct restorer *r)
{
	const struct task_args *args = r->args;
	int32_t dumpable = args->mem.dumpable;

	must(r, STEP_SUBREAPER, sys(prctl, PR_SET_CHILD_SUBREAPER, args->child_subreaper, 0, 0, 0),
	     0);
	/* 2 cannot be asked for: it is what the kernel gives to whom may not be looked at. */
	if (dumpable == 2 && sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0) != 2)
		dumpable = 0;
	if (dumpable == 0 || dumpable == 1)
		must(r, STEP_DUMPABLE, sys(prctl, PR_SET_DUMPABLE, dumpable, 0, 0, 0), 0);
}

static void create_timer(struct restorer *r, const struct posix_timer_args *t)
{
	struct sigevent_args event = {
		.value = t->sival, .signo = t->signo, .notify = t->notify, .tid = t->notify_tid};
	int32_t id = t->id;

	for (;;) {
		must(r, STEP_TIMER_CREATE, sys(timer_create, t->clock, &event, &id),
		     (uint64_t)t->id);
		if (id == t->id)
			return;
		/* Numbers are given in ascending order: those below are to be free. */
		sys(timer_delete, id);
		if (id > t->id)
			restorer_fail(r, STEP_TIMER_CREATE, -17 /* EEXIST */, (uint64_t)t->id);
	}
}

static void restore_timers(struct restorer *r)
{
	const struct task_args *args = r->args;
	const struct posix_timer_args *timers = args_at(r, args->posix_timers);

	if (args->posix_timers.n && args->has_timer_ids)
		must(r, STEP_TIMER_CREATE, sys(prctl, PR_TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0), 0);
	for (uint32_t i = 0; i < args->posix_timers.n; i++)
		create_timer(r, &timers[i]);
	if (args->posix_timers.n && args->has_timer_ids)
		must(r, STEP_TIMER_CREATE, sys(prctl, PR_TIMER_CREATE_RESTORE_IDS, 0, 0, 0, 0), 0);

	for (uint32_t i = 0; i < args->posix_timers.n; i++)
		must(r, STEP_TIMER_SET,
		     sys(timer_settime, timers[i].id, 0, &timers[i].interval_sec, 0),
		     (uint64_t)timers[i].id);
	for (int i = 0; i < 3; i++) {
		const struct itimer_args *t = &args->itimers[i];

		if (t->value_sec || t->value_usec)
			must(r, STEP_ITIMER, sys(setitimer, i, t, 0), (uint64_t)i);
	}
}

static void queue_pending(struct restorer *r)
{
	const struct task_args *args = r->args;
	char(*infos)[ARGS_SIGINFO_SIZE] = args_at(r, args->pending);

	for (uint32_t i = 0; i < args->pending.n; i++)
		must(r, STEP_SIGQUEUE, sys(rt_sigqueueinfo, args->pid, *(int *)infos[i], infos[i]),
		     *(uint32_t *)infos[i]);
}

void task_restore_pending(struct restorer *r)
{
	const struct sigaction_args *actions = args_at(r, r->args->sigactions), standard = {0};

	must(r, STEP_SIGACTION, sys(rt_sigaction, SIGCHLD, &standard, 0, 8), SIGCHLD);
	if (r->args->sigactions.n)
		must(r, STEP_SIGACTION, sys(rt_sigaction, SIGCHLD, &actions[SIGCHLD - 1], 0, 8),
		     SIGCHLD);
	queue_pending(r);
	thread_restore_pending(r);
	restore_timers(r);
}
