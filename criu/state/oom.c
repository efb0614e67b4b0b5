// SPDX-License-Identifier: GPL-2.0-only
/*
 * oom_score_adj, from -1000 (never killed) to 1000 (first): by how much the kernel likes or dislikes to kill this process when memory
 * is used up. Shared by all threads. Saved: the value. The minimum that an unprivileged process may go down to is not visible.
 */
#include "state/parts.h"

#include "cr.h"
#include "images/core.pb-c.h"
#include "kernel/proc.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static int oom_collect(struct cr *cr, struct task *task)
{
	int err = proc_read_oom_score_adj(task->dump->proc, &task->dump->oom_score_adj);

	if (err < 0)
		return log_err(cr, err, "pid %d: read its oom_score_adj", task->pid);
	return 0;
}

static int oom_dump(struct cr *cr, struct task *task)
{
	TaskCoreEntry *tc = task->threads[0].core->tc;

	tc->has_oom_score_adj = true;
	tc->oom_score_adj = task->dump->oom_score_adj;
	return 0;
}

const struct task_part task_part_oom = {
	.name = "oom",
	.collect = oom_collect,
	.dump = oom_dump,
};
