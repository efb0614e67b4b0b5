// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore, in the coordinator: reads files.img and the fdinfo images, makes a file of each entry,
 * lets the kinds check them, and settles the order in which they are made: ascending ids, but what
 * a file needs comes before it. A cycle of needs is refused.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "options.h"
#include "compel/base/cleanup.h"
#include "files/ext.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "plugin/plugin.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/core.pb-c.h"
#include "images/fdinfo.pb-c.h"

static int bad_image(struct cr *cr, int err)
{
	return log_refuse(cr, err, "%s", image_last_error(cr->images));
}

int file_refuse_entry(struct cr *cr, const struct file *file)
{
	return log_refuse(cr, -EBADMSG,
			  "files.img: entry %#x: says it is of kind %s, and has none in it",
			  file->id, file->kind->name);
}

int file_load_entry(struct cr *cr, FileEntry *entry)
{
	const struct file_kind *kind = file_kind_of_type(entry->type);
	struct file *file;

	if (!kind || !entry->id || file_find(cr, entry->id)) {
		int err = -EBADMSG;

		if (!kind)
			err = log_refuse(
				cr, -ENOTSUP,
				"files.img: entry %#x: this criu has no kind of file of type %d",
				entry->id, entry->type);
		else
			log_refuse(cr, err, "files.img: entry %#x: %s", entry->id,
				   entry->id ? "there are two of this id" : "0 is no id");
		image_message_free(entry);
		return err;
	}
	file = file_new(cr->files, kind, entry->id);
	file->entry = entry;
	file->facts.fd = file->facts.path_fd = -1;
	return kind->load(cr, file);
}

static int load_descriptions(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	FileEntry *entry;
	int err;

	err = image_open(cr->images, IMAGE_FILES, 0, &img);
	if (err)
		return bad_image(cr, err);
	if (image_is_missing(img))
		return files_load_old(cr);
	while ((err = image_read(img, &entry)) > 0) {
		err = file_load_entry(cr, entry);
		if (err)
			return err;
	}
	return err < 0 ? bad_image(cr, err) : 0;
}

static int add_descriptor(struct cr *cr, struct fd_table *table, const FdinfoEntry *e,
			  size_t *capacity)
{
	struct file *file = file_find(cr, e->id);
	struct file_holder *holder;

	if (!file)
		return log_refuse(cr, -EBADMSG,
				  "fdinfo-%u.img: fd %u: file %#x is not in files.img", table->id,
				  e->fd, e->id);
	if (e->type != (unsigned)file->kind->type)
		return log_refuse(cr, -EBADMSG,
				  "fdinfo-%u.img: fd %u: is of type %d, file %#x of type %d",
				  table->id, e->fd, e->type, e->id, file->kind->type);
	if (e->fd > INT_MAX / 2)
		return log_refuse(cr, -EBADMSG, "fdinfo-%u.img: fd %u is out of range", table->id,
				  e->fd);
	table->fds = array_grow(table->fds, capacity, table->n_fds + 1, sizeof(*table->fds));
	holder = &table->fds[table->n_fds++];
	*holder = (struct file_holder){
		.task = table->task, .file = file, .fd = e->fd, .is_cloexec = e->flags & 1};
	return 0;
}

static int compare_fds(const void *a, const void *b)
{
	const struct file_holder *x = a, *y = b;

	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

static int load_table(struct cr *cr, struct fd_table *table)
{
	_cleanup_image_ struct image *img = NULL;
	size_t capacity = 0;
	FdinfoEntry *e;
	int err;

	err = image_open(cr->images, IMAGE_FDINFO, table->id, &img);
	if (err)
		return bad_image(cr, err);
	while ((err = image_read(img, &e)) > 0) {
		err = add_descriptor(cr, table, e, &capacity);
		image_message_free(e);
		if (err)
			return err;
	}
	if (err < 0)
		return bad_image(cr, err);
	if (table->n_fds)
		qsort(table->fds, table->n_fds, sizeof(*table->fds), compare_fds);
	for (size_t i = 0; i < table->n_fds; i++) {
		if (i && table->fds[i].fd == table->fds[i - 1].fd)
			return log_refuse(cr, -EBADMSG, "fdinfo-%u.img: fd %d is there twice",
					  table->id, table->fds[i].fd);
		if (table->fds[i].fd >= cr->files->first_free_fd)
			cr->files->first_free_fd = table->fds[i].fd + 1;
	}
	/* Only now: the array has moved while it grew. */
	for (size_t i = 0; i < table->n_fds; i++)
		file_add_holder(table->fds[i].file, &table->fds[i]);
	return 0;
}

void file_add_need(struct file *file, struct file *needed)
{
	struct file_need *need = xcalloc(1, sizeof(*need));

	need->file = needed;
	list_add_tail(&file->needs, &need->node);
}

#define BEING_SETTLED UINT_MAX

static int settle(struct cr *cr, struct file *file, unsigned *n)
{
	struct file_need *need;

	if (file->order == BEING_SETTLED)
		return log_refuse(cr, -ELOOP, "files.img: file %#x needs itself, by way of others",
				  file->id);
	if (file->order)
		return 0;
	file->order = BEING_SETTLED;
	list_for_each_entry (need, &file->needs, node) {
		int err = settle(cr, need->file, n);

		if (err)
			return err;
	}
	cr->files->order[*n] = file;
	file->order = ++*n;
	return 0;
}

static unsigned int rank_of(struct cr *cr, const struct file *file)
{
	const struct plugin_class *class = ext_class(file);

	return class ? plugin_class_position(class) : plugins_anchor_position(cr, ANCHOR_FILES);
}

struct ranked {
	struct file *file;
	unsigned int rank, within; /* within: where files of one rank are among themselves */
};

static int compare_ranks(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->within < y->within ? -1 : x->within > y->within;
}

/* By the order that plugins have settled on, but what a file needs comes before it all the same. */
static struct ranked *rank_files(struct cr *cr)
{
	struct ranked *ranked = xcalloc(cr->files->n + 1, sizeof(*ranked));
	struct file *file;
	size_t n = 0;

	list_for_each_entry (file, &cr->files->all, all) {
		unsigned int within = ext_position(file);

		ranked[n] = (struct ranked){file, 0, within ? within : (unsigned int)n};
		if (plugins_are_active(cr))
			ranked[n].rank = rank_of(cr, file);
		n++;
	}
	if (plugins_are_active(cr))
		qsort(ranked, n, sizeof(*ranked), compare_ranks);
	return ranked;
}

static int settle_order(struct cr *cr)
{
	_cleanup_free_ struct ranked *ranked = rank_files(cr);
	unsigned n = 0;
	int err = 0;

	cr->files->order = xcalloc(cr->files->n + 1, sizeof(*cr->files->order));
	for (size_t i = 0; i < cr->files->n && !err; i++)
		err = settle(cr, ranked[i].file, &n);
	return err;
}

static int link_kinds(struct cr *cr, bool is_path)
{
	struct file *file;

	list_for_each_entry (file, &cr->files->all, all) {
		int err = 0;

		if ((file->kind == &file_kind_reg) == is_path && file->kind->link)
			err = file->kind->link(cr, file);
		if (err)
			return err;
	}
	return 0;
}

/* Path files last: other kinds say which of their paths need not be there. */
static int link_files(struct cr *cr)
{
	int err = link_kinds(cr, false);

	return err ? err : link_kinds(cr, true);
}

int files_first_free_fd(struct cr *cr)
{
	return cr->files->first_free_fd;
}

int files_load(struct cr *cr)
{
	struct task *task;
	int err;

	cr->files = files_new();
	/* Room for the standard descriptors of the tool itself. */
	cr->files->first_free_fd = 3;
	err = load_descriptions(cr);
	if (!err)
		err = queues_load(cr);
	if (!err)
		err = remap_load(cr);
	if (err)
		return err;
	tree_for_each_task (task, cr->tree) {
		size_t n = cr->files->n_tables;

		if (!task_is_alive(task))
			continue;
		err = fs_load(cr, task);
		if (err)
			return err;
		task->fds = files_table(cr->files, task->ids->files_id, task);
		if (cr->files->n_tables == n)
			continue;
		err = load_table(cr, task->fds);
		if (err)
			return err;
	}
	err = inherit_load(cr);
	if (!err)
		err = locks_load(cr);
	if (!err)
		err = link_files(cr);
	if (err)
		return err;
	inherit_warn_unmatched(cr);
	ext_tell_holders(cr);
	plugins_settle_manifest(cr);
	return settle_order(cr);
}
