// SPDX-License-Identifier: GPL-2.0-only
/*
 * pidfd: refers to a process. Saved: which process of the tree, or that it is dead and gone, with
 * the pidfd's inode number by which several pidfds of one dead process are known to be of one.
 * Restored when all tasks exist; those of dead processes are opened on a process that the
 * coordinator ends afterwards. Needs: the process. Tests: test/cr/pidfd-*.c
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cr.h"
#include "files/files-priv.h"
#include "files/kinds.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

struct pidfd {
	struct file file;
	pid_t pid; /* dump: as the tree sees it, -1 dead; restore: what to open */
};

static bool pidfd_match(const struct fd_facts *f)
{
	return f->info && (f->info->has & FDINFO_PIDFD);
}

static int pidfd_collect(struct cr *cr, struct file *file)
{
	struct pidfd *pfd = (struct pidfd *)file;
	const struct fd_facts *f = &file->facts;
	const struct task *target;

	if (file->flags & PIDFD_THREAD)
		return log_refuse(
			cr, -ENOTSUP,
			"pid %d: fd %d: a pidfd of a thread (PIDFD_THREAD) cannot be saved",
			f->task->host_pid, f->fd);
	pfd->pid = -1;
	if (f->info->pidfd.pid < 0)
		return 0;
	target = tree_find_host(cr->tree, f->info->pidfd.pid);
	if (!target)
		return log_refuse(
			cr, -ENOTSUP,
			"pid %d: fd %d: is a pidfd of process %d, which is not in the tree",
			f->task->host_pid, f->fd, f->info->pidfd.pid);
	pfd->pid = target->pid;
	return 0;
}

static int pidfd_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	PidfdEntry *e = entry->pidfd = xmalloc(sizeof(*e));

	pidfd_entry__init(e);
	e->id = file->id;
	e->ino = file->facts.st.st_ino;
	e->flags = file->flags & ~O_ACCMODE;
	e->nspid = ((struct pidfd *)file)->pid;
	e->fown = file->fown;
	return 0;
}

static int pidfd_load(struct cr *cr, struct file *file)
{
	const PidfdEntry *e = file->entry->pidfd;

	if (!e)
		return file_refuse_entry(cr, file);
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	((struct pidfd *)file)->pid = e->nspid;
	return 0;
}

static int pidfd_link(struct cr *cr, struct file *file)
{
	pid_t pid = ((struct pidfd *)file)->pid;

	if (pid != -1 && !tree_find(cr->tree, pid))
		return log_refuse(cr, -EBADMSG,
				  "files.img: pidfd %#x: process %d is not in the tree", file->id,
				  pid);
	return 0;
}

static int pidfd_prepare(struct cr *cr, struct file *file)
{
	struct pidfd *pfd = (struct pidfd *)file;
	uint32_t ino = file->entry->pidfd->ino;
	pid_t pid;

	if (pfd->pid != -1)
		return 0;
	pid = files_start_helper(cr, 0);
	if (pid < 0)
		return pid;
	/* All of one dead process at once. */
	list_for_each_entry (file, &cr->files->all, all) {
		pfd = (struct pidfd *)file;
		if (file->kind == &file_kind_pidfd && pfd->pid == -1 &&
		    file->entry->pidfd->ino == ino)
			pfd->pid = pid;
	}
	return 0;
}

static int pidfd_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	struct pidfd *pfd = (struct pidfd *)file;
	int fd = syscall(SYS_pidfd_open, pfd->pid, file->flags & O_NONBLOCK);

	if (fd < 0)
		return log_err(cr, -errno, "pidfd %#x: open process %d", file->id, pfd->pid);
	*ret_fd = fd;
	return 0;
}

const struct file_kind file_kind_pidfd = {
	.name = "pidfd",
	.type = FD_TYPES__PIDFD,
	.size = sizeof(struct pidfd),
	.match = pidfd_match,
	.collect = pidfd_collect,
	.dump = pidfd_dump,
	.load = pidfd_load,
	.link = pidfd_link,
	.prepare = pidfd_prepare,
	.restore = pidfd_restore,
};
