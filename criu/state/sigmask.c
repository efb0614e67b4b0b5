// SPDX-License-Identifier: GPL-2.0-only
/*
 * The signals that a thread has blocked, bit signo - 1. A thread that was caught in a call like
 * ppoll(2) or sigsuspend(2), which exchange the mask while they wait, has the mask that comes after
 * the call; the call is begun anew and exchanges it again. The leader's mask stands in the message
 * of the process, those of other threads in their own.
 */
#include "state/parts.h"

#include "compel/regs.h"
#include "images/core.pb-c.h"
#include "task/dump.h"
#include "task/task.h"

static int sigmask_dump(struct cr *cr, struct task *task)
{
	TaskCoreEntry *tc = task->threads[0].core->tc;

	tc->blk_sigset = compel_regs_sigmask(task->threads[0].dump->regs);
	return 0;
}

static int sigmask_dump_thread(struct cr *cr, struct thread *thread)
{
	ThreadCoreEntry *core = thread->core->thread_core;

	if (thread == &thread->task->threads[0])
		return 0;
	core->has_blk_sigset = true;
	core->blk_sigset = compel_regs_sigmask(thread->dump->regs);
	return 0;
}

const struct task_part task_part_sigmask = {
	.name = "sigmask",
	.dump = sigmask_dump,
};

const struct thread_part thread_part_sigmask = {
	.name = "sigmask",
	.dump = sigmask_dump_thread,
};
