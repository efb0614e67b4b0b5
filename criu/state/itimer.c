// SPDX-License-Identifier: GPL-2.0-only
/*
 * The three interval timers of a process (setitimer(2): real time, own CPU time, own and system CPU
 * time): interval and time left, in seconds and microseconds. They stand still for the time that
 * the process does not exist.
 */
#include "state/parts.h"

#include <errno.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/timer.pb-c.h"
#include "state/args-builder.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static ItimerEntry *one_dump(const struct parasite_itimer *timer)
{
	ItimerEntry *entry = message_new(&itimer_entry__descriptor);

	entry->isec = (uint64_t)timer->interval_sec;
	entry->iusec = (uint64_t)timer->interval_usec;
	entry->vsec = (uint64_t)timer->value_sec;
	entry->vusec = (uint64_t)timer->value_usec;
	return entry;
}

static int itimer_dump(struct cr *cr, struct task *task)
{
	const struct parasite_itimer *timers = task->dump->facts->itimers;
	TaskCoreEntry *tc = task->threads[0].core->tc;

	if (!tc->timers)
		tc->timers = message_new(&task_timers_entry__descriptor);
	tc->timers->real = one_dump(&timers[0]);
	tc->timers->virt = one_dump(&timers[1]);
	tc->timers->prof = one_dump(&timers[2]);
	return 0;
}

static struct itimer_args one_load(const ItimerEntry *entry)
{
	return (struct itimer_args){.interval_sec = (int64_t)entry->isec,
				    .interval_usec = (int64_t)entry->iusec,
				    .value_sec = (int64_t)entry->vsec,
				    .value_usec = (int64_t)entry->vusec};
}

static int itimer_load(struct cr *cr, struct task *task, struct args_builder *args)
{
	const TaskTimersEntry *timers = task->threads[0].core->tc->timers;
	struct itimer_args *to = args_task(args)->itimers;

	to[0] = one_load(timers->real);
	to[1] = one_load(timers->virt);
	to[2] = one_load(timers->prof);
	for (int i = 0; i < 3; i++)
		if ((uint64_t)to[i].interval_usec >= 1000000 ||
		    (uint64_t)to[i].value_usec >= 1000000)
			return log_refuse(
				cr, -EBADMSG,
				"core-%d.img: field timers: a million microseconds or more",
				task->pid);
	return 0;
}

const struct task_part task_part_itimer = {
	.name = "itimer",
	.dump = itimer_dump,
	.load = itimer_load,
};
