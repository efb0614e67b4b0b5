// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device manifest (G6): which open files and mappings of the tree belong to which plugin. The
 * modules that find them (files, memory) add them; settled, the list is in the order in which they
 * are handled, and changes no more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

static uint64_t mapping_key(pid_t pid, uint64_t start)
{
	return hash_pair((uint64_t)pid, start);
}

static struct criu_task *view_of(const struct plugin_class *class, pid_t pid)
{
	struct plugin_task *task = plugin_find_task(class->plugin, pid);

	return task ? &task->view : NULL;
}

struct device_file *plugins_add_file(struct cr *cr, struct plugin_class *class,
				     const struct device_facts *facts)
{
	struct device_file *file = xcalloc(1, sizeof(*file));

	file->class = class;
	file->path = xstrdup(facts->path);
	file->view = (struct criu_file){
		.size = sizeof(file->view),
		.id = facts->id,
		.class_of = class->decl,
		.task = view_of(class, facts->pid),
		.fd = facts->fd,
		.path = file->path,
		.flags = facts->flags,
		.pos = facts->pos,
		.dev = facts->dev,
		.ino = facts->ino,
		.rdev = facts->rdev,
		.mode = facts->mode,
	};
	list_add_tail(&cr->plugins->files, &file->node);
	hash_put(&cr->plugins->files_by_id, facts->id, file);
	class->plugin->owns_something = true;
	return file;
}

void device_file_add_holder(struct cr *cr, struct device_file *file, pid_t pid, int fd,
			    bool is_cloexec)
{
	struct criu_holder *holder;

	file->holders = array_grow(file->holders, &file->holders_capacity, file->view.n_holders + 1,
				   sizeof(*file->holders));
	holder = &file->holders[file->view.n_holders++];
	holder->task = view_of(file->class, pid);
	holder->fd = fd;
	holder->is_cloexec = is_cloexec;
	file->view.holders = file->holders;
	/* One that was adopted. */
	if (!file->view.task) {
		file->view.task = view_of(file->class, pid);
		file->view.fd = fd;
	}
}

struct device_mapping *plugins_add_mapping(struct cr *cr, struct plugin_class *class,
					   const struct device_mapping_facts *facts)
{
	struct device_mapping *mapping = xcalloc(1, sizeof(*mapping));

	mapping->class = class;
	mapping->path = xstrdup(facts->path);
	mapping->view = (struct criu_mapping){
		.size = sizeof(mapping->view),
		.class_of = class->decl,
		.task = view_of(class, facts->pid),
		.start = facts->start,
		.length = facts->length,
		.offset = facts->offset,
		.prot = facts->prot,
		.is_shared = facts->is_shared,
		.path = mapping->path,
		.dev = facts->dev,
		.ino = facts->ino,
		.rdev = facts->rdev,
	};
	list_add_tail(&cr->plugins->mappings, &mapping->node);
	hash_put(&cr->plugins->mappings_by_start, mapping_key(facts->pid, facts->start), mapping);
	hash_put(&cr->plugins->mappings_by_path, hash_str(mapping->path), mapping);
	class->plugin->owns_something = true;
	return mapping;
}

struct plugin_class *device_file_class(const struct device_file *file)
{
	return file->class;
}

uint32_t device_file_flags(const struct device_file *file)
{
	return file->view.flags;
}

unsigned int device_file_position(const struct device_file *file)
{
	return file->view.position;
}

struct plugin_class *device_mapping_class(const struct device_mapping *mapping)
{
	return mapping->class;
}

struct device_file *plugins_find_file(const struct cr *cr, uint32_t id)
{
	return cr->plugins ? hash_get(&cr->plugins->files_by_id, id) : NULL;
}

struct device_mapping *plugins_find_mapping(const struct cr *cr, pid_t pid, uint64_t start)
{
	struct device_mapping *mapping =
		cr->plugins ? hash_get(&cr->plugins->mappings_by_start, mapping_key(pid, start))
			    : NULL;

	return mapping && mapping->view.task && mapping->view.task->pid == pid &&
			       mapping->view.start == start
		       ? mapping
		       : NULL;
}

bool plugins_map_path(const struct cr *cr, const char *path)
{
	const struct device_mapping *mapping =
		cr->plugins ? hash_get(&cr->plugins->mappings_by_path, hash_str(path)) : NULL;

	return mapping && str_equal(mapping->path, path);
}

/* ---- the manifest ---- */

/* Tree order is that of plugin.tasks. */
static void number_tasks(const struct plugin *plugin, struct hash *ret)
{
	struct plugin_task *task;
	uintptr_t n = 0;

	list_for_each_entry (task, &plugin->tasks, node)
		hash_put(ret, (uint64_t)task->view.pid, (void *)(++n));
}

static size_t task_number(const struct hash *numbers, const struct criu_task *task)
{
	return task ? (uintptr_t)hash_get(numbers, (uint64_t)task->pid) : 0;
}

struct sortable {
	unsigned int position;
	size_t task;
	uint64_t at;
	struct list *node;
};

static int compare(const void *a, const void *b)
{
	const struct sortable *x = a, *y = b;

	if (x->position != y->position)
		return x->position < y->position ? -1 : 1;
	if (x->task != y->task)
		return x->task < y->task ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void relink(struct list *head, struct sortable *items, size_t n)
{
	qsort(items, n, sizeof(*items), compare);
	list_init(head);
	for (size_t i = 0; i < n; i++)
		list_add_tail(head, items[i].node);
}

static void sort_files(struct plugins *plugins, const struct hash *numbers)
{
	_cleanup_free_ struct sortable *items = NULL;
	size_t n = 0, capacity = 0;
	struct device_file *file;
	unsigned int position = 0;

	list_for_each_entry (file, &plugins->files, node) {
		items = array_grow(items, &capacity, n + 1, sizeof(*items));
		items[n++] = (struct sortable){file->class->position,
					       task_number(numbers, file->view.task),
					       (uint64_t)file->view.fd, &file->node};
	}
	if (n)
		relink(&plugins->files, items, n);
	list_for_each_entry (file, &plugins->files, node)
		file->view.position = ++position;
}

static void sort_mappings(struct plugins *plugins, const struct hash *numbers)
{
	_cleanup_free_ struct sortable *items = NULL;
	size_t n = 0, capacity = 0;
	struct device_mapping *mapping;

	list_for_each_entry (mapping, &plugins->mappings, node) {
		items = array_grow(items, &capacity, n + 1, sizeof(*items));
		items[n++] = (struct sortable){mapping->class->position,
					       task_number(numbers, mapping->view.task),
					       mapping->view.start, &mapping->node};
	}
	if (n)
		relink(&plugins->mappings, items, n);
}

static void give_file(struct device_file *file, struct plugin_task *task)
{
	struct criu_task *view = &task->view;

	/* Two descriptors of one open file are one file. */
	if (view->n_files && task->files[view->n_files - 1] == &file->view)
		return;
	task->files = array_grow(task->files, &task->files_capacity, view->n_files + 1,
				 sizeof(*task->files));
	task->files[view->n_files++] = &file->view;
	view->files = task->files;
}

static void give_mapping(struct device_mapping *mapping, struct plugin_task *task)
{
	struct criu_task *view = &task->view;

	task->mappings = array_grow(task->mappings, &task->mappings_capacity, view->n_mappings + 1,
				    sizeof(*task->mappings));
	task->mappings[view->n_mappings++] = &mapping->view;
	view->mappings = task->mappings;
}

static bool is_same_file(const struct criu_file *file, const struct criu_mapping *mapping)
{
	return file->dev == mapping->dev && file->ino == mapping->ino &&
	       file->rdev == mapping->rdev && str_equal(file->path, mapping->path);
}

static void find_file_of(struct plugins *plugins, struct device_mapping *mapping)
{
	struct device_file *file;

	list_for_each_entry (file, &plugins->files, node) {
		if (file->class->plugin != mapping->class->plugin ||
		    !is_same_file(&file->view, &mapping->view))
			continue;
		if (!mapping->view.file)
			mapping->view.file = &file->view;
		for (size_t i = 0; i < file->view.n_holders; i++) {
			if (file->view.holders[i].task != mapping->view.task)
				continue;
			mapping->view.file = &file->view;
			return;
		}
	}
}

static void follow_file(const struct plugins *plugins, struct device_mapping *mapping)
{
	struct device_file *file;

	if (!mapping->view.file)
		return;
	file = hash_get(&plugins->files_by_id, mapping->view.file->id);
	mapping->class = file->class;
	mapping->view.class_of = file->class->decl;
}

static int compare_mappings(const void *a, const void *b)
{
	const struct criu_mapping *x = *(struct criu_mapping *const *)a;
	const struct criu_mapping *y = *(struct criu_mapping *const *)b;

	return x->start < y->start ? -1 : x->start > y->start;
}

void plugins_settle_mapping(struct cr *cr, struct device_mapping *mapping)
{
	find_file_of(cr->plugins, mapping);
	follow_file(cr->plugins, mapping);
	give_mapping(mapping, plugin_find_task(mapping->class->plugin, mapping->view.task->pid));
}

void plugins_settle_manifest(struct cr *cr)
{
	struct plugins *plugins = cr->plugins;
	struct hash numbers = {0};
	struct device_mapping *mapping;
	struct device_file *file;
	struct plugin *plugin;

	if (!plugins || plugins->is_settled)
		return;
	plugins->is_settled = true;
	plugins_for_each (plugin, plugins)
		number_tasks(plugin, &numbers);
	/* A mapping goes where its file goes, which is dumped before it. */
	list_for_each_entry (mapping, &plugins->mappings, node) {
		find_file_of(plugins, mapping);
		follow_file(plugins, mapping);
	}
	sort_files(plugins, &numbers);
	sort_mappings(plugins, &numbers);
	hash_release(&numbers);
	list_for_each_entry (file, &plugins->files, node) {
		for (size_t i = 0; i < file->view.n_holders; i++) {
			const struct criu_task *task = file->view.holders[i].task;

			if (task)
				give_file(file, plugin_find_task(file->class->plugin, task->pid));
		}
	}
	list_for_each_entry (mapping, &plugins->mappings, node) {
		if (mapping->view.task)
			give_mapping(mapping, plugin_find_task(mapping->class->plugin,
							       mapping->view.task->pid));
	}
	plugins_for_each (plugin, plugins) {
		struct plugin_task *task;

		list_for_each_entry (task, &plugin->tasks, node)
			if (task->view.n_mappings)
				qsort(task->mappings, task->view.n_mappings,
				      sizeof(*task->mappings), compare_mappings);
	}
}
