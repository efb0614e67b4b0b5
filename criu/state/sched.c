// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a thread is scheduled: policy (with SCHED_RESET_ON_FORK), the priority of the real-time policies, the nice value. The parameters
 * of SCHED_DEADLINE and of schedulers loaded as BPF programs have no place in the format: such threads are refused. Which CPUs a
 * thread may run on is not saved: it belongs to the machine.
 */
#include "state/parts.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static bool is_real_time(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool is_known(int policy)
{
	return is_real_time(policy) || policy == SCHED_OTHER || policy == SCHED_BATCH ||
	       policy == SCHED_IDLE;
}

static int sched_collect(struct cr *cr, struct thread *thread)
{
	struct sched_param param = {0};
	int policy = sched_getscheduler(thread->host_tid);
	long nice;

	if (policy < 0)
		return log_err(cr, -errno, "pid %d: get the scheduling policy of thread %d",
			       thread->task->pid, thread->tid);
	if (!is_known(policy & ~SCHED_RESET_ON_FORK))
		return log_refuse(cr, -EOPNOTSUPP,
				  "pid %d: thread %d has scheduling policy %d, which images cannot hold",
				  thread->task->pid, thread->tid, policy & ~SCHED_RESET_ON_FORK);
	if (sched_getparam(thread->host_tid, &param) < 0)
		return log_err(cr, -errno, "pid %d: get the priority of thread %d",
			       thread->task->pid, thread->tid);
	/* The call itself gives 20 - nice, which is never negative. */
	nice = syscall(SYS_getpriority, PRIO_PROCESS, thread->host_tid);
	if (nice < 0)
		return log_err(cr, -errno, "pid %d: get the nice value of thread %d",
			       thread->task->pid, thread->tid);
	thread->dump->sched.policy = (uint32_t)policy;
	thread->dump->sched.priority = (uint32_t)param.sched_priority;
	thread->dump->sched.nice = 20 - (int)nice;
	return 0;
}

static int sched_dump(struct cr *cr, struct thread *thread)
{
	ThreadCoreEntry *core = thread->core->thread_core;

	core->has_sched_policy = true;
	core->sched_policy = thread->dump->sched.policy;
	core->has_sched_nice = true;
	core->sched_nice = thread->dump->sched.nice;
	core->has_sched_prio = is_real_time((int)core->sched_policy & ~SCHED_RESET_ON_FORK);
	core->sched_prio = thread->dump->sched.priority;
	return 0;
}

const struct thread_part thread_part_sched = {
	.name = "sched",
	.collect = sched_collect,
	.dump = sched_dump,
};
