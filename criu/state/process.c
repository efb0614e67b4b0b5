// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process is: alive, stopped by a signal (which one), or a zombie with the wait status its
 * parent has not fetched yet; and the kernel's flags of it, which say how it came to be. The flags
 * are for people who look at the image: nothing is restored of them. A zombie has nothing but this,
 * its name and its ids in the tree.
 */
#include "state/parts.h"

#include <errno.h>
#include <signal.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static int process_dump(struct cr *cr, struct task *task)
{
	TaskCoreEntry *tc = task->threads[0].core->tc;

	tc->task_state = task->state;
	tc->exit_code = task_is_alive(task) ? 0 : (uint32_t)task->dump->stat.exit_code;
	tc->flags = task_is_alive(task) ? task->dump->stat.flags : 0;
	if (task->state == TASK_STOPPED) {
		tc->has_stop_signo = true;
		tc->stop_signo = (uint32_t)task->threads[0].dump->stop_signo;
	}
	return 0;
}

static int process_load(struct cr *cr, struct task *task, struct args_builder *args)
{
	const TaskCoreEntry *tc = task->threads[0].core->tc;

	if (task->state != TASK_STOPPED || !tc->has_stop_signo)
		return 0;
	if (tc->stop_signo == SIGSTOP || tc->stop_signo == SIGTSTP || tc->stop_signo == SIGTTIN ||
	    tc->stop_signo == SIGTTOU)
		return 0;
	return log_refuse(cr, -EBADMSG, "core-%d.img: field tc.stop_signo: %u stops no process",
			  task->pid, tc->stop_signo);
}

const struct task_part task_part_process = {
	.name = "process",
	.of_zombies = true,
	.dump = process_dump,
	.load = process_load,
};
