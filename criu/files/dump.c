// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump: writes files.img (every description, also those without a descriptor), one fdinfo image a
 * descriptor table, one fs image a task, and lets the kinds write their payload images. Nothing is
 * asked of the kernel here that the kinds did not learn in collect, but for contents (pipes,
 * ghosts).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/core.pb-c.h"
#include "images/fdinfo.pb-c.h"

int files_image(struct cr *cr, int kind, struct image **ret)
{
	struct files *files = cr->files;
	int err;

	for (size_t i = 0; i < files->n_images; i++) {
		if (files->images[i].kind == kind) {
			*ret = files->images[i].image;
			return 0;
		}
	}
	err = image_create(cr->images, kind, 0, ret);
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	files->images[files->n_images].kind = kind;
	files->images[files->n_images++].image = *ret;
	return 0;
}

static int close_images(struct cr *cr)
{
	struct files *files = cr->files;
	int first = 0;

	for (size_t i = 0; i < files->n_images; i++) {
		int err = image_close(files->images[i].image);

		if (err && !first)
			first = log_refuse(cr, err, "%s", image_last_error(cr->images));
	}
	files->n_images = 0;
	return first;
}

static void entry_clear(FileEntry *entry)
{
	/* The members are ours to free, what they point to is the kinds'. */
	for (unsigned i = 0; i < file_entry__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &file_entry__descriptor.fields[i];

		if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			free(*(void **)((char *)entry + field->offset));
	}
}

static int dump_file(struct cr *cr, struct file *file, struct image *img)
{
	FileEntry entry = FILE_ENTRY__INIT;
	int err;

	entry.type = file->kind->type;
	entry.id = file->id;
	err = file->kind->dump(cr, file, &entry);
	if (!err) {
		err = image_write(img, &entry.base);
		if (err)
			log_refuse(cr, err, "%s", image_last_error(cr->images));
	}
	entry_clear(&entry);
	return err;
}

static int dump_table(struct cr *cr, const struct fd_table *table)
{
	_cleanup_image_ struct image *img = NULL;
	int err;

	err = image_create(cr->images, IMAGE_FDINFO, table->id, &img);
	for (size_t i = 0; !err && i < table->n_fds; i++) {
		const struct file_holder *holder = &table->fds[i];
		FdinfoEntry e = FDINFO_ENTRY__INIT;

		e.id = holder->file->id;
		e.type = holder->file->kind->type;
		e.fd = holder->fd;
		e.flags = holder->is_cloexec ? 1 : 0;
		err = image_write(img, &e.base);
	}
	if (!err)
		err = image_close(TAKE_PTR(img));
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

static int dump_descriptions(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	struct file *file;
	int err;

	err = image_create(cr->images, IMAGE_FILES, 0, &img);
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	list_for_each_entry (file, &cr->files->all, all) {
		err = dump_file(cr, file, img);
		if (err)
			return err;
	}
	list_for_each_entry (file, &cr->files->all, all) {
		err = file->kind->finish_dump ? file->kind->finish_dump(cr, file) : 0;
		if (err)
			return err;
	}
	err = image_close(TAKE_PTR(img));
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

int files_dump(struct cr *cr)
{
	struct task *task;
	int err;

	tree_for_each_task (task, cr->tree) {
		err = task_is_alive(task) ? fs_dump(cr, task) : 0;
		if (err)
			return err;
	}
	err = dump_descriptions(cr);
	for (size_t i = 0; !err && i < cr->files->n_tables; i++)
		err = dump_table(cr, cr->files->tables[i]);
	if (!err)
		err = locks_dump(cr);
	if (!err)
		err = remap_dump(cr);
	if (!err)
		err = ghost_dump_all(cr);
	if (!err)
		err = close_images(cr);
	return err;
}
