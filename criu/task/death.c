// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tasks that somebody else kills while they are traced. They end from their ptrace stops, SIGKILL
 * needs no tracer's leave; but the kernel tells nobody of a process that ended before its tracer
 * has seen every other thread dead, neither the parent nor who polls a pidfd. So a tracer that does
 * not want to wait for ever has to look at the threads.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "cr.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static bool is_dead(pid_t tid)
{
	siginfo_t info = {0};

	/* A tracer is told of stops too, whatever it asks for. */
	return waitid(P_PID, (id_t)tid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 &&
	       info.si_pid == tid && info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED;
}

/* All threads are, if one is: any will do but a leader that has others, of whom one is not told. */
bool task_was_killed(const struct task *task)
{
	return task_is_alive(task) && is_dead(task->threads[task->n_threads > 1].host_tid);
}

int tree_check_alive(struct cr *cr)
{
	struct task *task;

	if (!cr->tree || !cr->dump || cr->dump->goes_on)
		return 0;
	tree_for_each_task (task, cr->tree)
		if (task_was_killed(task))
			return log_refuse(cr, -ECHILD,
					  "pid %d: was killed by somebody else while it was dumped",
					  task->pid);
	return 0;
}
