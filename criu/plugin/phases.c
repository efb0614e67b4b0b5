// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two pairs of phases of a dump: PAUSE_DEVICES and RESUME_DEVICES, PRE_DUMP_DEVICES and
 * POST_DUMP_DEVICES. What was opened is noted where it was opened, so that closing needs no
 * knowledge of how far the dump had come: it looks at the notes, backwards, and wipes each before
 * the call, so that nothing is closed twice (G8).
 */
#include <errno.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "plugin/priv.h"
#include "run.h"
#include "util/alloc.h"
#include "util/log.h"

struct phase_info {
	const char *name;
	const char *opening[3], *closing[3]; /* begin, task, end: as hooks are named */
	size_t opening_at, closing_at;       /* of struct criu_phase in struct criu_plugin */
};

static const struct phase_info phases[] = {
	[PHASE_PAUSE] = {.name = "pause",
			 .opening = {"pause.begin", "pause.task", "pause.end"},
			 .closing = {"resume.begin", "resume.task", "resume.end"},
			 .opening_at = offsetof(struct criu_plugin, pause),
			 .closing_at = offsetof(struct criu_plugin, resume)},
	[PHASE_PRE_DUMP] = {.name = "pre-dump",
			    .opening = {"pre_dump.begin", "pre_dump.task", "pre_dump.end"},
			    .closing = {"post_dump.begin", "post_dump.task", "post_dump.end"},
			    .opening_at = offsetof(struct criu_plugin, pre_dump),
			    .closing_at = offsetof(struct criu_plugin, post_dump)},
};

static const struct criu_phase *hooks_at(const struct plugin *plugin, size_t offset)
{
	return (const void *)((const char *)&plugin->decl + offset);
}

struct phase_call {
	int (*set)(struct criu_call *call);
	int (*task)(struct criu_call *call, struct criu_task *task);
	struct criu_task *view;
};

static int call_hook(struct criu_call *call, void *arg)
{
	const struct phase_call *hook = arg;

	return hook->task ? hook->task(call, hook->view) : hook->set(call);
}

/* *ret_is_done: it has done what it is for, also where it came back too late and that is an error.
 */
static int call_set(struct cr *cr, struct plugin *plugin, int (*hook)(struct criu_call *call),
		    const struct call_about *about, bool *ret_is_done)
{
	struct phase_call phase_call = {.set = hook};
	struct call call = {.is_done = true};
	int err = hook ? plugin_call(cr, plugin, about, call_hook, &phase_call, &call) : 0;

	*ret_is_done = call.is_done;
	return err;
}

static int call_task(struct cr *cr, struct plugin_task *task,
		     int (*hook)(struct criu_call *call, struct criu_task *task),
		     struct call_about about, bool *ret_is_done)
{
	struct phase_call phase_call = {.task = hook, .view = &task->view};
	struct call call = {.is_done = true};
	int err;

	about.task = task;
	err = hook ? plugin_call(cr, task->plugin, &about, call_hook, &phase_call, &call) : 0;
	*ret_is_done = call.is_done;
	return err;
}

/* ---- opening ---- */

static int open_plugin(struct cr *cr, struct plugin *plugin, enum plugin_phase phase)
{
	const struct phase_info *info = &phases[phase];
	const struct criu_phase *hooks = hooks_at(plugin, info->opening_at);
	struct call_about about = {.phase = phase, .hook = info->opening[0]};
	struct plugin_task *task;
	bool is_done;
	int err = 0;

	if (!plugin->is_begun[phase]) {
		err = call_set(cr, plugin, hooks->begin, &about, &plugin->is_begun[phase]);
		if (err)
			return err;
	}
	about.hook = info->opening[1];
	list_for_each_entry (task, &plugin->tasks, node) {
		if (!task->is_listed || task->is_open[phase])
			continue;
		if (plan_is_cancelled(cr))
			return -ECANCELED;
		err = call_task(cr, task, hooks->task, about, &task->is_open[phase]);
		if (err)
			return err;
	}
	about.hook = info->opening[2];
	return call_set(cr, plugin, hooks->end, &about, &is_done);
}

int plugins_open(struct cr *cr, enum plugin_phase phase)
{
	struct plugin *plugin;
	int err = 0;

	if (!cr->plugins)
		return 0;
	plugins_for_each (plugin, cr->plugins)
		if (!err && plugin_is_active(plugin))
			err = open_plugin(cr, plugin, phase);
	return err;
}

bool plugins_is_paused(const struct cr *cr, pid_t pid)
{
	struct plugin *plugin;

	if (!cr->plugins)
		return true;
	plugins_for_each (plugin, cr->plugins) {
		const struct plugin_task *task = plugin_find_task(plugin, pid);

		if (plugin_is_active(plugin) && (!task || !task->is_open[PHASE_PAUSE]))
			return false;
	}
	return true;
}

/* ---- closing ---- */

static void keep_first(int *first, int err)
{
	if (err && !*first)
		*first = err;
}

/* The records are of no use any more once what they would undo was undone. */
static void drop_records(struct cr *cr, struct plugin_records *records, bool is_undone)
{
	if (!is_undone)
		return;
	while (records->n)
		undo_forget(cr, records->ids[--records->n]);
}

static int close_plugin(struct cr *cr, struct plugin *plugin, enum plugin_phase phase,
			const struct criu_outcome *outcome)
{
	const struct phase_info *info = &phases[phase];
	const struct criu_phase *hooks = hooks_at(plugin, info->closing_at);
	struct call_about about = {.phase = phase, .outcome = outcome};
	struct plugin_task *task;
	int first = 0, err;
	bool is_done;

	if (!plugin->is_begun[phase])
		return 0;
	plugin->is_begun[phase] = false;
	about.hook = info->closing[0];
	keep_first(&first, call_set(cr, plugin, hooks->begin, &about, &is_done));
	about.hook = info->closing[1];
	list_for_each_entry_reverse (task, &plugin->tasks, node) {
		if (!task->is_open[phase])
			continue;
		task->is_open[phase] = false;
		err = call_task(cr, task, hooks->task, about, &is_done);
		drop_records(cr, &task->journal[phase], is_done);
		keep_first(&first, err);
	}
	about.hook = info->closing[2];
	err = call_set(cr, plugin, hooks->end, &about, &is_done);
	drop_records(cr, &plugin->journal[phase], is_done);
	keep_first(&first, err);
	return first;
}

int plugins_close(struct cr *cr, enum plugin_phase phase, const struct criu_outcome *outcome)
{
	struct plugin *plugin;
	int first = 0;

	if (!cr->plugins)
		return 0;
	list_for_each_entry_reverse (plugin, &cr->plugins->all, node)
		if (plugin_is_active(plugin))
			keep_first(&first, close_plugin(cr, plugin, phase, outcome));
	return first;
}

static void undo_records_now(struct cr *cr, struct plugin_records *records)
{
	while (records->n)
		undo_now(cr, records->ids[--records->n]);
}

void plugins_undo_records(struct cr *cr)
{
	struct plugin *plugin;

	if (!cr->plugins)
		return;
	list_for_each_entry_reverse (plugin, &cr->plugins->all, node) {
		for (int phase = PHASE_PRE_DUMP; phase >= PHASE_PAUSE; phase--) {
			struct plugin_task *task;

			list_for_each_entry_reverse (task, &plugin->tasks, node)
				undo_records_now(cr, &task->journal[phase]);
			undo_records_now(cr, &plugin->journal[phase]);
		}
	}
}

void plugin_journal_note(struct call *call, int id)
{
	struct plugin_records *records;

	if (call->phase < 0)
		return;
	records = call->task ? &call->task->journal[call->phase]
			     : &call->plugin->journal[call->phase];
	records->ids =
		array_grow(records->ids, &records->capacity, records->n + 1, sizeof(*records->ids));
	records->ids[records->n++] = id;
}
