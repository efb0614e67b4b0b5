// SPDX-License-Identifier: GPL-2.0-only
/*
 * Killing a tree that has been dumped. Every process gets its SIGKILL while all still lie in their
 * ptrace stops: they end from there without an instruction of their own, and no parent runs to see
 * a child dead before it is killed itself. What then takes time is the kernel's taking them apart,
 * memory (0.1 to 0.2 s a GiB) before open files. Nobody need wait for that but who wants what they
 * had: restore waits for their pids by itself (pids.c). The kernel keeps what a tracer has traced
 * until that has seen it dead, or ends; so each thread is waited for, or left to the end of this
 * process. Reaping is the parents' matter.
 */
#include "task/dump.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cr.h"
#include "util/fd.h"
#include "util/log.h"

static void wait_dead(const struct task *task)
{
	siginfo_t info;

	for (size_t i = task->n_threads; i-- > 1;)
		waitpid(task->threads[i].host_tid, NULL, __WALL);
	while (waitid(P_PID, (id_t)task->host_pid, &info, WEXITED | WNOWAIT | __WALL) < 0 &&
	       errno == EINTR)
		;
	/* What this process is the parent of is for whoever in it waits for children. */
	if (task->dump->stat.ppid != getpid())
		waitpid(task->host_pid, NULL, __WALL);
}

int tree_kill(struct cr *cr, bool is_death_awaited)
{
	struct task *task;
	int err = 0;

	cr->dump->goes_on = true;
	/* Children first: who is left when the tool dies here can still be told from its parents.
	 */
	for (size_t i = cr->tree->n_tasks; i-- > 0;) {
		int ret;

		task = cr->tree->by_index[i];
		ret = task_is_alive(task) ? pidfd_signal(task->dump->pidfd, SIGKILL) : 0;

		if (ret < 0 && ret != -ESRCH)
			err = log_err(cr, ret, "pid %d: kill", task->pid);
	}
	if (err < 0)
		return err;
	if (is_death_awaited)
		tree_for_each_task (task, cr->tree)
			if (task_is_alive(task))
				wait_dead(task);
	tree_forget(cr);
	log_info(cr, "pid %d: the tree is %s", cr->tree->root->pid,
		 is_death_awaited ? "dead" : "killed");
	return 0;
}
