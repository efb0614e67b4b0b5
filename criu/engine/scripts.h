/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Action scripts: programs of the user's (--action-script) that are run at named moments of a
 * command, the one added last first. Whether a failing script fails the command depends on the
 * moment.
 */
#ifndef CRIU_ENGINE_SCRIPTS_H
#define CRIU_ENGINE_SCRIPTS_H

#include <stddef.h>
#include <sys/types.h>

struct cr;

enum script_action {
	SCRIPT_PRE_STREAM,
	SCRIPT_PRE_DUMP,
	SCRIPT_POST_DUMP,
	SCRIPT_PRE_RESTORE,
	SCRIPT_POST_RESTORE,
	SCRIPT_NETWORK_LOCK,
	SCRIPT_NETWORK_UNLOCK,
	SCRIPT_SETUP_NAMESPACES,
	SCRIPT_POST_SETUP_NAMESPACES,
	SCRIPT_PRE_RESUME,
	SCRIPT_POST_RESUME,
	SCRIPT_STATUS_READY,
	SCRIPT_ACTIONS,
};

struct scripts {
	const char *const *paths; /* in the order in which they were given */
	size_t n_paths;
	int image_dir;  /* fd of the image directory, -1: none */
	pid_t init_pid; /* real pid of the root task, 0: not known yet */
};

const char *script_action_name(enum script_action action);

/*
 * Runs the scripts one after the other with CRTOOLS_SCRIPT_ACTION, CRTOOLS_IMAGE_DIR and
 * CRTOOLS_INIT_PID, output to the log. 0, or, where a script failed and the action is one that can
 * fail the command, -errno, logged; *ret_status (may be NULL) is then its exit status (128 + signal
 * if a signal ended it). A cancelled run ends the script.
 */
int scripts_run(struct cr *cr, const struct scripts *scripts, enum script_action action,
		int *ret_status);

#endif
