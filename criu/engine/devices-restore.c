// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where plugins come in on restore: checked and begun before anything exists (G14), called in the
 * coordinator at the barrier behind each stage (G15), and, when everything stands and nothing has
 * run yet, to resume their devices, which the restore does not succeed without (G19).
 */
#include <stdio.h>

#include "options.h"
#include "cr.h"
#include "engine/devices.h"
#include "engine/stages.h"
#include "files/files.h"
#include "images/inventory.pb-c.h"
#include "plugin/legacy.h"
#include "plugin/plugin.h"
#include "task/restore.h"
#include "task/task.h"
#include "util/report.h"

int devices_load_images(struct cr *cr)
{
	const PluginsEntry *needed = cr->restore->inventory->plugins_entry;
	const char *const *names, *none = NULL;
	struct task *task;
	/* Whom the images name has to say itself that it is absent, and so have those of old
	 * images, which name nobody. */
	int err = plugins_load(cr, CRIU_RESTORE,
			       needed && !needed->n_plugins ? PLUGINS_PRESENT : PLUGINS_ALL);

	if (err)
		return err;
	plugins_begin_tasks(cr);
	tree_for_each_task (task, cr->tree)
		if (task_is_alive(task))
			plugins_add_task(cr, task->pid, 0, task->parent ? task->parent->pid : 0);
	err = plugins_probe(cr);
	if (err)
		return err;
	/* A list that is empty is a list; none at all is an old image. */
	names = needed ? (const char *const *)needed->plugins : NULL;
	if (needed && !names)
		names = &none;
	err = legacy_init(cr, names, needed ? needed->n_plugins : 0);
	if (!err)
		err = plugins_load_image(cr, names, needed ? needed->n_plugins : 0);
	if (!err)
		err = plugins_settle(cr);
	return err ? err : legacy_restore_init(cr);
}

void devices_unload(struct cr *cr)
{
	legacy_exit(cr, -1);
}

/* Stages that have no work of ours yet end as soon as they begin. */
int devices_begin(struct cr *cr)
{
	int err = plugins_meet(cr, files_first_free_fd(cr), files_count_made);

	if (!err)
		err = plugins_begin(cr);
	if (!err)
		err = plugins_barrier(cr, CRIU_STAGE_START);
	return err ? err : plugins_barrier(cr, CRIU_STAGE_NAMESPACES);
}

void devices_fail(struct cr *cr)
{
	const struct report_cause *cause = cr->report ? report_cause_get(cr->report) : NULL;
	const struct criu_outcome outcome = {
		.size = sizeof(outcome),
		.fate = CRIU_FATE_FAILED,
		.is_final = true,
		.why = cause ? cause->text : "the restore was cancelled",
	};

	plugins_end(cr, &outcome);
}

void devices_conclude(struct cr *cr)
{
	const struct criu_outcome outcome = {
		.size = sizeof(outcome),
		.fate = cr->opts->leave_stopped ? CRIU_FATE_STOPPED : CRIU_FATE_CONTINUES,
		.is_final = true,
	};

	plugins_end(cr, &outcome);
	legacy_exit(cr, 0);
}

int devices_barrier_forked(struct cr *cr)
{
	struct task *task;
	int err;

	tree_for_each_task (task, cr->tree)
		if (task_is_alive(task))
			plugins_set_host_pid(cr, task->pid, task->host_pid);
	err = legacy_post_forking(cr);
	return err ? err : plugins_barrier(cr, CRIU_STAGE_FORKED);
}

int devices_barrier_files(struct cr *cr)
{
	return plugins_barrier(cr, CRIU_STAGE_FILES);
}

int devices_mappings(struct cr *cr)
{
	struct task *task;
	size_t n = 0;
	int err;

	if (!plugins_are_active(cr))
		return 0;
	tree_for_each_task (task, cr->tree)
		n += task_is_alive(task);
	stage_begin(cr, STAGE_MAPPINGS, n);
	err = stage_wait(cr);
	if (!err)
		err = plugins_barrier(cr, CRIU_STAGE_MAPPINGS);
	plugins_leave_meeting(cr);
	return err;
}

int devices_barrier_memory(struct cr *cr)
{
	return plugins_barrier(cr, CRIU_STAGE_MEMORY);
}

int devices_resume_late(struct cr *cr)
{
	int err = plugins_barrier(cr, CRIU_STAGE_HELD);

	if (!err)
		err = plugins_resume_late(cr);
	return err ? err : legacy_resume_late(cr);
}
