// SPDX-License-Identifier: GPL-2.0-only
/*
 * fanotify: a group with marks on inodes and mounts. Saved: the marks (from fdinfo), inodes as
 * handle and path, mounts as path. Not saved: events that were not read. Marks on whole filesystems
 * have no place in the format and are refused. Needs: the paths, and ghosts. Tests:
 * test/cr/fanotify-*.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "files/fsnotify.h"
#include "kernel/mountinfo.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"
#include "images/fh.pb-c.h"
#include "images/fsnotify.pb-c.h"

struct fanotify {
	struct file file;
	FanotifyMarkEntry *
		*marks; /* dump; each with its parts is one allocation but for handle and path */
	size_t n_marks;
};

struct mark_parts {
	FanotifyMarkEntry mark; /* first: the list points here */
	FanotifyInodeMarkEntry inode;
	FanotifyMountMarkEntry mount;
};

static bool fanotify_match(const struct fd_facts *f)
{
	return f->info && (f->info->has & FDINFO_FANOTIFY);
}

static int fill_mount(struct cr *cr, struct file *file, const struct fdinfo_fanotify_mark *m,
		      struct mark_parts *parts)
{
	const struct fd_facts *f = &file->facts;
	const struct mount_facts *found;
	struct mount_list mounts;
	int err;

	err = mountinfo_read(task_proc_fd(f->task), &mounts);
	if (err)
		return log_err(cr, err, "pid %d: read its mounts", f->task->host_pid);
	found = mount_list_find(&mounts, m->mnt_id);
	if (found) {
		parts->mount.path = xstrdup(found->mountpoint);
		parts->mark.s_dev = found->dev_major << 20 | found->dev_minor;
	}
	mount_list_release(&mounts);
	if (!parts->mount.path)
		return log_refuse(
			cr, -ENOENT,
			"pid %d: fd %d (fanotify): mount %d, which it watches, cannot be seen",
			f->task->host_pid, f->fd, m->mnt_id);
	parts->mark.type = MARK_TYPE__MOUNT;
	parts->mark.me = &parts->mount;
	parts->mount.mnt_id = m->mnt_id;
	return 0;
}

static int fill_inode(struct cr *cr, struct file *file, const struct fdinfo_fanotify_mark *m,
		      struct mark_parts *parts)
{
	const struct fd_facts *f = &file->facts;
	char who[64];

	snprintf(who, sizeof(who), "pid %d: fd %d (fanotify)", f->task->host_pid, f->fd);
	parts->mark.type = MARK_TYPE__INODE;
	parts->mark.ie = &parts->inode;
	parts->mark.s_dev = m->sdev;
	parts->inode.i_ino = m->ino;
	return fsnotify_handle_new(cr, f->task, who, m->sdev, m->ino, &m->handle,
				   &parts->inode.f_handle);
}

static int collect_mark(struct cr *cr, struct fanotify *fan, const struct fdinfo_item *item)
{
	const struct fdinfo_fanotify_mark *m = &item->fanotify;
	const struct fd_facts *f = &fan->file.facts;
	struct mark_parts *parts;

	if (item->kind != FDINFO_FANOTIFY_INODE && item->kind != FDINFO_FANOTIFY_MOUNT &&
	    item->kind != FDINFO_FANOTIFY_SB)
		return 0;
	if (item->kind == FDINFO_FANOTIFY_SB)
		return log_refuse(
			cr, -ENOTSUP,
			"pid %d: fd %d (fanotify): a mark on a whole filesystem has no place "
			"in the images",
			f->task->host_pid, f->fd);
	parts = xcalloc(1, sizeof(*parts));
	fanotify_mark_entry__init(&parts->mark);
	fanotify_inode_mark_entry__init(&parts->inode);
	fanotify_mount_mark_entry__init(&parts->mount);
	parts->mark.mflags = m->mflags;
	parts->mark.mask = m->mask;
	parts->mark.ignored_mask = m->ignored_mask;
	fan->marks[fan->n_marks++] = &parts->mark;
	return item->kind == FDINFO_FANOTIFY_INODE ? fill_inode(cr, &fan->file, m, parts)
						   : fill_mount(cr, &fan->file, m, parts);
}

static int fanotify_collect(struct cr *cr, struct file *file)
{
	struct fanotify *fan = (struct fanotify *)file;
	const struct fdinfo *info = file->facts.info;
	int err = 0;

	fan->marks = xcalloc(info->n_items, sizeof(*fan->marks));
	for (size_t i = 0; !err && i < info->n_items; i++)
		err = collect_mark(cr, fan, &info->items[i]);
	return err;
}

static int fanotify_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	struct fanotify *fan = (struct fanotify *)file;
	FanotifyFileEntry *e = entry->ffy = xmalloc(sizeof(*e));

	fanotify_file_entry__init(e);
	e->id = file->id;
	e->flags = file->flags;
	e->fown = file->fown;
	e->faflags = file->facts.info->fanotify_flags;
	e->evflags = file->facts.info->fanotify_event_flags;
	e->n_mark = fan->n_marks;
	e->mark = fan->marks;
	return 0;
}

static int fanotify_load(struct cr *cr, struct file *file)
{
	const FanotifyFileEntry *e = file->entry->ffy;

	if (!e)
		return file_refuse_entry(cr, file);
	for (size_t i = 0; i < e->n_mark; i++) {
		const FanotifyMarkEntry *m = e->mark[i];

		if ((m->type == MARK_TYPE__INODE && !m->ie) ||
		    (m->type == MARK_TYPE__MOUNT && !(m->me && m->me->path)))
			return log_refuse(
				cr, -EBADMSG,
				"files.img: fanotify %#x: mark %zu does not say what is marked",
				file->id, i);
	}
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	return 0;
}

/* A mark has a mask of events and one of events to pass over, which are set by two calls. */
static int set_masks(struct cr *cr, const char *who, int fd, unsigned how,
		     const FanotifyMarkEntry *m, const char *path)
{
	unsigned ignore = how | FAN_MARK_IGNORED_MASK | (m->mflags & FAN_MARK_IGNORED_SURV_MODIFY);

	if (m->mask && fanotify_mark(fd, FAN_MARK_ADD | how, m->mask, AT_FDCWD, path) < 0)
		return log_err(cr, -errno, "%s: mark %s", who, path);
	if (m->ignored_mask &&
	    fanotify_mark(fd, FAN_MARK_ADD | ignore, m->ignored_mask, AT_FDCWD, path) < 0)
		return log_err(cr, -errno, "%s: mark what to ignore of %s", who, path);
	return 0;
}

static int add_mark(struct cr *cr, struct file *file, int fd, const FanotifyMarkEntry *m)
{
	_cleanup_close_ int target = -1;
	char who[64], path[64];
	int err;

	snprintf(who, sizeof(who), "fanotify %#x", file->id);
	if (m->type == MARK_TYPE__MOUNT)
		return set_masks(cr, who, fd, FAN_MARK_MOUNT, m, m->me->path);
	err = fsnotify_open_target(cr, who, m->s_dev, m->ie->i_ino, m->ie->f_handle, &target);
	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	return set_masks(cr, who, fd, 0, m, path);
}

static int fanotify_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	const FanotifyFileEntry *e = file->entry->ffy;
	/* FAN_CLOEXEC is kept with the group; the descriptor's own flag is set when it is put to
	 * its number. */
	int fd = fanotify_init(e->faflags, e->evflags);

	if (fd < 0)
		return log_err(cr, -errno, "fanotify %#x: create with flags %#x", file->id,
			       e->faflags);
	*ret_fd = fd;
	return 0;
}

/* Last, for the reasons that inotify has, and because permission events would stop the restore
 * itself. */
static int fanotify_resume(struct cr *cr, struct file *file, int fd)
{
	const FanotifyFileEntry *e = file->entry->ffy;

	for (size_t i = 0; i < e->n_mark; i++) {
		int err = add_mark(cr, file, fd, e->mark[i]);

		if (err)
			return err;
	}
	return 0;
}

static void fanotify_free(struct file *file)
{
	struct fanotify *fan = (struct fanotify *)file;

	for (size_t i = 0; i < fan->n_marks; i++) {
		struct mark_parts *parts = (struct mark_parts *)fan->marks[i];

		fsnotify_handle_free(parts->inode.f_handle);
		free(parts->mount.path);
		free(parts);
	}
	free(fan->marks);
}

const struct file_kind file_kind_fanotify = {
	.name = "fanotify",
	.type = FD_TYPES__FANOTIFY,
	.size = sizeof(struct fanotify),
	.match = fanotify_match,
	.collect = fanotify_collect,
	.dump = fanotify_dump,
	.load = fanotify_load,
	.restore = fanotify_restore,
	.resume = fanotify_resume,
	.free = fanotify_free,
};
