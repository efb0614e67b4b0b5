// SPDX-License-Identifier: GPL-2.0-only
/*
 * PR_SET_CHILD_SUBREAPER: orphans below this process become its children and not those of init. A
 * property of the process, which its children do not inherit.
 */
#include "state/parts.h"

#include "images/core.pb-c.h"
#include "state/args-builder.h"
#include "task/dump.h"
#include "task/task.h"

static int subreaper_dump(struct cr *cr, struct task *task)
{
	TaskCoreEntry *tc = task->threads[0].core->tc;

	tc->has_child_subreaper = true;
	tc->child_subreaper = task->dump->facts->child_subreaper != 0;
	return 0;
}

static int subreaper_load(struct cr *cr, struct task *task, struct args_builder *args)
{
	args_task(args)->child_subreaper = task->threads[0].core->tc->child_subreaper;
	return 0;
}

const struct task_part task_part_subreaper = {
	.name = "subreaper",
	.dump = subreaper_dump,
	.load = subreaper_load,
};
