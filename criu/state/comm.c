// SPDX-License-Identifier: GPL-2.0-only
/*
 * The name of a thread, 15 bytes of any kind but zero: PR_SET_NAME, /proc/PID/task/TID/comm. The
 * name of a process is that of its leader, and written once more for it: for zombies it is the only
 * one.
 */
#include "state/parts.h"

#include <errno.h>
#include <string.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "kernel/proc.h"
#include "state/args-builder.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

static int comm_dump_thread(struct cr *cr, struct thread *thread)
{
	thread->core->thread_core->comm = xstrndup(thread->dump->status.name, PROC_COMM_LEN - 1);
	return 0;
}

static int comm_dump(struct cr *cr, struct task *task)
{
	const char *name = task_is_alive(task) ? task->threads[0].dump->status.name
					       : task->dump->stat.comm;

	task->threads[0].core->tc->comm = xstrndup(name, PROC_COMM_LEN - 1);
	return 0;
}

static int comm_load_thread(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	struct thread_args *t = args_thread(args, (size_t)(thread - thread->task->threads));
	const char *comm = thread->core->thread_core->comm;

	if (!comm)
		comm = thread->task->threads[0].core->tc->comm;
	if (strlen(comm) >= sizeof(t->comm))
		return log_refuse(cr, -EBADMSG, "core-%d.img: field comm: is longer than 15 bytes",
				  thread->tid);
	strcpy(t->comm, comm);
	return 0;
}

const struct task_part task_part_comm = {
	.name = "comm",
	.of_zombies = true,
	.dump = comm_dump,
};

const struct thread_part thread_part_comm = {
	.name = "comm",
	.dump = comm_dump_thread,
	.load = comm_load_thread,
};
