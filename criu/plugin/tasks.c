// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tree as each plugin sees it. A struct criu_task keeps its address from the first hook that
 * sees it to the last, also where the tree is read again because it has grown: so each plugin has a
 * list of its own, and what is no longer in the tree stays in it, unlisted, until it was closed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/log.h"

struct plugin_task *plugin_find_task(const struct plugin *plugin, pid_t pid)
{
	return hash_get(&plugin->tasks_by_pid, (uint64_t)pid);
}

void plugins_begin_tasks(struct cr *cr)
{
	struct plugin_task *task;
	struct plugin *plugin;

	if (!cr->plugins)
		return;
	plugins_for_each (plugin, cr->plugins) {
		list_for_each_entry (task, &plugin->tasks, node)
			task->is_listed = false;
		plugin->n_listed = 0;
	}
}

static struct plugin_task *new_task(struct plugin *plugin, pid_t pid)
{
	struct plugin_task *task = xcalloc(1, sizeof(*task));

	task->plugin = plugin;
	task->view.size = sizeof(task->view);
	task->view.pid = pid;
	hash_put(&plugin->tasks_by_pid, (uint64_t)pid, task);
	return task;
}

void plugins_add_task(struct cr *cr, pid_t pid, pid_t host_pid, pid_t parent_pid)
{
	struct plugin *plugin;

	if (!cr->plugins)
		return;
	plugins_for_each (plugin, cr->plugins) {
		struct plugin_task *task = plugin_find_task(plugin, pid);
		struct plugin_task *parent = plugin_find_task(plugin, parent_pid);

		if (task)
			list_del(&task->node);
		else
			task = new_task(plugin, pid);
		/* In the order in which they are told. */
		list_add_tail(&plugin->tasks, &task->node);
		task->view.host_pid = host_pid;
		task->view.parent = parent_pid && parent ? &parent->view : NULL;
		task->is_listed = true;
		plugin->listed = array_grow(plugin->listed, &plugin->listed_capacity,
					    plugin->n_listed + 1, sizeof(*plugin->listed));
		plugin->listed[plugin->n_listed++] = &task->view;
	}
}

void plugins_set_host_pid(struct cr *cr, pid_t pid, pid_t host_pid)
{
	struct plugin *plugin;

	if (!cr->plugins)
		return;
	plugins_for_each (plugin, cr->plugins) {
		struct plugin_task *task = plugin_find_task(plugin, pid);

		if (task)
			task->view.host_pid = host_pid;
	}
}

/* ---- probe ---- */

static int call_probe(struct criu_call *call, void *arg)
{
	const struct plugin *plugin = arg;

	return plugin->decl.probe(call);
}

static int probe(struct cr *cr, struct plugin *plugin)
{
	static const char *const states[] = {"active", "idle", "absent"};
	const struct call_about about = {
		.hook = "probe", .phase = -1, .allowed = 1 << CRIU_IDLE | 1 << CRIU_ABSENT};
	int ret = CRIU_ACTIVE;

	if (plugin->decl.probe)
		ret = plugin_call(cr, plugin, &about, call_probe, plugin, NULL);
	if (ret < 0)
		return ret;
	log_info(cr, "plugin %s: is %s", plugin->decl.name, states[ret]);
	plugin->state = ret == CRIU_ABSENT ? PLUGIN_ABSENT
			: ret == CRIU_IDLE ? PLUGIN_IDLE
					   : PLUGIN_ACTIVE;
	return plugin->state == PLUGIN_ACTIVE ? plugin_check_needs(cr, plugin) : 0;
}

int plugins_probe(struct cr *cr)
{
	struct plugin *plugin;
	int err = 0;

	if (!cr->plugins)
		return 0;
	plugins_for_each (plugin, cr->plugins)
		if (!err && !plugin->legacy)
			err = probe(cr, plugin);
	return err;
}
