// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the process of each task is in the middle of, in memory that the coordinator sees: it keeps
 * the deadlines of calls in these processes, and can say who died in which hook. Timers of the
 * processes' own would not do: their numbers are the task's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "cr.h"
#include "plugin/priv.h"
#include "util/log.h"
#include "util/report.h"
#include "util/time.h"

struct activity {
	uint32_t is_busy; /* the rest is valid */
	pid_t pid;
	uint64_t since_us;
	unsigned int timeout_ms;
	char plugin[56], hook[32];
};

int activity_new(struct cr *cr, size_t n)
{
	struct plugins *plugins = cr->plugins;

	plugins->n_activities = n;
	plugins->activities_size = (n + 1) * sizeof(struct activity);
	plugins->activities = mmap(NULL, plugins->activities_size, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plugins->activities == MAP_FAILED) {
		plugins->activities = NULL;
		return log_err(cr, -ENOMEM, "plugins: memory to share between the tasks");
	}
	return 0;
}

void activity_free(struct plugins *plugins)
{
	if (plugins->activities)
		munmap(plugins->activities, plugins->activities_size);
	plugins->activities = NULL;
}

void activity_begin(struct plugins *plugins, const char *plugin, const char *hook,
		    unsigned int timeout_ms)
{
	struct activity *activity = &plugins->activities[plugins->own_index];

	activity->pid = plugins->own_pid;
	activity->since_us = time_now_us();
	activity->timeout_ms = timeout_ms;
	snprintf(activity->plugin, sizeof(activity->plugin), "%s", plugin);
	snprintf(activity->hook, sizeof(activity->hook), "%s", hook);
	__atomic_store_n(&activity->is_busy, 1, __ATOMIC_RELEASE);
}

void activity_end(struct plugins *plugins)
{
	__atomic_store_n(&plugins->activities[plugins->own_index].is_busy, 0, __ATOMIC_RELEASE);
}

static bool is_busy(const struct activity *activity)
{
	return __atomic_load_n(&activity->is_busy, __ATOMIC_ACQUIRE);
}

int plugins_check_deadlines(struct cr *cr)
{
	const struct plugins *plugins = cr->plugins;

	for (size_t i = 0; plugins && plugins->activities && i < plugins->n_activities; i++) {
		const struct activity *activity = &plugins->activities[i];

		if (!is_busy(activity) ||
		    time_now_us() - activity->since_us < activity->timeout_ms * 1000ull)
			continue;
		log_refuse(cr, -ETIMEDOUT, "plugin %s: %s: pid %d: is not done after %u ms",
			   activity->plugin, activity->hook, activity->pid, activity->timeout_ms);
		log_remedy(cr, "give it longer with --plugin-timeout");
		report_plugin_set(cr->report, activity->plugin);
		return -ETIMEDOUT;
	}
	return 0;
}

void activity_drain(struct plugins *plugins, unsigned int milliseconds)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	size_t n_busy = 1;

	for (unsigned int t = 0; plugins->activities && n_busy && t < milliseconds; t++) {
		n_busy = 0;
		for (size_t i = 0; i < plugins->n_activities; i++)
			n_busy += is_busy(&plugins->activities[i]);
		if (n_busy)
			nanosleep(&nap, NULL);
	}
}

int activity_died(struct cr *cr, pid_t pid)
{
	const struct plugins *plugins = cr->plugins;

	for (size_t i = 0; plugins->activities && i < plugins->n_activities; i++) {
		struct activity *activity = &plugins->activities[i];

		if (!is_busy(activity) || activity->pid != pid)
			continue;
		__atomic_store_n(&activity->is_busy, 0, __ATOMIC_RELEASE);
		log_refuse(cr, -EFAULT, "plugin %s: %s: pid %d: the process died in this call",
			   activity->plugin, activity->hook, activity->pid);
		report_plugin_set(cr->report, activity->plugin);
		return -EFAULT;
	}
	return 0;
}
