/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Action scripts. A script gets no arguments but its own path; what it may want to know is in its
 * environment. Its stdin is ours, what it writes goes to the log. It is waited for by a pidfd, so
 * that a run that is cancelled does not wait for a script that does not end: it is asked to
 * (SIGTERM) and then made to.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/plan.h"
#include "engine/scripts.h"
#include "run.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/spawn.h"

#define TERM_TIMEOUT_MS 2000

/* The names are part of the interface with the scripts. */
static const struct {
	const char *name;
	bool can_fail; /* the command, that is */
} actions[SCRIPT_ACTIONS] = {
	[SCRIPT_PRE_STREAM] = {"pre-stream", true},
	[SCRIPT_PRE_DUMP] = {"pre-dump", true},
	[SCRIPT_POST_DUMP] = {"post-dump", true},
	[SCRIPT_PRE_RESTORE] = {"pre-restore", true},
	[SCRIPT_POST_RESTORE] = {"post-restore", true},
	[SCRIPT_NETWORK_LOCK] = {"network-lock", true},
	[SCRIPT_NETWORK_UNLOCK] = {"network-unlock", false},
	[SCRIPT_SETUP_NAMESPACES] = {"setup-namespaces", true},
	[SCRIPT_POST_SETUP_NAMESPACES] = {"post-setup-namespaces", true},
	[SCRIPT_PRE_RESUME] = {"pre-resume", false},
	[SCRIPT_POST_RESUME] = {"post-resume", false},
	[SCRIPT_STATUS_READY] = {"status-ready", false},
};

const char *script_action_name(enum script_action action)
{
	return actions[action].name;
}

static int script_start(struct cr *cr, const struct scripts *scripts, const char *path,
			enum script_action action, pid_t *ret_pid)
{
	char action_env[64], dir_env[64], pid_env[48], *program;
	const char *env[4] = {action_env};
	const char *argv[] = {NULL, NULL};
	struct spawn spawn = {
		.argv = argv, .env = env, .prepare = plan_give_back_limits, .arg = cr};
	size_t n = 1;
	int err;

	snprintf(action_env, sizeof(action_env), "CRTOOLS_SCRIPT_ACTION=%s", actions[action].name);
	if (scripts->image_dir >= 0) {
		snprintf(dir_env, sizeof(dir_env), "CRTOOLS_IMAGE_DIR=/proc/%d/fd/%d", getpid(),
			 scripts->image_dir);
		env[n++] = dir_env;
	}
	if (scripts->init_pid) {
		snprintf(pid_env, sizeof(pid_env), "CRTOOLS_INIT_PID=%d", scripts->init_pid);
		env[n++] = pid_env;
	}
	if (cr->log && log_fd(cr->log) >= 0)
		spawn.out = spawn.err = SPAWN_FD(log_fd(cr->log));

	/* A path, not a name to be looked up in PATH. */
	program = xasprintf("%s%s", strchr(path, '/') ? "" : "./", path);
	argv[0] = program;
	err = spawn_start(&spawn, ret_pid);
	free(program);
	return err;
}

/* The wait status, or -ECANCELED, when it was made to end because the run is. */
static int script_wait(struct cr *cr, pid_t pid)
{
	_cleanup_close_ int pidfd = pidfd_new(pid);
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
	int ret, status;

	ret = pidfd < 0 ? pidfd : plan_wait_fd(cr, pidfd, POLLIN, -1);
	if (ret == -ECANCELED) {
		pidfd_signal(pidfd, SIGTERM);
		if (poll(&poll_fd, 1, TERM_TIMEOUT_MS) <= 0)
			pidfd_signal(pidfd, SIGKILL);
	}
	status = spawn_wait(pid);
	return ret == -ECANCELED ? ret : status;
}

/* What a shell would say: the exit status, or 128 and the signal. */
static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int script_run(struct cr *cr, const struct scripts *scripts, const char *path,
		      enum script_action action, int *ret_status)
{
	pid_t pid;
	int ret;

	*ret_status = 1;
	ret = script_start(cr, scripts, path, action, &pid);
	if (ret < 0 && actions[action].can_fail) {
		log_err(cr, ret, "script %s: start", path);
		if (ret == -ENOENT && *path != '/')
			log_remedy(cr,
				   "relative paths of scripts are meant from the work directory");
		return ret;
	}
	if (ret < 0)
		return ret;
	ret = script_wait(cr, pid);
	if (ret == -ECANCELED)
		return ret;
	if (ret < 0)
		return log_err(cr, ret, "script %s: wait", path);
	if (!ret)
		return 0;
	*ret_status = exit_status(ret);
	if (!actions[action].can_fail)
		return -ECHILD;
	return log_refuse(cr, -ECHILD, "script %s: %s: failed with status %d", path,
			  actions[action].name, *ret_status);
}

int scripts_run(struct cr *cr, const struct scripts *scripts, enum script_action action,
		int *ret_status)
{
	for (size_t i = scripts->n_paths; i-- > 0;) {
		const char *path = scripts->paths[i];
		int status, err;

		log_info(cr, "script %s: %s", path, actions[action].name);
		err = script_run(cr, scripts, path, action, &status);
		if (!err)
			continue;
		if (actions[action].can_fail) {
			if (ret_status)
				*ret_status = status;
			return err;
		}
		log_warn(cr, "script %s: %s: failed with status %d, going on", path,
			 actions[action].name, status);
	}
	return 0;
}
