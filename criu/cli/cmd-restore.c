// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu restore: restores the tree that was dumped into -D. With -d criu exits as soon as the tree
 * runs; else it stays as the parent of the root task until its children are gone, or becomes the
 * program of --exec-cmd, which inherits them. With --hold another process restores, and criu exits
 * when that one waits for criu release.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/pidfile.h"
#include "cli/session.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/engine.h"
#include "engine/hold.h"
#include "engine/stats.h"
#include "options.h"
#include "util/alloc.h"
#include "util/log.h"

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

static int restore(struct cr *cr, int *pidfile)
{
	int ret;

	ret = pidfile_create(cr, pidfile);
	if (ret < 0)
		return ret;
	ret = engine_restore(cr);
	pidfile_finish(cr, *pidfile, ret);
	if (ret == 0 && cr->opts->display_stats)
		stats_display(cr, STATS_OF_RESTORE);
	return ret;
}

/* ---- --hold ---- */

struct held_session {
	struct session *session;
	int pidfile;
};

static int restore_in_holder(struct cr *cr, void *arg)
{
	struct held_session *held = arg;
	int ret = restore(cr, &held->pidfile);

	return session_close(cr, held->session, "restore", ret);
}

/* Who has the pid can release the tree. */
static int tell_pid(struct cr *cr, void *arg)
{
	const struct held_session *held = arg;

	return pidfile_write_early(cr, held->pidfile);
}

static int restore_and_hold(struct cr *cr, struct session *session)
{
	struct held_session held = {.session = session, .pidfile = -1};
	const struct hold_work work = {
		.restore = restore_in_holder,
		.held = tell_pid,
		.arg = &held,
	};
	int status = hold_run(cr, &work);

	if (status < 0)
		return session_close(cr, session, "restore", status);
	session_leave(cr, session);
	return status;
}

/* ---- --exec-cmd ---- */

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Would execvp(3) find it? Once the tree runs it is too late for a typing mistake. */
static bool is_in_path(const char *name)
{
	const char *path = getenv("PATH") ?: "/bin:/usr/bin";

	for (;; path++) {
		size_t len = strcspn(path, ":");
		_cleanup_free_ char *file =
			xasprintf("%.*s%s%s", (int)len, path, len ? "/" : "", name);

		if (is_program(file))
			return true;
		path += len;
		if (!*path)
			return false;
	}
}

static int exec_check(struct cr *cr)
{
	const char *name = cr->opts->exec_cmd ? cr->opts->exec_argv[0] : NULL;

	if (!name || (strchr(name, '/') ? is_program(name) : is_in_path(name)))
		return 0;
	log_refuse(cr, -ENOENT, "--exec-cmd %s: there is no such program", name);
	log_remedy(cr, "it is looked for in PATH, or, with a slash in it, from the work directory");
	return -ENOENT;
}

int cmd_restore(struct cr *cr)
{
	const char *const *argv = cr->opts->exec_argv;
	_cleanup_close_ int pidfile = -1;
	struct session session;
	int ret = session_open(cr, &session, false), status;

	if (ret == 0)
		ret = exec_check(cr);
	if (ret == 0 && cr->opts->hold)
		return restore_and_hold(cr, &session);
	if (ret == 0)
		ret = restore(cr, &pidfile);
	status = session_close(cr, &session, "restore", ret);
	if (ret != 0 || cr->opts->dry_run || cr->opts->restore_detached)
		return status;
	unblock_signals();
	if (!cr->opts->exec_cmd) {
		wait_for_tree();
		return 0;
	}
	execvp(argv[0], (char *const *)argv);
	return log_err(cr, -errno, "--exec-cmd %s: run the command; the tree runs without it",
		       argv[0]);
}
