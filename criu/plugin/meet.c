// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: how the core and the plugins use the place where the processes of the tasks, forked from
 * the coordinator, and it itself meet (share.h). Classes are counted down as their files are made;
 * the core's own files are a class as well, as rules may name them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "plugin/legacy-host.h"
#include "plugin/priv.h"
#include "plugin/share.h"
#include "util/alloc.h"
#include "util/futex.h"
#include "util/log.h"
#include "util/str.h"

#define CORE_FILES "@files"
/* For hooks that wait in tasks to be told that it is over, before the tasks are killed. */
#define GIVE_UP_MS 1000

/* Any plugin knows all tasks, in the same order. */
static const struct plugin *any_plugin(const struct plugins *plugins)
{
	return list_first_entry(&plugins->all, struct plugin, node);
}

static size_t index_of(const struct plugins *plugins, pid_t pid)
{
	const struct plugin *plugin = any_plugin(plugins);

	for (size_t i = 0; i < plugin->n_listed; i++)
		if (plugin->listed[i]->pid == pid)
			return i;
	return SHARE_NOBODY;
}

/* ---- the plan of it ---- */

struct meeting {
	struct share_plan plan;
	char **names;
	struct share_class *classes;
	struct share_barrier *barriers;
	size_t n_classes, n_barriers;
};

static uint32_t *count_files(const struct plugins *plugins, const struct plugin_class *class,
			     size_t n)
{
	uint32_t *counts = xcalloc(n, sizeof(*counts));
	const struct device_file *file;

	list_for_each_entry (file, &plugins->files, node) {
		size_t i = file->class == class && file->view.n_holders
				   ? index_of(plugins, file->view.holders[0].task->pid)
				   : SHARE_NOBODY;

		if (i != SHARE_NOBODY)
			counts[i]++;
	}
	return counts;
}

static bool *find_takers(const struct plugins *plugins, const char *class_name, size_t n)
{
	bool *takers = xcalloc(n, sizeof(*takers));
	const struct device_file *file;

	list_for_each_entry (file, &plugins->files, node) {
		for (size_t i = 0; i < file->view.n_holders; i++) {
			size_t task = index_of(plugins, file->view.holders[i].task->pid);

			if (task != SHARE_NOBODY && str_equal(file->class->decl->name, class_name))
				takers[task] = true;
		}
	}
	return takers;
}

static void plan_plugin(struct meeting *meeting, struct plugins *plugins, struct plugin *plugin)
{
	size_t n = meeting->plan.n_participants;

	for (size_t i = 0; i < plugin->decl.n_classes; i++) {
		struct plugin_class *class = &plugin->classes[i];

		meeting->classes = xreallocarray(meeting->classes, meeting->n_classes + 1,
						 sizeof(*meeting->classes));
		meeting->classes[meeting->n_classes++] =
			(struct share_class){class->decl->name, count_files(plugins, class, n)};
	}
	for (size_t i = 0; i < plugin->decl.n_barriers; i++) {
		const struct criu_barrier *barrier = &plugin->decl.barriers[i];

		meeting->barriers = xreallocarray(meeting->barriers, meeting->n_barriers + 1,
						  sizeof(*meeting->barriers));
		meeting->barriers[meeting->n_barriers++] =
			(struct share_barrier){plugin->decl.name, barrier->name,
					       find_takers(plugins, barrier->class_name, n)};
	}
}

static void plan_meeting(struct meeting *meeting, struct plugins *plugins, int first_free_fd,
			 const uint32_t *core_files)
{
	const struct plugin *any = any_plugin(plugins);
	struct plugin *plugin;
	size_t n = any->n_listed;

	meeting->plan.n_participants = n;
	meeting->plan.first_fd = first_free_fd;
	meeting->names = xcalloc(n + 1, sizeof(*meeting->names));
	for (size_t i = 0; i < n; i++)
		meeting->names[i] = xasprintf("task %d", any->listed[i]->pid);
	meeting->classes = xcalloc(1, sizeof(*meeting->classes));
	meeting->classes[meeting->n_classes++] =
		(struct share_class){CORE_FILES, xmemdup(core_files, n * sizeof(*core_files))};
	plugins_for_each (plugin, plugins)
		if (plugin_is_active(plugin))
			plan_plugin(meeting, plugins, plugin);
	meeting->plan.names = (const char *const *)meeting->names;
	meeting->plan.classes = meeting->classes;
	meeting->plan.n_classes = meeting->n_classes;
	meeting->plan.barriers = meeting->barriers;
	meeting->plan.n_barriers = meeting->n_barriers;
}

static void forget_meeting(struct meeting *meeting)
{
	for (size_t i = 0; i < meeting->plan.n_participants; i++)
		free(meeting->names[i]);
	for (size_t i = 0; i < meeting->n_classes; i++)
		free((void *)meeting->classes[i].n_files);
	for (size_t i = 0; i < meeting->n_barriers; i++)
		free((void *)meeting->barriers[i].takes_part);
	free(meeting->names);
	free(meeting->classes);
	free(meeting->barriers);
}

int plugins_meet(struct cr *cr, int first_free_fd, plugin_count_files count)
{
	struct plugins *plugins = cr->plugins;
	_cleanup_free_ uint32_t *core_files = NULL;
	struct meeting meeting = {0};
	const struct plugin *any;
	int err;

	if (!plugins_are_loaded(cr))
		return 0;
	plugins->first_free_fd = first_free_fd;
	any = any_plugin(plugins);
	core_files = xcalloc(any->n_listed + 1, sizeof(*core_files));
	for (size_t i = 0; i < any->n_listed; i++)
		core_files[i] = count(cr, any->listed[i]->pid);
	plan_meeting(&meeting, plugins, first_free_fd, core_files);
	err = share_new(cr, &meeting.plan, &plugins->share);
	forget_meeting(&meeting);
	return err ? err : activity_new(cr, any->n_listed);
}

int plugins_prepare_fork(struct cr *cr)
{
	if (!plugins_are_loaded(cr))
		return 0;
	share_start(cr->plugins->share);
	return legacy_host_prepare_fork(cr);
}

/* ---- in the process of a task ---- */

void plugins_enter_task(struct cr *cr, pid_t pid)
{
	struct plugins *plugins = cr->plugins;

	if (!plugins_are_loaded(cr))
		return;
	/* A helper of its parent takes no part. */
	plugins->has_left = !pid;
	plugins->own_pid = pid;
	if (!pid)
		return;
	plugins->own_index = index_of(plugins, pid);
	share_join(plugins->share, plugins->own_index);
}

void plugins_leave_meeting(struct cr *cr)
{
	struct plugins *plugins = cr->plugins;

	if (!plugins_are_loaded(cr))
		return;
	plugins->has_left = true;
	if (plugins->own_pid)
		share_close(plugins->share);
}

/* What a wait that failed means, said once, by whoever met it first. */
static int wait_failed(struct cr *cr, int err)
{
	if (err == -EDEADLK && *share_chain(cr->plugins->share))
		return log_refuse(cr, err, "plugins: waiting that can never end: %s",
				  share_chain(cr->plugins->share));
	return err;
}

static const char *node_of(const struct plugin_class *class)
{
	return class ? class->decl->name : CORE_FILES;
}

static size_t order_node(const struct plugins *plugins, const struct plugin_class *class)
{
	return class ? class->node : plugins->anchors[ANCHOR_FILES];
}

static int wait_class(struct cr *cr, const char *name)
{
	struct share *share = cr->plugins->share;
	ssize_t index = share_find_class(share, name);
	int err = index < 0 ? 0 : share_wait_class(share, (size_t)index);

	return err ? wait_failed(cr, err) : 0;
}

int plugins_wait_turn(struct cr *cr, const struct plugin_class *class)
{
	struct plugins *plugins = cr->plugins;
	size_t own;

	if (!plugins_are_active(cr))
		return 0;
	own = order_node(plugins, class);
	for (size_t i = 0; i < plugins->order.n_nodes; i++) {
		const struct order_node *node = &plugins->order.nodes[i];
		bool counts = node->data || i == plugins->anchors[ANCHOR_FILES];
		int err;

		if (!counts || i == own || !order_is_tree_before(&plugins->order, i, own))
			continue;
		err = wait_class(cr, node->data ? node->name : CORE_FILES);
		if (err)
			return err;
	}
	return 0;
}

void plugins_file_made(struct cr *cr, const struct plugin_class *class)
{
	ssize_t index;

	if (!plugins_are_loaded(cr))
		return;
	index = share_find_class(cr->plugins->share, node_of(class));
	if (index >= 0)
		(void)share_class_done(cr->plugins->share, (size_t)index);
}

bool plugins_is_before(const struct cr *cr, const struct plugin_class *before,
		       const struct plugin_class *after)
{
	return plugins_are_active(cr) &&
	       order_is_before(&cr->plugins->order, order_node(cr->plugins, before),
			       order_node(cr->plugins, after));
}

uint32_t plugins_generation(const struct cr *cr)
{
	return plugins_are_loaded(cr) ? share_generation(cr->plugins->share) : 0;
}

bool plugins_wait_is_over(struct cr *cr, const struct plugin_class *class,
			  const struct plugin_wait *wait)
{
	struct share *share = cr->plugins->share;
	ssize_t index;

	if (!class || !*wait->what)
		return true;
	if (!wait->is_class)
		return share_has_key(share, class->plugin->decl.name, wait->what);
	index = share_find_class(share, wait->what);
	return index < 0 || share_class_is_done(share, (size_t)index);
}

int plugins_sleep(struct cr *cr, uint32_t generation, const char *text)
{
	int err = share_defer(cr->plugins->share, generation, text);

	return err ? wait_failed(cr, err) : 0;
}

/* ---- waits of the core ---- */

int plugins_wait_word(struct cr *cr, struct futex *word, uint32_t expected, pid_t on,
		      const char *text, int timeout_ms)
{
	size_t index;
	int err;

	if (!plugins_are_loaded(cr) || !cr->plugins->share || cr->plugins->has_left)
		return futex_wait(word, expected, timeout_ms);
	index = on ? index_of(cr->plugins, on) : SHARE_NOBODY;
	err = share_wait_word(cr->plugins->share, word, expected, index, text, timeout_ms);
	return err == -EDEADLK ? wait_failed(cr, err) : err;
}

int plugins_task_died(struct cr *cr, pid_t pid)
{
	int err;

	if (!plugins_are_loaded(cr) || !cr->plugins->share)
		return 0;
	err = activity_died(cr, pid);
	if (index_of(cr->plugins, pid) != SHARE_NOBODY)
		share_participant_died(cr->plugins->share, index_of(cr->plugins, pid));
	return err;
}

void plugins_give_up(struct cr *cr)
{
	if (!plugins_are_loaded(cr) || !cr->plugins->share)
		return;
	share_fail(cr->plugins->share);
	activity_drain(cr->plugins, GIVE_UP_MS);
}
