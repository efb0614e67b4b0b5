// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control groups of a thread, one in each hierarchy. A dump knows one set of them, its own,
 * which has the number 1 and is not written: a tree that lives in the same groups is restored into
 * those of the restorer. Trees in other groups are refused, unless
 * --manage-cgroups says that groups are none of the dump's business.
 */
#include "state/parts.h"

#include <errno.h>
#include <string.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/inventory.pb-c.h"
#include "options.h"
#include "task/dump.h"
#include "task/restore.h"
#include "task/task.h"
#include "util/fd.h"
#include "util/log.h"

#define OWN_CG_SET 1

/* The first line in which the two lists of groups differ, for the message. */
static const char *differing_line(char *theirs, const char *ours)
{
	char *line = theirs;

	for (; *theirs && *theirs == *ours; theirs++, ours++)
		if (*theirs == '\n')
			line = theirs + 1;
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static int cgroup_collect(struct cr *cr, struct thread *thread)
{
	char text[4096];
	ssize_t n;
	int err;

	if (cr->opts->manage_cgroups <= CGROUP_MODE_NONE || cr->opts->unprivileged)
		return 0;
	n = fd_read_file_into(thread->dump->proc, "cgroup", text, sizeof(text));
	if (n < 0)
		return log_err(cr, (int)n, "pid %d: read the control groups of thread %d",
			       thread->task->pid, thread->tid);
	if (strcmp(text, cr->dump->cgroups) == 0)
		return 0;
	err = log_refuse(cr, -EOPNOTSUPP,
			 "pid %d: thread %d is in control group %s, which is not that of this tool",
			 thread->task->pid, thread->tid, differing_line(text, cr->dump->cgroups));
	log_remedy(cr, "give --manage-cgroups=none to leave control groups out, or run the tool in "
		       "the same group");
	return err;
}

static int cgroup_dump(struct cr *cr, struct thread *thread)
{
	ThreadCoreEntry *core = thread->core->thread_core;

	core->has_cg_set = !cr->opts->unprivileged;
	core->cg_set = OWN_CG_SET;
	return 0;
}

static int cgroup_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const InventoryEntry *inventory = cr->restore->inventory;
	const ThreadCoreEntry *core = thread->core->thread_core;
	int err;

	if (cr->opts->manage_cgroups <= CGROUP_MODE_NONE || cr->opts->unprivileged ||
	    !core->has_cg_set || !inventory->has_root_cg_set ||
	    core->cg_set == inventory->root_cg_set)
		return 0;
	err = log_refuse(cr, -EOPNOTSUPP,
			 "pid %d: thread %d was in a control group of its own (set %u), which "
			 "cannot be restored yet",
			 thread->task->pid, thread->tid, core->cg_set);
	log_remedy(cr,
		   "give --manage-cgroups=none to restore into the control groups of this tool");
	return err;
}

const struct thread_part thread_part_cgroup = {
	.name = "cgroup",
	.collect = cgroup_collect,
	.dump = cgroup_dump,
	.load = cgroup_load,
};
