// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu restore: restores the tree that was dumped into -D. With -d criu exits as soon as the tree
 * runs; else it stays as the parent of the root task until its children are gone, or becomes the
 * program of --exec-cmd, which inherits them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/engine.h"
#include "engine/stats.h"
#include "options.h"
#include "task/task.h"
#include "util/fd.h"
#include "util/log.h"

/* Created before anything is restored, so that a file that exists is found out in time. -1 if none
 * is asked for. */
static int pidfile_create(struct cr *cr, int *ret_fd)
{
	const char *path = cr->opts->pidfile;

	*ret_fd = -1;
	if (!path || cr->opts->dry_run)
		return 0;
	*ret_fd = openat(cr->work_dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? log_err(cr, -errno, "--pidfile %s: create", path) : 0;
}

/* Once the restore has succeeded or failed: writes the pid, or takes the file away. */
static void pidfile_finish(struct cr *cr, int fd, int result)
{
	char pid[16];
	int len, ret;

	if (fd < 0)
		return;
	if (result < 0) {
		unlinkat(cr->work_dir, cr->opts->pidfile, 0);
		return;
	}
	len = snprintf(pid, sizeof(pid), "%d", cr->tree->root->host_pid);
	ret = write_all(fd, pid, len);
	if (ret < 0)
		log_err(cr, ret, "--pidfile %s: write", cr->opts->pidfile);
}

/* Until no child is left; what they exit with is theirs. */
static void wait_for_tree(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

/* They were blocked from the moment that the tree ran (engine_restore()). */
static void unblock_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int restore(struct cr *cr)
{
	_cleanup_close_ int pidfile = -1;
	int ret;

	ret = pidfile_create(cr, &pidfile);
	if (ret < 0)
		return ret;
	ret = engine_restore(cr);
	pidfile_finish(cr, pidfile, ret);
	if (ret == 0 && cr->opts->display_stats)
		stats_display(cr, STATS_OF_RESTORE);
	return ret;
}

int cmd_restore(struct cr *cr)
{
	const char *const *argv = cr->opts->exec_argv;
	struct session session;
	int ret = session_open(cr, &session, false), status;

	if (ret == 0)
		ret = restore(cr);
	status = session_close(cr, &session, "restore", ret);
	if (ret != 0 || cr->opts->dry_run || cr->opts->restore_detached)
		return status;
	unblock_signals();
	if (!cr->opts->exec_cmd) {
		wait_for_tree();
		return 0;
	}
	execvp(argv[0], (char *const *)argv);
	return log_err(cr, -errno, "--exec-cmd %s: run the command", argv[0]);
}
