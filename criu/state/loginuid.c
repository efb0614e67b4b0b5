// SPDX-License-Identifier: GPL-2.0-only
/*
 * The login uid that auditing gives to all processes of a login session: a number that stays over
 * fork and setuid, 2^32-1 when nobody logged in. Kernels without auditing have none; then nothing
 * is written.
 */
#include "state/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/core.pb-c.h"
#include "kernel/proc.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/fd.h"
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

static int read_own(uint32_t *ret)
{
	_cleanup_close_ int dir = proc_open(getpid());

	return dir < 0 ? dir : proc_read_loginuid(dir, ret);
}

static int loginuid_restore(struct cr *cr, struct task *task)
{
	const TaskCoreEntry *tc = task->threads[0].core->tc;
	uint32_t own;
	int err;

	if (!tc->has_loginuid || read_own(&own) < 0 || own == tc->loginuid)
		return 0;
	err = fd_write_filef(AT_FDCWD, "/proc/self/loginuid", "%u", tc->loginuid);
	return err < 0 ? log_err(cr, err, "login uid: set to %u", tc->loginuid) : 0;
}

const struct task_part task_part_loginuid = {
	.name = "loginuid",
	.collect = loginuid_collect,
	.dump = loginuid_dump,
	.restore = loginuid_restore,
};
