// SPDX-License-Identifier: GPL-2.0-only
/*
 * oom_score_adj, from -1000 (never killed) to 1000 (first): by how much the kernel likes or
 * dislikes to kill this process when memory is used up. Shared by all threads. Saved: the value.
 * The minimum that an unprivileged process may go down to is not visible.
 */
#include "state/parts.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/core.pb-c.h"
#include "kernel/proc.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/fd.h"
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

/* To lower it needs a privilege that the original may have had and we may lack: worth a warning,
 * not the restore. */
static int oom_restore(struct cr *cr, struct task *task)
{
	const TaskCoreEntry *tc = task->threads[0].core->tc;
	_cleanup_close_ int dir = proc_open(getpid());
	int own, err;

	if (!tc->has_oom_score_adj || dir < 0 || proc_read_oom_score_adj(dir, &own) < 0 ||
	    own == tc->oom_score_adj)
		return 0;
	err = fd_write_filef(AT_FDCWD, "/proc/self/oom_score_adj", "%d", tc->oom_score_adj);
	if (err < 0)
		log_warn(cr, "oom_score_adj: remains %d, %d could not be set: %s", own,
			 tc->oom_score_adj, strerror(-err));
	return 0;
}

const struct task_part task_part_oom = {
	.name = "oom",
	.collect = oom_collect,
	.dump = oom_dump,
	.restore = oom_restore,
};
