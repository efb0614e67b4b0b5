// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process is: alive, stopped by a signal (which one), or a zombie with the wait status its parent has not fetched yet; and the
 * kernel's flags of it, which say how it came to be. The flags are for people who look at the image: nothing is restored of them.
 * A zombie has nothing but this, its name and its ids in the tree.
 */
#include "state/parts.h"

#include "images/core.pb-c.h"
#include "task/dump.h"
#include "task/task.h"

static int process_dump(struct cr *cr, struct task *task)
{
	TaskCoreEntry *tc = task->threads[0].core->tc;

	tc->task_state = task->state;
	tc->exit_code = task_is_alive(task) ? 0 : (uint32_t)task->dump->stat.exit_code;
	tc->flags = task->dump->stat.flags;
	if (task->state == TASK_STOPPED) {
		tc->has_stop_signo = true;
		tc->stop_signo = (uint32_t)task->threads[0].dump->stop_signo;
	}
	return 0;
}

const struct task_part task_part_process = {
	.name = "process",
	.dump = process_dump,
};
