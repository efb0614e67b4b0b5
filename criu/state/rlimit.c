// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resource limits, soft and hard, of which a process has sixteen; all threads share them. Saved in the order of the RLIMIT_ numbers.
 * On restore they come late: what the restore itself needs (descriptors, stack, memory) may be more than they allow.
 */
#include "state/parts.h"

#include <errno.h>
#include <sys/resource.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/rlimit.pb-c.h"
#include "kernel/proc.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static int rlimit_collect(struct cr *cr, struct task *task)
{
	for (int i = 0; i < PROC_N_LIMITS; i++) {
		struct rlimit limit;

		if (prlimit(task->host_pid, i, NULL, &limit) < 0)
			return log_err(cr, -errno, "pid %d: read resource limit %d", task->pid, i);
		task->dump->limits[i] = (struct proc_limit){limit.rlim_cur, limit.rlim_max};
	}
	return 0;
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

const struct task_part task_part_rlimit = {
	.name = "rlimit",
	.collect = rlimit_collect,
	.dump = rlimit_dump,
};
