// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner of a description for SIGIO and SIGURG: fcntl(2) F_SETOWN_EX (who), F_SETSIG (which signal),
 * and the credentials of the task that set it, which the kernel keeps to decide whether the signal
 * may be sent. Saved for every description; the owner's process must exist before it is restored.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cr.h"
#include "files/files-priv.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fown.pb-c.h"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS \
	17 /* linux/fcntl.h hides it from user space; include/uapi/asm-generic/fcntl.h */
#endif

int fown_collect(struct cr *cr, struct file *file, int fd)
{
	struct f_owner_ex owner = {};
	uint32_t uids[2] = {};
	struct task *task;
	int signo;

	file->fown = xmalloc(sizeof(*file->fown));
	fown_entry__init(file->fown);
	/* A description opened with O_PATH has no owner, and fcntl refuses to ask. */
	if (file->flags & O_PATH)
		return 0;

	signo = fcntl(fd, F_GETSIG, 0);
	if (signo < 0)
		return log_err(cr, -errno, "pid %d: fd %d: get its signal",
			       file->facts.task->host_pid, file->facts.fd);
	file->fown->signum = signo;
	if (fcntl(fd, F_GETOWN_EX, &owner) < 0)
		return log_err(cr, -errno, "pid %d: fd %d: get its owner",
			       file->facts.task->host_pid, file->facts.fd);
	if (owner.pid == 0)
		return 0;

	if (fcntl(fd, F_GETOWNER_UIDS, uids) < 0)
		return log_err(cr, -errno, "pid %d: fd %d: get the ids of its owner",
			       file->facts.task->host_pid, file->facts.fd);
	task = tree_find_host(cr->tree, owner.pid);
	file->fown->pid_type = owner.type;
	file->fown->pid = task ? task->pid : owner.pid;
	file->fown->uid = uids[0];
	file->fown->euid = uids[1];
	return 0;
}

/* The kernel keeps the caller's ids with the owner, so they are taken on for the call. */
static int set_owner_as(uint32_t uid, uint32_t euid, int fd, const struct f_owner_ex *owner)
{
	uid_t r, e, s;
	int err = 0;

	if (getresuid(&r, &e, &s) < 0)
		return -errno;
	if (uid == r && euid == e)
		return fcntl(fd, F_SETOWN_EX, owner) < 0 ? -errno : 0;
	/* The saved id stays 0 meanwhile, to come back. */
	if (setresuid(uid, euid, s) < 0)
		return -errno;
	if (fcntl(fd, F_SETOWN_EX, owner) < 0)
		err = -errno;
	if (setresuid(r, e, s) < 0)
		return -errno;
	return err;
}

int fown_restore(struct cr *cr, const struct file *file, int fd)
{
	const FownEntry *fown = file->fown;
	struct f_owner_ex owner;
	int err;

	if (!fown || (file->flags & O_PATH))
		return 0;
	if (fown->signum && fcntl(fd, F_SETSIG, fown->signum) < 0)
		return log_err(cr, -errno, "file %#x: set signal %u", file->id, fown->signum);
	if (!fown->pid)
		return 0;
	owner.type = fown->pid_type;
	owner.pid = fown->pid;
	err = set_owner_as(fown->uid, fown->euid, fd, &owner);
	if (err)
		return log_err(cr, err, "file %#x: set owner %u", file->id, fown->pid);
	return 0;
}
