// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump: the files and mappings of plugins, in the settled order, up to one of the core's anchors at
 * a time. One call after the other in the thread that traces the tasks; but those of classes that
 * are PARALLEL and that no rule orders among each other go to the worker pool, with one worker for
 * all files of a task, unless the class allows more (G9).
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "plugin/priv.h"
#include "run.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/pool.h"

void plugins_set_borrow(struct cr *cr, device_borrow borrow)
{
	if (cr->plugins)
		cr->plugins->borrow = borrow;
}

/* ---- one ---- */

struct object_call {
	const struct plugin *plugin;
	struct criu_file *file;
	struct criu_mapping *mapping;
	int fd;
};

static int call_dump_file(struct criu_call *call, void *arg)
{
	const struct object_call *object = arg;

	return object->plugin->decl.dump_file(call, object->file, object->fd);
}

static int call_dump_mapping(struct criu_call *call, void *arg)
{
	const struct object_call *object = arg;

	return object->plugin->decl.dump_mapping(call, object->mapping);
}

static struct plugin_task *task_of(const struct plugin *plugin, const struct criu_task *view)
{
	return view ? plugin_find_task(plugin, view->pid) : NULL;
}

static int dump_file(struct cr *cr, struct device_file *file)
{
	struct plugin *plugin = file->class->plugin;
	const struct call_about about = {.hook = "dump_file",
					 .phase = -1,
					 .task = task_of(plugin, file->view.task),
					 .file = &file->view};
	struct object_call object = {.plugin = plugin, .file = &file->view};
	_cleanup_close_ int fd = -1;

	if (!plugin->decl.dump_file)
		return 0;
	fd = cr->plugins->borrow(cr, file->view.id);
	if (fd < 0)
		return fd;
	object.fd = fd;
	return plugin_call(cr, plugin, &about, call_dump_file, &object, NULL);
}

static int dump_mapping(struct cr *cr, struct device_mapping *mapping)
{
	struct plugin *plugin = mapping->class->plugin;
	const struct call_about about = {.hook = "dump_mapping",
					 .phase = -1,
					 .task = task_of(plugin, mapping->view.task),
					 .mapping = &mapping->view};
	struct object_call object = {.plugin = plugin, .mapping = &mapping->view};

	if (!plugin->decl.dump_mapping)
		return 0;
	return plugin_call(cr, plugin, &about, call_dump_mapping, &object, NULL);
}

/* ---- a class ---- */

/* What one worker does without another one in between. */
struct unit {
	struct device_file **files;
	struct device_mapping **mappings;
	size_t n_files, n_mappings, files_capacity, mappings_capacity;
	pid_t pid;
};

struct batch {
	struct cr *cr;
	struct unit *units;
	size_t n, capacity;
};

static struct unit *unit_for(struct batch *batch, const struct plugin_class *class,
			     const struct criu_task *task)
{
	bool is_shared = !(class->decl->flags & CRIU_PARALLEL_IN_TASK);
	/* Each plugin has a view of its own of one task. */
	pid_t pid = task ? task->pid : 0;

	for (size_t i = 0; is_shared && i < batch->n; i++)
		if (batch->units[i].pid == pid)
			return &batch->units[i];
	batch->units =
		array_grow(batch->units, &batch->capacity, batch->n + 1, sizeof(*batch->units));
	batch->units[batch->n] = (struct unit){.pid = pid};
	return &batch->units[batch->n++];
}

static void add_file(struct batch *batch, struct device_file *file)
{
	struct unit *unit = unit_for(batch, file->class, file->view.task);

	unit->files = array_grow(unit->files, &unit->files_capacity, unit->n_files + 1,
				 sizeof(struct device_file *));
	unit->files[unit->n_files++] = file;
}

static void add_mapping(struct batch *batch, struct device_mapping *mapping)
{
	struct unit *unit = unit_for(batch, mapping->class, mapping->view.task);

	unit->mappings = array_grow(unit->mappings, &unit->mappings_capacity, unit->n_mappings + 1,
				    sizeof(struct device_mapping *));
	unit->mappings[unit->n_mappings++] = mapping;
}

static int run_unit(void *ctx, size_t index, size_t worker)
{
	struct batch *batch = ctx;
	const struct unit *unit = &batch->units[index];
	int err = 0;

	for (size_t i = 0; i < unit->n_files && !err; i++)
		err = plan_is_cancelled(batch->cr) ? -ECANCELED
						   : dump_file(batch->cr, unit->files[i]);
	for (size_t i = 0; i < unit->n_mappings && !err; i++)
		err = plan_is_cancelled(batch->cr) ? -ECANCELED
						   : dump_mapping(batch->cr, unit->mappings[i]);
	return err;
}

static int run_batch(struct batch *batch)
{
	int err = pool_run(batch->cr->pool, batch->n, run_unit, batch);

	for (size_t i = 0; i < batch->n; i++) {
		free(batch->units[i].files);
		free(batch->units[i].mappings);
	}
	free(batch->units);
	batch->units = NULL;
	batch->n = batch->capacity = 0;
	return err;
}

/* ---- several classes ---- */

/* Classes that follow each other in the order and that nothing keeps apart; or a single one. */
struct group {
	struct plugin_class **classes;
	size_t n, capacity;
	bool is_parallel;
};

static bool has_class(const struct group *group, const struct plugin_class *class)
{
	for (size_t i = 0; i < group->n; i++)
		if (group->classes[i] == class)
			return true;
	return false;
}

static int dump_files_of(struct cr *cr, const struct group *group)
{
	struct batch batch = {.cr = cr};
	struct device_file *file;
	int err = 0;

	list_for_each_entry (file, &cr->plugins->files, node) {
		if (file->is_dumped || err || !has_class(group, file->class))
			continue;
		file->is_dumped = true;
		if (group->is_parallel)
			add_file(&batch, file);
		else
			err = plan_is_cancelled(cr) ? -ECANCELED : dump_file(cr, file);
	}
	return err ? err : run_batch(&batch);
}

static int dump_mappings_of(struct cr *cr, const struct group *group)
{
	struct batch batch = {.cr = cr};
	struct device_mapping *mapping;
	int err = 0;

	list_for_each_entry (mapping, &cr->plugins->mappings, node) {
		if (mapping->is_dumped || err || !has_class(group, mapping->class))
			continue;
		mapping->is_dumped = true;
		if (group->is_parallel)
			add_mapping(&batch, mapping);
		else
			err = plan_is_cancelled(cr) ? -ECANCELED : dump_mapping(cr, mapping);
	}
	return err ? err : run_batch(&batch);
}

/* May files of the class be handled at the same time as those of the group? */
static bool may_join(const struct order *order, const struct group *group,
		     const struct plugin_class *class)
{
	/* What is allowed of one task's files is the same for all at a time. */
	if (!group->is_parallel || class->decl->flags != group->classes[0]->decl->flags)
		return false;
	for (size_t i = 0; i < group->n; i++)
		if (order_is_before(order, group->classes[i]->node, class->node))
			return false;
	return true;
}

/* The classes from place at in the order on, up to end, that go together; where the next begins. */
static size_t gather(const struct order *order, size_t at, size_t end, struct group *group)
{
	group->n = 0;
	for (; at < end; at++) {
		struct plugin_class *class = order->nodes[order->sorted[at]].data;

		if (class && !plugin_is_active(class->plugin))
			continue;
		if (group->n && (!class || !may_join(order, group, class)))
			break;
		if (!class)
			continue;
		group->classes = array_grow(group->classes, &group->capacity, group->n + 1,
					    sizeof(struct plugin_class *));
		group->classes[group->n++] = class;
		group->is_parallel = group->classes[0]->decl->flags & CRIU_PARALLEL;
	}
	return at;
}

int plugins_dump_until(struct cr *cr, enum anchor anchor)
{
	struct group group = {0};
	const struct order *order;
	size_t end, at = 0;
	int err = 0;

	if (!cr->plugins || !cr->plugins->n_contract)
		return 0;
	order = &cr->plugins->order;
	end = anchor == ANCHORS ? order->n_nodes : plugins_anchor_position(cr, anchor) - 1;
	while (at < end && !err) {
		at = gather(order, at, end, &group);
		if (!group.n)
			break;
		/* A file comes before its mappings (G7), and so does every file of the class. */
		err = dump_files_of(cr, &group);
		if (!err)
			err = dump_mappings_of(cr, &group);
	}
	free(group.classes);
	return err;
}
