// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file of --pidfile: pid of the restored root task, in the work directory. One that is there
 * already is somebody else's: it is found out before anything is restored, and left alone.
 */
#include "cli/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "options.h"
#include "run.h"
#include "task/task.h"
#include "util/fd.h"
#include "util/log.h"

/* More than the digits of any pid. */
#define PID_SIZE 16

/* Room for the pid: once there is one to be written, it is too late for a full disk. What else the
 * file system has against it is no matter. */
static int room_take(struct cr *cr, int fd)
{
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, PID_SIZE) == 0 ||
	    (errno != ENOSPC && errno != EDQUOT))
		return 0;
	log_err(cr, -errno, "--pidfile %s: make room for the pid", cr->opts->pidfile);
	unlinkat(cr->work_dir, cr->opts->pidfile, 0);
	return -ENOSPC;
}

int pidfile_create(struct cr *cr, int *ret_fd)
{
	const char *path = cr->opts->pidfile;
	_cleanup_close_ int fd = -1;
	int err;

	*ret_fd = -1;
	if (!path || cr->opts->dry_run)
		return 0;
	fd = openat(cr->work_dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		err = room_take(cr, fd);
		if (err == 0)
			*ret_fd = TAKE_FD(fd);
		return err;
	}
	err = log_err(cr, -errno, "--pidfile %s: create in the work directory", path);
	if (err == -EEXIST)
		log_remedy(cr, "name another one, or remove it if nobody needs it");
	return err;
}

static int pid_write(struct cr *cr, int fd)
{
	char pid[PID_SIZE];
	int len, ret;

	len = snprintf(pid, sizeof(pid), "%d", cr->tree->root->host_pid);
	ret = write_all(fd, pid, len);
	return ret < 0 ? log_err(cr, ret, "--pidfile %s: write", cr->opts->pidfile) : 0;
}

void pidfile_finish(struct cr *cr, int fd, int result)
{
	if (fd < 0)
		return;
	if (result < 0)
		unlinkat(cr->work_dir, cr->opts->pidfile, 0);
	else if (!cr->hold)
		(void)pid_write(cr, fd);
}

int pidfile_write_early(struct cr *cr, int fd)
{
	int err;

	if (fd < 0)
		return 0;
	err = undo_add_remove(cr, cr->work_dir, cr->opts->pidfile);
	return err < 0 ? err : pid_write(cr, fd);
}
