// SPDX-License-Identifier: GPL-2.0-only
/*
 * personality(2): the execution domain and its flags (no address randomization, READ_IMPLIES_EXEC, …), one word for a process. It
 * changes how later mappings and programs are laid out. Zombies are written as 0: they map nothing any more.
 */
#include "state/parts.h"

#include "cr.h"
#include "images/core.pb-c.h"
#include "kernel/proc.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static int personality_collect(struct cr *cr, struct task *task)
{
	int err = proc_read_personality(task->dump->proc, &task->dump->personality);

	if (err < 0)
		return log_err(cr, err, "pid %d: read its personality", task->pid);
	return 0;
}

static int personality_dump(struct cr *cr, struct task *task)
{
	task->threads[0].core->tc->personality = task->dump->personality;
	return 0;
}

const struct task_part task_part_personality = {
	.name = "personality",
	.collect = personality_collect,
	.dump = personality_dump,
};
