/* SPDX-License-Identifier: GPL-2.0-only */
/* What dump and restore open before their plan runs and give back after it. */
#ifndef CRIU_CLI_SESSION_H
#define CRIU_CLI_SESSION_H

#include <stdbool.h>

struct cr;

struct session {
	int report_fd; /* --report, -1: not asked for */
};

/*
 * Closes what --close says, opens images, work directory, log, features, statistics, pool (members
 * of cr). 0 or -errno, logged; in either case session_close() is to be called.
 */
int session_open(struct cr *cr, struct session *session, bool is_dump);

/* The part of it for commands without images: what --close says, work directory and log where they
 * were asked for. The current directory stays. 0 or -errno, logged; in either case
 * session_close_log() is to be called. */
int session_open_log(struct cr *cr);
void session_close_log(struct cr *cr);

/* Ends the command that returned result (an exit status or -errno): writes --report. Returns the
 * exit status. */
int session_close(struct cr *cr, struct session *session, const char *command, int result);

/* Gives back this process's part of it: another one carries on with the command. */
void session_leave(struct cr *cr, struct session *session);

#endif
