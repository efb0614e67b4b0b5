// SPDX-License-Identifier: GPL-2.0-only
/*
 * inotify: a set of watches on inodes, each with a number and a mask. Saved: the watches (from
 * fdinfo) with paths to the inodes. Not saved: events that were not read, which is said in a
 * warning. Restored just before the tree runs; each watch gets its number by telling the kernel the
 * next one. Needs: the paths, and ghosts. Tests: test/cr/inotify-*.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "files/fsnotify.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"
#include "images/fh.pb-c.h"
#include "images/fsnotify.pb-c.h"

#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD \
	_IOW('I', 0, int32_t) /* linux/inotify.h, which clashes with the C library's */
#endif

struct inotify {
	struct file file;
	InotifyWdEntry *watches; /* dump */
	InotifyWdEntry **list;
	size_t n_watches;
};

static bool inotify_match(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:inotify") == 0;
}

static int warn_of_events(struct cr *cr, struct file *file)
{
	_cleanup_close_ int fd = -1;
	int bytes, err;

	err = file_borrow_fd(cr, file, &fd);
	if (err)
		return err;
	if (ioctl(fd, FIONREAD, &bytes) == 0 && bytes)
		log_warn(cr,
			 "pid %d: fd %d: %d bytes of inotify events that nobody read yet are not "
			 "saved",
			 file->facts.task->host_pid, file->facts.fd, bytes);
	return 0;
}

static int collect_watch(struct cr *cr, struct inotify *in, const struct fdinfo_inotify *watch)
{
	const struct fd_facts *f = &in->file.facts;
	InotifyWdEntry *e = &in->watches[in->n_watches];
	char who[64];
	int err;

	snprintf(who, sizeof(who), "pid %d: fd %d (inotify)", f->task->host_pid, f->fd);
	inotify_wd_entry__init(e);
	err = fsnotify_handle_new(cr, f->task, who, watch->sdev, watch->ino, &watch->handle,
				  &e->f_handle);
	if (err)
		return err;
	e->wd = watch->wd;
	e->i_ino = watch->ino;
	e->s_dev = watch->sdev;
	e->mask = watch->mask;
	e->ignored_mask = watch->ignored_mask;
	in->list[in->n_watches++] = e;
	return 0;
}

static int inotify_collect(struct cr *cr, struct file *file)
{
	struct inotify *in = (struct inotify *)file;
	const struct fdinfo *info = file->facts.info;
	int err = warn_of_events(cr, file);

	in->watches = xcalloc(info->n_items, sizeof(*in->watches));
	in->list = xcalloc(info->n_items, sizeof(*in->list));
	for (size_t i = 0; !err && i < info->n_items; i++)
		if (info->items[i].kind == FDINFO_INOTIFY_WATCH)
			err = collect_watch(cr, in, &info->items[i].inotify);
	return err;
}

static int inotify_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	struct inotify *in = (struct inotify *)file;
	InotifyFileEntry *e = entry->ify = xmalloc(sizeof(*e));

	inotify_file_entry__init(e);
	e->id = file->id;
	e->flags = file->flags;
	e->fown = file->fown;
	e->n_wd = in->n_watches;
	e->wd = in->list;
	return 0;
}

static int inotify_load(struct cr *cr, struct file *file)
{
	const InotifyFileEntry *e = file->entry->ify;

	if (!e)
		return file_refuse_entry(cr, file);
	for (size_t i = 0; i < e->n_wd; i++)
		if (!e->wd[i]->wd || e->wd[i]->wd > INT32_MAX)
			return log_refuse(cr, -EBADMSG,
					  "files.img: inotify %#x: %u is no watch number", file->id,
					  e->wd[i]->wd);
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	return 0;
}

static int add_watch(struct cr *cr, struct file *file, int fd, const InotifyWdEntry *e)
{
	_cleanup_close_ int target = -1;
	char who[64], path[64];
	int err, got;

	snprintf(who, sizeof(who), "inotify %#x: watch %u", file->id, e->wd);
	err = fsnotify_open_target(cr, who, e->s_dev, e->i_ino, e->f_handle, &target);
	if (err)
		return err;
	if (ioctl(fd, INOTIFY_IOC_SETNEXTWD, (long)e->wd) < 0)
		return log_err(cr, -errno, "%s: give it its number", who);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	/* IN_ONESHOT and the like are told in the same mask; what the kernel adds itself is not
	 * taken back in. */
	got = inotify_add_watch(fd, path, e->mask & (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK));
	if (got < 0)
		return log_err(cr, -errno, "%s: add it", who);
	if ((uint32_t)got != e->wd)
		return log_refuse(cr, -EEXIST, "%s: got number %d", who, got);
	return 0;
}

static int inotify_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0)
		return log_err(cr, -errno, "inotify %#x: create", file->id);
	*ret_fd = fd;
	return 0;
}

/*
 * Last, so that what the restore itself does with files is no event; and because a watch on a
 * removed file goes away with the last of its names, which are the ghost's temporary ones.
 */
static int inotify_resume(struct cr *cr, struct file *file, int fd)
{
	const InotifyFileEntry *e = file->entry->ify;
	uint32_t last = 0;

	for (size_t i = 0; i < e->n_wd; i++) {
		int err = add_watch(cr, file, fd, e->wd[i]);

		if (err)
			return err;
		last = MAX(last, e->wd[i]->wd);
	}
	/* New watches get numbers that were not in use, as far as is known. */
	if (last && last < INT32_MAX && ioctl(fd, INOTIFY_IOC_SETNEXTWD, (long)last + 1) < 0)
		return log_err(cr, -errno, "inotify %#x: set the next number", file->id);
	return 0;
}

static void inotify_free(struct file *file)
{
	struct inotify *in = (struct inotify *)file;

	for (size_t i = 0; i < in->n_watches; i++)
		fsnotify_handle_free(in->watches[i].f_handle);
	free(in->watches);
	free(in->list);
}

const struct file_kind file_kind_inotify = {
	.name = "inotify",
	.type = FD_TYPES__INOTIFY,
	.size = sizeof(struct inotify),
	.match = inotify_match,
	.collect = inotify_collect,
	.dump = inotify_dump,
	.load = inotify_load,
	.restore = inotify_restore,
	.resume = inotify_resume,
	.free = inotify_free,
};
