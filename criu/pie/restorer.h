/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside the restorer blob: what its files share. */
#ifndef CRIU_PIE_RESTORER_H
#define CRIU_PIE_RESTORER_H

#include "pie/args.h"

/* A thread that restores itself. */
struct restorer {
	struct task_args *args;
	struct restorer_shared *shared;
	struct thread_args *thread;
};

static inline void *args_at(const struct restorer *r, struct args_ref ref)
{
	return (char *)r->args + ref.offset;
}

/* Tells the coordinator and ends the process. */
void restorer_fail(struct restorer *r, enum restorer_step step, long err, uint64_t detail)
	__attribute__((noreturn));

static inline void must(struct restorer *r, enum restorer_step step, long ret, uint64_t detail)
{
	if (ret < 0)
		restorer_fail(r, step, ret, detail);
}

/* restorer-mem.c: everything of the process as a whole that must be there before threads are. */
void restore_memory(struct restorer *r);

/* restorer-pkey.c, when all memory is at its address */
void restore_protection(struct restorer *r);

/* restorer-thread.c */
/* What concerns nobody but the thread: lists and areas in memory, name. */
void thread_restore(struct restorer *r);
/* Seccomp, credentials; traced by then, and seccomp not yet in force. */
void thread_restore_creds(struct restorer *r);
/* Queues the signals that are pending for this thread. */
void thread_restore_pending(struct restorer *r);

/* restorer-task.c, by the leader */
void task_restore_signals(struct restorer *r);
void task_restore_limits(struct restorer *r);
/* Dumpable, subreaper: what credentials of any thread would change again. */
void task_restore_flags(struct restorer *r);
/* When no child of the task exits or stops any more: last disposition of SIGCHLD, pending signals,
 * timers. */
void task_restore_pending(struct restorer *r);

#endif
