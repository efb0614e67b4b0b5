// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a thread is scheduled: policy (with SCHED_RESET_ON_FORK), the priority of the real-time
 * policies, the nice value. The parameters of SCHED_DEADLINE and of schedulers loaded as BPF
 * programs have no place in the format: such threads are refused. Which CPUs a thread may run on is
 * not saved: it belongs to the machine.
 */
#include "state/sched.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "state/parts.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

/* struct sched_attr in its first form; larger ones begin with it. */
struct sched_attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

#define RESET_ON_FORK_FLAG 0x01 /* SCHED_FLAG_RESET_ON_FORK */

static bool is_real_time(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool is_known(int policy)
{
	return is_real_time(policy) || policy == SCHED_OTHER || policy == SCHED_BATCH ||
	       policy == SCHED_IDLE;
}

/* Of real-time threads sched_getattr(2) does not tell it. */
static int get_nice(struct cr *cr, const struct thread *thread, int *ret_nice)
{
	/* The call itself gives 20 - nice, which is never negative. */
	long nice = syscall(SYS_getpriority, PRIO_PROCESS, thread->host_tid);

	if (nice < 0)
		return log_err(cr, -errno, "pid %d: get the nice value of thread %d",
			       thread->task->pid, thread->tid);
	*ret_nice = 20 - (int)nice;
	return 0;
}

static int sched_collect(struct cr *cr, struct thread *thread)
{
	struct sched_attributes attr = {.size = sizeof(attr)};

	if (syscall(SYS_sched_getattr, thread->host_tid, &attr, sizeof(attr), 0) < 0)
		return log_err(cr, -errno, "pid %d: get the scheduling policy of thread %d",
			       thread->task->pid, thread->tid);
	if (!is_known((int)attr.policy))
		return log_refuse(
			cr, -EOPNOTSUPP,
			"pid %d: thread %d has scheduling policy %u, which images cannot hold",
			thread->task->pid, thread->tid, attr.policy);
	thread->dump->sched.policy = attr.policy;
	if (attr.flags & RESET_ON_FORK_FLAG)
		thread->dump->sched.policy |= SCHED_RESET_ON_FORK;
	thread->dump->sched.priority = attr.priority;
	thread->dump->sched.nice = attr.nice;
	return is_real_time((int)attr.policy) ? get_nice(cr, thread, &thread->dump->sched.nice) : 0;
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

static int sched_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const ThreadCoreEntry *core = thread->core->thread_core;
	int policy = (int)core->sched_policy & ~SCHED_RESET_ON_FORK;
	const char *fault = NULL;

	if (!is_known(policy))
		fault = "sched_policy: is none that can be restored";
	else if (is_real_time(policy) && (core->sched_prio < 1 || core->sched_prio > 99))
		fault = "sched_prio: is no real-time priority";
	else if (!is_real_time(policy) && core->sched_prio)
		fault = "sched_prio: is not 0, though the policy has no priorities";
	else if (core->sched_nice < -20 || core->sched_nice > 19)
		fault = "sched_nice: is no nice value";
	if (!fault)
		return 0;
	return log_refuse(cr, -EBADMSG, "core-%d.img: field thread_core.%s", thread->tid, fault);
}

int sched_restore(struct cr *cr, const struct thread *thread)
{
	const ThreadCoreEntry *core = thread->core->thread_core;
	struct sched_param param = {.sched_priority = (int)core->sched_prio};
	int policy = sched_getscheduler(thread->host_tid);
	long nice = 20 - syscall(SYS_getpriority, PRIO_PROCESS, thread->host_tid);

	if (nice != core->sched_nice &&
	    setpriority(PRIO_PROCESS, (id_t)thread->host_tid, core->sched_nice) < 0)
		return log_err(cr, -errno, "pid %d: set the nice value of thread %d to %d",
			       thread->task->pid, thread->tid, core->sched_nice);
	if ((policy != (int)core->sched_policy || core->sched_prio) &&
	    sched_setscheduler(thread->host_tid, (int)core->sched_policy, &param) < 0)
		return log_err(cr, -errno,
			       "pid %d: set scheduling policy %#x and priority %u of thread %d",
			       thread->task->pid, core->sched_policy, core->sched_prio,
			       thread->tid);
	return 0;
}

const struct thread_part thread_part_sched = {
	.name = "sched",
	.collect = sched_collect,
	.dump = sched_dump,
	.load = sched_load,
};
