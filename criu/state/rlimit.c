// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resource limits, soft and hard, of which a process has sixteen; all threads share them. Saved in
 * the order of the RLIMIT_ numbers. On restore they come late: what the restore itself needs
 * (descriptors, stack, memory) may be more than they allow.
 */
#include "state/parts.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sys/resource.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "kernel/proc.h"
#include "run.h"
#include "state/args-builder.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/restore.h"
#include "task/task.h"
#include "util/log.h"

/* From /proc: prlimit(2) asks for CAP_SYS_RESOURCE where the task is of another user. */
static int rlimit_collect(struct cr *cr, struct task *task)
{
	int err = proc_read_limits(task->dump->proc, task->dump->limits);

	return err ? log_err(cr, err, "pid %d: read its resource limits", task->pid) : 0;
}

static int rlimit_dump(struct cr *cr, struct task *task)
{
	TaskRlimitsEntry *entry = message_new(&task_rlimits_entry__descriptor);

	entry->rlimits = xcalloc(PROC_N_LIMITS, sizeof(*entry->rlimits));
	entry->n_rlimits = PROC_N_LIMITS;
	for (int i = 0; i < PROC_N_LIMITS; i++) {
		entry->rlimits[i] = message_new(&rlimit_entry__descriptor);
		entry->rlimits[i]->cur = task->dump->limits[i].soft;
		entry->rlimits[i]->max = task->dump->limits[i].hard;
	}
	task->threads[0].core->tc->rlimits = entry;
	return 0;
}

/* A hard limit above ours can be given by who has CAP_SYS_RESOURCE only. */
static int check_hard_limits(struct cr *cr, const struct task *task,
			     const struct rlimit_args *limits)
{
	bool has_cap = cr->restore->own.cap_effective >> CAP_SYS_RESOURCE & 1;

	for (int i = 0; !has_cap && i < ARGS_N_LIMITS; i++) {
		struct rlimit own;

		if (plan_own_limit(cr, i, &own) < 0 || limits[i].hard <= own.rlim_max)
			continue;
		log_refuse(cr, -EPERM,
			   "pid %d: hard limit %" PRIu64
			   " of resource %d (getrlimit(2)) is above ours, %" PRIu64,
			   task->pid, limits[i].hard, i, (uint64_t)own.rlim_max);
		log_remedy(cr, "restore with CAP_SYS_RESOURCE, or with that hard limit");
		return -EPERM;
	}
	return 0;
}

/* Where images have none a task has the limits that the tool was started with. */
static int take_own_limits(struct cr *cr, const struct task *task, struct rlimit_args *to)
{
	for (int i = 0; i < ARGS_N_LIMITS; i++) {
		struct rlimit own;
		int err = plan_own_limit(cr, i, &own);

		if (err < 0)
			return log_err(cr, err, "pid %d: limit of resource %d", task->pid, i);
		to[i] = (struct rlimit_args){own.rlim_cur, own.rlim_max};
	}
	return 0;
}

static int rlimit_load(struct cr *cr, struct task *task, struct args_builder *args)
{
	const TaskRlimitsEntry *entry = task->threads[0].core->tc->rlimits;
	struct rlimit_args *to = args_task(args)->limits;

	if (!entry)
		return take_own_limits(cr, task, to);
	if (entry->n_rlimits != ARGS_N_LIMITS)
		return log_refuse(cr, -EBADMSG, "core-%d.img: field rlimits: %zu limits, not 16",
				  task->pid, entry->n_rlimits);
	for (int i = 0; i < ARGS_N_LIMITS; i++) {
		const RlimitEntry *limit = entry->rlimits[i];

		if (limit->cur > limit->max)
			return log_refuse(cr, -EBADMSG,
					  "core-%d.img: field rlimits[%d]: soft limit %" PRIu64
					  " is above the hard one, %" PRIu64,
					  task->pid, i, limit->cur, limit->max);
		to[i] = (struct rlimit_args){limit->cur, limit->max};
	}
	return check_hard_limits(cr, task, to);
}

const struct task_part task_part_rlimit = {
	.name = "rlimit",
	.collect = rlimit_collect,
	.dump = rlimit_dump,
	.load = rlimit_load,
};
