/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The report of a run, in memory that all its processes share: the first failure (stage, task,
 * object, text, remedy), failures that harm nobody, and time and bytes of each step. It ends the
 * log, is the RPC error, and is written as JSON with --report.
 */
#ifndef CRIU_UTIL_REPORT_H
#define CRIU_UTIL_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct report;

struct report_cause {
	int err;   /* negative errno */
	pid_t pid; /* of the process that met it, as log_set_pid() had it; 0: the tool itself */
	char stage[32]; /* step of the plan, or restore stage */
	char plugin[64];
	char object[128]; /* text before the first ": " of the message */
	char text[512];   /* the whole message */
	char remedy[256];
};

struct report *report_new(void);
void report_free(struct report *report);

/* What the run is at, from now on; copied into the cause. One for all processes. */
void report_set_stage(struct report *report, const char *stage);
void report_get_stage(const struct report *report, char *ret, size_t size);

/* Keeps the cause if there is none yet (the first of all processes wins); true if it was kept. */
bool report_cause_set(struct report *report, int err, pid_t pid, const char *text);
/* How often report_cause_set() was called, by whichever process. */
uint32_t report_n_errors(const struct report *report);
/* What can be done about it; the caller is the one whose cause was kept. */
void report_remedy_set(struct report *report, const char *text);
/* The plugin that it is about; likewise. */
void report_plugin_set(struct report *report, const char *plugin);
/* Forgets the cause: a failure that was recovered from. */
void report_cause_clear(struct report *report);
/* Likewise, but it is told as a warning: a failure that came when the run had succeeded. In the
 * tool itself; at most 8 are kept. */
void report_cause_demote(struct report *report);
/* NULL while nothing failed. */
const struct report_cause *report_cause_get(const struct report *report);

/* Bytes moved by whatever the run is at: what the steps below are charged with. */
void report_bytes_add(struct report *report, uint64_t bytes);
uint64_t report_bytes_get(const struct report *report);

/* A step that ended: its name, how long it took, how many bytes it moved. At most 128 are kept. */
void report_step_add(struct report *report, const char *name, uint64_t microseconds,
		     uint64_t bytes);

/* Writes the report as JSON to fd. 0 or -errno. */
int report_write_json(const struct report *report, int fd, const char *command, int exit_code);

#endif
