// SPDX-License-Identifier: GPL-2.0-only
/*
 * membarrier(2): for which kinds of barriers a process has registered. Saved as the mask that
 * MEMBARRIER_CMD_GET_REGISTRATIONS gives, whose bits are the registering commands. A kernel
 * before 6.3 does not tell; then nothing is written.
 */
#include "state/parts.h"

#include "images/core.pb-c.h"
#include "state/args-builder.h"
#include "task/dump.h"
#include "task/task.h"

static int membarrier_dump(struct cr *cr, struct task *task)
{
	TaskCoreEntry *tc = task->threads[0].core->tc;
	uint32_t mask = task->dump->facts->membarrier_registrations;

	tc->has_membarrier_registration_mask = mask != 0;
	tc->membarrier_registration_mask = mask;
	return 0;
}

static int membarrier_load(struct cr *cr, struct task *task, struct args_builder *args)
{
	args_task(args)->membarrier = task->threads[0].core->tc->membarrier_registration_mask;
	return 0;
}

const struct task_part task_part_membarrier = {
	.name = "membarrier",
	.dump = membarrier_dump,
	.load = membarrier_load,
};
