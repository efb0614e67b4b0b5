// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where plugins come in on dump: loaded before the tree is touched, told of its tasks while they
 * run, all paused before the first is frozen; with the whole tree frozen and its files known, the
 * devices are dumped between the core's own steps, as the settled order has it. The opening steps
 * have the closing phases for their undo; in a dump that succeeds they are steps of their own
 * (G5, G8).
 */
#include "engine/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "options.h"
#include "files/files.h"
#include "plugin/legacy.h"
#include "plugin/plugin.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/report.h"

/* New tasks may appear between pausing and freezing; a tree that forks all the time is given up. */
#define MAX_FREEZES 20

int devices_load(struct cr *cr)
{
	return plugins_load(cr, CRIU_DUMP, PLUGINS_PRESENT);
}

/* ---- the tree ---- */

static int by_pid(const void *a, const void *b)
{
	const struct listed_task *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* Parents before children, siblings by ascending pid. */
static void tell_children(struct cr *cr, const struct listed_task *list, size_t n, pid_t parent)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].parent != parent)
			continue;
		plugins_add_task(cr, list[i].pid, list[i].pid, parent);
		tell_children(cr, list, n, list[i].pid);
	}
}

static void tell_tasks(struct cr *cr)
{
	_cleanup_free_ struct listed_task *list = NULL;
	size_t n;

	if (!plugins_are_loaded(cr))
		return;
	n = tree_listed(cr, &list);
	qsort(list, n, sizeof(*list), by_pid);
	plugins_begin_tasks(cr);
	tell_children(cr, list, n, 0);
}

int devices_probe(struct cr *cr)
{
	int err;

	tell_tasks(cr);
	err = plugins_probe(cr);
	return err ? err : plugins_settle(cr);
}

int devices_look(struct cr *cr)
{
	_cleanup_free_ struct listed_task *list = NULL;
	/* Next to always the matches of the classes rule it out. */
	size_t n = plugins_may_dispute(cr) ? tree_listed(cr, &list) : 0;
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = files_look(cr, list[i].pid);
	return err;
}

/* ---- outcomes ---- */

static struct criu_outcome failed(const struct cr *cr)
{
	const struct report_cause *cause = cr->report ? report_cause_get(cr->report) : NULL;

	return (struct criu_outcome){
		.size = sizeof(struct criu_outcome),
		.fate = CRIU_FATE_FAILED,
		.is_final = true,
		.why = cause ? cause->text : "the operation was cancelled",
	};
}

static enum criu_fate intended_fate(const struct cr *cr)
{
	if (cr->opts->leave_running)
		return CRIU_FATE_CONTINUES;
	return cr->opts->leave_stopped ? CRIU_FATE_STOPPED : CRIU_FATE_KILLED;
}

/* ---- pause and freeze ---- */

int devices_pause(struct cr *cr)
{
	int err = legacy_init(cr, NULL, 0);

	if (!err)
		err = plugins_open(cr, PHASE_PAUSE);
	return err ? err : legacy_pause(cr);
}

void devices_unpause(struct cr *cr)
{
	const struct criu_outcome outcome = failed(cr);

	legacy_exit(cr, -1);
	(void)plugins_close(cr, PHASE_PAUSE, &outcome);
}

static bool are_all_paused(struct cr *cr)
{
	struct task *task;

	tree_for_each_task (task, cr->tree)
		if (task_is_alive(task) && !plugins_is_paused(cr, task->host_pid))
			return false;
	return true;
}

int devices_freeze(struct cr *cr)
{
	for (int i = 0; i < MAX_FREEZES; i++) {
		int err = tree_freeze(cr);

		if (err)
			return err;
		tell_tasks(cr);
		if (are_all_paused(cr))
			return legacy_checkpoint(cr);
		/* Somebody was born who was not paused: once more, with him. */
		err = tree_refreeze(cr);
		if (!err)
			err = plugins_open(cr, PHASE_PAUSE);
		if (!err)
			err = legacy_pause(cr);
		if (err)
			return err;
	}
	return log_refuse(cr, -EAGAIN,
			  "pid %d: new processes keep appearing before their devices "
			  "are paused",
			  cr->opts->tree);
}

/* ---- dump ---- */

int devices_pre_dump(struct cr *cr)
{
	plugins_settle_manifest(cr);
	return plugins_open(cr, PHASE_PRE_DUMP);
}

void devices_abort_dump(struct cr *cr)
{
	const struct criu_outcome outcome = failed(cr);

	(void)plugins_close(cr, PHASE_PRE_DUMP, &outcome);
}

int devices_dump_first(struct cr *cr)
{
	int err = plugins_dump_until(cr, ANCHOR_MEMORY);

	/* What no class claimed: after the classes, and before memory that a device may write. */
	return err ? err : files_dump_legacy(cr);
}

int devices_dump_before_files(struct cr *cr)
{
	return plugins_dump_until(cr, ANCHOR_FILES);
}

int devices_dump_before_mappings(struct cr *cr)
{
	return plugins_dump_until(cr, ANCHOR_MAPPINGS);
}

int devices_dump_rest(struct cr *cr)
{
	return plugins_dump_until(cr, ANCHORS);
}

int devices_post_dump(struct cr *cr)
{
	const struct criu_outcome outcome = {
		.size = sizeof(outcome),
		.fate = intended_fate(cr),
	};
	int err = legacy_dump_late(cr);

	return err ? err : plugins_close(cr, PHASE_PRE_DUMP, &outcome);
}

int devices_dump_image(struct cr *cr)
{
	return plugins_dump_image(cr);
}

int devices_resume(struct cr *cr)
{
	struct criu_outcome outcome = {
		.size = sizeof(outcome),
		.fate = intended_fate(cr),
		.is_final = true,
	};
	int err;

	if (!cr->dump)
		return 0;
	if (cr->dump->script_status) {
		outcome.fate = CRIU_FATE_FAILED;
		outcome.why = "a post-dump script failed";
	}
	err = plugins_close(cr, PHASE_PAUSE, &outcome);
	if (!err)
		return 0;
	plugins_undo_records(cr);
	/* There is nothing left that a device could be resumed for. */
	if (outcome.fate == CRIU_FATE_KILLED) {
		report_cause_demote(cr->report);
		log_warn(cr, "plugins: the tree is dumped and gone, what failed here harms nobody");
	} else {
		cr->dump->resume_error = err;
	}
	return 0;
}

int devices_print(struct cr *cr)
{
	plugins_settle_manifest(cr);
	plugins_print_devices(cr, stdout);
	fflush(stdout);
	return 0;
}
