// SPDX-License-Identifier: GPL-2.0-only
/*
 * The login uid that auditing gives to all processes of a login session: a number that stays over fork and setuid, 2^32-1 when
 * nobody logged in. Kernels without auditing have none; then nothing is written.
 */
#include "state/parts.h"

#include <errno.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "kernel/proc.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static int loginuid_collect(struct cr *cr, struct task *task)
{
	int err = proc_read_loginuid(task->dump->proc, &task->dump->loginuid);

	if (err == -ENOENT)
		return 0;
	if (err < 0)
		return log_err(cr, err, "pid %d: read its login uid", task->pid);
	task->dump->has_loginuid = true;
	return 0;
}

static int loginuid_dump(struct cr *cr, struct task *task)
{
	TaskCoreEntry *tc = task->threads[0].core->tc;

	tc->has_loginuid = task->dump->has_loginuid;
	tc->loginuid = task->dump->loginuid;
	return 0;
}

const struct task_part task_part_loginuid = {
	.name = "loginuid",
	.collect = loginuid_collect,
	.dump = loginuid_dump,
};
