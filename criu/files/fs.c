// SPDX-License-Identifier: GPL-2.0-only
/*
 * Working directory, root and umask of a task (fs-N.img). The directories are entries of files.img
 * like any other path file, also removed ones. Restored when nothing is opened by path any more in
 * the task's process: after its files and its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"
#include "util/str.h"

#include "images/fs.pb-c.h"

int fs_dump(struct cr *cr, struct task *task)
{
	FsEntry e = FS_ENTRY__INIT;
	int err;

	err = files_add_link(cr, task, "cwd", 0, &e.cwd_id);
	if (err)
		return err;
	err = files_add_link(cr, task, "root", 0, &e.root_id);
	if (err)
		return err;
	e.has_umask = true;
	e.umask = task->threads[0].dump->status.umask;
	err = image_write_one(cr->images, IMAGE_FS, task->pid, &e.base);
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

static int check_directory(struct cr *cr, struct task *task, uint32_t id, const char *which)
{
	const struct file *file = file_find(cr, id);

	if (!file || file->kind != &file_kind_reg)
		return log_refuse(cr, -EBADMSG, "fs-%d.img: %s %#x is no directory of files.img",
				  task->pid, which, id);
	return 0;
}

int fs_load(struct cr *cr, struct task *task)
{
	FsEntry *e;
	int err;

	err = image_read_one(cr->images, IMAGE_FS, task->pid, &e);
	if (err < 0)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	hash_put(&cr->files->fs, task->pid, e);
	err = check_directory(cr, task, e->cwd_id, "cwd_id");
	return err ? err : check_directory(cr, task, e->root_id, "root_id");
}

static bool is_host_root(struct cr *cr, uint32_t id)
{
	const struct reg_file *reg = (const struct reg_file *)file_find(cr, id);

	return !reg->ghost && str_equal(reg->name, "/");
}

int files_restore_fs(struct cr *cr, struct task *task)
{
	const FsEntry *e = hash_get(&cr->files->fs, task->pid);
	_cleanup_close_ int cwd = -1, root = -1;
	int err;

	err = files_open(cr, task, e->cwd_id, O_PATH | O_DIRECTORY, &cwd);
	if (err)
		return err;
	if (!is_host_root(cr, e->root_id)) {
		err = files_open(cr, task, e->root_id, O_PATH | O_DIRECTORY, &root);
		if (err)
			return err;
		if (fchdir(root) < 0 || chroot(".") < 0)
			return log_err(cr, -errno, "root: change to file %#x", e->root_id);
	}
	if (fchdir(cwd) < 0)
		return log_err(cr, -errno, "working directory: change to file %#x", e->cwd_id);
	if (e->has_umask)
		umask(e->umask);
	return 0;
}
