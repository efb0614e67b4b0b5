// SPDX-License-Identifier: GPL-2.0-only
/*
 * POSIX timers (timer_create(2)): id, clock, how they notify (signal, value, which thread),
 * interval, time left, overruns. Which there are is in /proc/PID/timers; how they stand only the
 * process itself can ask. They are made again with the same ids.
 */
#include "state/parts.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/core.pb-c.h"
#include "images/timer.pb-c.h"
#include "kernel/proc.h"
#include "state/args-builder.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static int timers_by_id(const void *a, const void *b)
{
	const struct proc_timer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int posix_timer_collect(struct cr *cr, struct task *task)
{
	int err = proc_read_timers(task->dump->proc, &task->dump->timers, &task->dump->n_timers);

	if (err < 0)
		return log_err(cr, err, "pid %d: list its POSIX timers", task->pid);
	/* The kernel has the newest first; ids are given out ascending. */
	if (task->dump->n_timers)
		qsort(task->dump->timers, task->dump->n_timers, sizeof(*task->dump->timers),
		      timers_by_id);
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

static int args_by_id(const void *a, const void *b)
{
	const struct posix_timer_args *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static const char *timer_fault(const struct task *task, const PosixTimerEntry *entry)
{
	if (entry->it_id > INT32_MAX)
		return "it_id: is no id of a timer";
	if (entry->insec >= 1000000000 || entry->vnsec >= 1000000000)
		return "a thousand million nanoseconds or more";
	if (entry->it_sigev_notify & ~(uint32_t)(SIGEV_NONE | SIGEV_THREAD | SIGEV_THREAD_ID))
		return "it_sigev_notify: is no kind of notification";
	if (entry->it_sigev_notify != SIGEV_NONE && (!entry->si_signo || entry->si_signo > 64))
		return "si_signo: is no signal";
	if (!(entry->it_sigev_notify & SIGEV_THREAD_ID))
		return NULL;
	if (!entry->has_notify_thread_id)
		return "notify_thread_id: is missing";
	for (size_t i = 0; i < task->n_threads; i++)
		if (task->threads[i].tid == entry->notify_thread_id)
			return NULL;
	return "notify_thread_id: is no thread of the process";
}

static struct posix_timer_args one_load(const PosixTimerEntry *entry)
{
	struct posix_timer_args timer = {
		.id = (int32_t)entry->it_id,
		.clock = (int32_t)entry->clock_id,
		.signo = (int32_t)entry->si_signo,
		.notify = (int32_t)entry->it_sigev_notify,
		.notify_tid = entry->notify_thread_id,
		.sival = entry->sival_ptr,
		.interval_sec = (int64_t)entry->isec,
		.interval_nsec = (int64_t)entry->insec,
		.value_sec = (int64_t)entry->vsec,
		.value_nsec = (int64_t)entry->vnsec,
	};

	/* A period whose expiry is just being delivered has no time left: it goes on with the next.
	 */
	if (!timer.value_sec && !timer.value_nsec) {
		timer.value_sec = timer.interval_sec;
		timer.value_nsec = timer.interval_nsec;
	}
	return timer;
}

static int posix_timer_load(struct cr *cr, struct task *task, struct args_builder *args)
{
	const TaskTimersEntry *timers = task->threads[0].core->tc->timers;
	_cleanup_free_ struct posix_timer_args *list = xcalloc(timers->n_posix, sizeof(*list));
	struct args_ref ref;

	for (size_t i = 0; i < timers->n_posix; i++) {
		const char *fault = timer_fault(task, timers->posix[i]);

		if (fault)
			return log_refuse(cr, -EBADMSG, "core-%d.img: field timers.posix[%zu].%s",
					  task->pid, i, fault);
		list[i] = one_load(timers->posix[i]);
	}
	qsort(list, timers->n_posix, sizeof(*list), args_by_id);
	ref = args_put(args, list, sizeof(*list), timers->n_posix);
	args_task(args)->posix_timers = ref;
	return 0;
}

const struct task_part task_part_posix_timer = {
	.name = "posix-timer",
	.collect = posix_timer_collect,
	.dump = posix_timer_dump,
	.load = posix_timer_load,
};
