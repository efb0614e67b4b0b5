// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: the calls of plugins in the coordinator and in the processes of tasks. The latter have a
 * copy of all that restore_begin() left, as they are forked from the coordinator.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "plugin/priv.h"

#include "run.h"
#include "util/log.h"

/* ---- the coordinator ---- */

static int call_begin(struct criu_call *call, void *arg)
{
	const struct plugin *plugin = arg;

	return plugin->decl.restore_begin(call);
}

static int call_end(struct criu_call *call, void *arg)
{
	const struct plugin *plugin = arg;

	return plugin->decl.restore_end(call);
}

int plugins_begin(struct cr *cr)
{
	const struct call_about about = {.hook = "restore_begin", .phase = -1};
	struct plugin *plugin;
	int err = 0;

	if (!cr->plugins)
		return 0;
	plugins_settle_manifest(cr);
	plugins_for_each (plugin, cr->plugins) {
		struct call call = {.is_done = true};

		if (!plugin_is_active(plugin))
			continue;
		if (plugin->decl.restore_begin)
			err = plugin_call(cr, plugin, &about, call_begin, plugin, &call);
		/* Also if it came back too late. */
		plugin->has_restore_begun = call.is_done;
		if (err)
			return err;
	}
	return 0;
}

void plugins_end(struct cr *cr, const struct criu_outcome *outcome)
{
	const struct call_about about = {.hook = "restore_end", .phase = -1, .outcome = outcome};
	struct plugin *plugin;

	if (!cr->plugins)
		return;
	list_for_each_entry_reverse (plugin, &cr->plugins->all, node) {
		if (!plugin->has_restore_begun)
			continue;
		plugin->has_restore_begun = false;
		if (plugin->decl.restore_end)
			plugin_call_last(cr, plugin, &about, call_end);
	}
}

struct stage_call {
	const struct plugin *plugin;
	struct criu_task *task;
	enum criu_stage stage;
};

static int call_barrier(struct criu_call *call, void *arg)
{
	const struct stage_call *at = arg;

	return at->plugin->decl.barrier(call, at->stage);
}

int plugins_barrier(struct cr *cr, enum criu_stage stage)
{
	const struct call_about about = {.hook = "barrier", .phase = -1};
	struct plugin *plugin;
	int err = 0;

	if (!cr->plugins)
		return 0;
	plugins_for_each (plugin, cr->plugins) {
		struct stage_call at = {.plugin = plugin, .stage = stage};

		if (!err && plugin_is_active(plugin) && plugin->decl.barrier)
			err = plugin_call(cr, plugin, &about, call_barrier, &at, NULL);
	}
	return err;
}

static int call_resume_late(struct criu_call *call, void *arg)
{
	const struct stage_call *at = arg;

	return at->plugin->decl.resume_late(call, at->task);
}

static int resume_late(struct cr *cr, struct plugin *plugin)
{
	struct plugin_task *task;
	int err = 0;

	list_for_each_entry (task, &plugin->tasks, node) {
		const struct call_about about = {.hook = "resume_late", .phase = -1, .task = task};
		struct stage_call at = {.plugin = plugin, .task = &task->view};

		if (!task->view.n_files && !task->view.n_mappings)
			continue;
		err = plugin_call(cr, plugin, &about, call_resume_late, &at, NULL);
		if (err)
			break;
	}
	return err;
}

int plugins_resume_late(struct cr *cr)
{
	struct plugin *plugin;
	int err = 0;

	if (!cr->plugins)
		return 0;
	plugins_for_each (plugin, cr->plugins)
		if (!err && plugin_is_active(plugin) && plugin->decl.resume_late)
			err = resume_late(cr, plugin);
	return err;
}

/* ---- the process of a task ---- */

static int call_task_stage(struct criu_call *call, void *arg)
{
	const struct stage_call *at = arg;

	return at->plugin->decl.task_stage(call, at->task, at->stage);
}

int plugins_task_stage(struct cr *cr, pid_t pid, enum criu_stage stage)
{
	struct plugin *plugin;
	int err = 0;

	if (!cr->plugins)
		return 0;
	plugins_for_each (plugin, cr->plugins) {
		struct plugin_task *task = plugin_find_task(plugin, pid);
		const struct call_about about = {.hook = "task_stage", .phase = -1, .task = task};
		struct stage_call at = {plugin, task ? &task->view : NULL, stage};

		if (!err && task && plugin_is_active(plugin) && plugin->decl.task_stage)
			err = plugin_call(cr, plugin, &about, call_task_stage, &at, NULL);
	}
	return err;
}

struct restore_call {
	const struct plugin *plugin;
	struct criu_file *file;
	struct criu_mapping *mapping;
	int fd;
	uint64_t offset;
};

static int call_restore_file(struct criu_call *call, void *arg)
{
	struct restore_call *at = arg;

	return at->plugin->decl.restore_file(call, at->file, &at->fd);
}

static int call_update_mapping(struct criu_call *call, void *arg)
{
	struct restore_call *at = arg;

	return at->plugin->decl.update_mapping(call, at->mapping, &at->offset, &at->fd);
}

int plugins_restore_file(struct cr *cr, struct device_file *file, int *ret_fd,
			 struct plugin_wait *ret_wait)
{
	struct plugin *plugin = file->class->plugin;
	struct restore_call at = {.plugin = plugin, .file = &file->view, .fd = -1};
	const struct call_about about = {.hook = "restore_file",
					 .phase = -1,
					 .allowed = 1 << CRIU_WAIT,
					 .task = plugin_find_task(plugin, file->view.task->pid),
					 .file = &file->view};
	struct call call;
	int ret;

	if (!plugin->decl.restore_file)
		return log_refuse(cr, -ENOSYS, "plugin %s: has no restore_file() for %s",
				  plugin->decl.name, file->path);
	ret = plugin_call(cr, plugin, &about, call_restore_file, &at, &call);
	if (ret < 0)
		return ret;
	if (ret == CRIU_WAIT) {
		if (!*call.waits_for)
			return log_refuse(cr, -EPROTO,
					  "plugin %s: restore_file: pid %d: %s: waits for nothing",
					  plugin->decl.name, file->view.task->pid, file->path);
		snprintf(ret_wait->what, sizeof(ret_wait->what), "%s", call.waits_for);
		ret_wait->is_class = call.waits_for_class;
		return PLUGIN_WAITS;
	}
	if (at.fd < 0)
		return log_refuse(cr, -EPROTO,
				  "plugin %s: restore_file: pid %d: %s: gave no descriptor",
				  plugin->decl.name, file->view.task->pid, file->path);
	*ret_fd = at.fd;
	return 0;
}

int plugins_update_mapping(struct cr *cr, struct device_mapping *mapping, uint64_t *offset,
			   int *ret_fd)
{
	struct plugin *plugin = mapping->class->plugin;
	struct restore_call at = {
		.plugin = plugin, .mapping = &mapping->view, .fd = -1, .offset = *offset};
	const struct call_about about = {.hook = "update_mapping",
					 .phase = -1,
					 .task = plugin_find_task(plugin, mapping->view.task->pid),
					 .mapping = &mapping->view};
	int err;

	*ret_fd = -1;
	if (!plugin->decl.update_mapping)
		return 0;
	err = plugin_call(cr, plugin, &about, call_update_mapping, &at, NULL);
	if (err)
		return err;
	*offset = at.offset;
	*ret_fd = at.fd;
	return 0;
}
