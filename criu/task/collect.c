// SPDX-License-Identifier: GPL-2.0-only
/*
 * Facts of a frozen task that more than one part needs: /proc/PID/stat of the process and
 * /proc/PID/task/TID/status of each thread. Read by workers, many tasks at a time; nothing here
 * traces or changes anything. The folder of a thread is open only while its parts read from it, so
 * that a tree of many threads does not use up descriptors.
 */
#include "task/dump.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "kernel/kcmp.h"
#include "util/log.h"

/* Threads can give up sharing (unshare(2)); images have one table of descriptors and one of paths
 * for a process. */
static int check_sharing(struct cr *cr, const struct thread *thread)
{
	const struct task *task = thread->task;

	if (kcmp_compare(task->host_pid, thread->host_tid, KCMP_KIND_FILES, 0, 0) > 0)
		return log_refuse(cr, -EOPNOTSUPP,
				  "pid %d: thread %d has a descriptor table of its own", task->pid,
				  thread->tid);
	if (kcmp_compare(task->host_pid, thread->host_tid, KCMP_KIND_FS, 0, 0) > 0)
		return log_refuse(cr, -EOPNOTSUPP,
				  "pid %d: thread %d has a working directory of its own", task->pid,
				  thread->tid);
	return namespaces_check_thread(cr, thread);
}

int thread_collect(struct cr *cr, struct thread *thread)
{
	int err;

	thread->dump->proc = proc_open_task(thread->task->dump->proc, thread->host_tid);
	err = thread->dump->proc;
	if (err >= 0)
		err = proc_read_status(thread->dump->proc, &thread->dump->status);
	if (err < 0)
		return log_err(cr, err, "pid %d: read the status of thread %d", thread->task->pid,
			       thread->tid);
	return thread == &thread->task->threads[0] ? 0 : check_sharing(cr, thread);
}

void thread_collect_end(struct thread *thread)
{
	close_at(&thread->dump->proc);
	thread->dump->proc = -1;
}

int task_collect(struct cr *cr, struct task *task)
{
	int err = proc_read_stat(task->dump->proc, &task->dump->stat);

	if (err < 0)
		return log_err(cr, err, "pid %d: read its state", task->pid);
	task->pgid = task->dump->stat.pgrp;
	task->sid = task->dump->stat.session;
	if (task->sid == 0)
		return log_refuse(cr, -EOPNOTSUPP,
				  "pid %d: its session began outside of this pid namespace",
				  task->pid);
	if (!task_is_alive(task))
		return 0;
	err = namespaces_read(task->dump->proc, task->dump->namespaces);
	if (err < 0)
		return log_err(cr, err, "pid %d: look at its namespaces", task->pid);
	return 0;
}
