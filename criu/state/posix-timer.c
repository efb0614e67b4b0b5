// SPDX-License-Identifier: GPL-2.0-only
/*
 * POSIX timers (timer_create(2)): id, clock, how they notify (signal, value, which thread), interval, time left, overruns. Which
 * there are is in /proc/PID/timers; how they stand only the process itself can ask. They are made again with the same ids.
 */
#include "state/parts.h"

#include <signal.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/timer.pb-c.h"
#include "kernel/proc.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static int posix_timer_collect(struct cr *cr, struct task *task)
{
	int err = proc_read_timers(task->dump->proc, &task->dump->timers, &task->dump->n_timers);

	if (err < 0)
		return log_err(cr, err, "pid %d: list its POSIX timers", task->pid);
	return 0;
}

static PosixTimerEntry *one_dump(const struct proc_timer *timer,
				 const struct parasite_posix_timer *value)
{
	PosixTimerEntry *entry = message_new(&posix_timer_entry__descriptor);

	entry->it_id = (uint32_t)timer->id;
	entry->clock_id = (uint32_t)timer->clock_id;
	entry->si_signo = (uint32_t)timer->signo;
	entry->it_sigev_notify = (uint32_t)timer->notify;
	entry->sival_ptr = timer->sival;
	if (timer->notify & SIGEV_THREAD_ID) {
		entry->has_notify_thread_id = true;
		entry->notify_thread_id = timer->target;
	}
	entry->overrun = (uint32_t)value->overrun;
	entry->isec = (uint64_t)value->interval_sec;
	entry->insec = (uint64_t)value->interval_nsec;
	entry->vsec = (uint64_t)value->value_sec;
	entry->vnsec = (uint64_t)value->value_nsec;
	return entry;
}

static int posix_timer_dump(struct cr *cr, struct task *task)
{
	TaskCoreEntry *tc = task->threads[0].core->tc;
	size_t n = task->dump->n_timers;

	if (!tc->timers)
		tc->timers = message_new(&task_timers_entry__descriptor);
	tc->timers->posix = xcalloc(n, sizeof(*tc->timers->posix));
	tc->timers->n_posix = n;
	for (size_t i = 0; i < n; i++)
		tc->timers->posix[i] =
			one_dump(&task->dump->timers[i], &task->dump->facts->timers[i]);
	return 0;
}

const struct task_part task_part_posix_timer = {
	.name = "posix-timer",
	.collect = posix_timer_collect,
	.dump = posix_timer_dump,
};
