/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log of a run: one line per message, written with one write(2), so that the processes of a
 *restore can share it.
 *
 *	return log_err(cr, -errno, "eventfd %#x: create", file->id);
 *	return log_refuse(cr, -EINVAL, "pid %d: is a kernel thread", pid);
 *
 * "object: fact", lower case, no full stop. The first error of a run is kept in the report as its
 *cause; a remedy for it is added with log_remedy() right after. Messages before log_open() are kept
 *and written by it, or to stderr by log_free().
 */
#ifndef CRIU_UTIL_LOG_H
#define CRIU_UTIL_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <sys/types.h>

struct log;
struct report;

enum log_level { LOG_MESSAGE = 0, LOG_ERROR = 1, LOG_WARN = 2, LOG_INFO = 3, LOG_DEBUG = 4 };

/* report may be NULL: then the first cause is not kept. */
struct log *log_new(struct report *report);
void log_free(struct log *log);

/* Sets the level: messages above it are dropped (errors only at level 0). */
void log_set_level(struct log *log, int level);
bool log_has_level(const struct log *log, int level);

/* Writes to name, created anew with mode 0600 in the folder dirfd, from now on; NULL means stderr.
 * 0 or -errno. */
int log_open(struct log *log, int dirfd, const char *name);

/* Prefixes further messages of this process with pid (a restored task); 0 takes the prefix away. */
void log_set_pid(struct log *log, pid_t pid);

/* The descriptor that messages go to, or -1 while they are kept. */
int log_fd(const struct log *log);

/* Messages of this process go to fd from now on (takes fd): the same file at another number, or one
 * of its own. */
void log_set_fd(struct log *log, int fd);

/* Ends a failed run: one line with what failed first and what can be done, to the log and, where
 * that is not it, stderr. */
void log_failure(struct log *log, const char *command);

/*
 * What the macros below call. log_emit_error() records the first cause, appends ": <text of err>"
 * if with_reason, and returns err, which must be negative.
 */
void log_emit(struct log *log, int level, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
int log_emit_error(struct log *log, int err, bool with_reason, const char *file, int line,
		   const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Adds what the user can do about the error just logged, to log and report. */
void log_emit_remedy(struct log *log, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A failing call: "object: what was tried", the reason (strerror of err) is appended. Returns err.
 */
#define log_err(cr, err, ...) log_emit_error((cr)->log, err, true, __FILE__, __LINE__, __VA_ARGS__)
/* Something refused: the text says why by itself. Returns err. */
#define log_refuse(cr, err, ...) \
	log_emit_error((cr)->log, err, false, __FILE__, __LINE__, __VA_ARGS__)
#define log_remedy(cr, ...) log_emit_remedy((cr)->log, __VA_ARGS__)
#define log_msg(cr, ...)    log_emit((cr)->log, LOG_MESSAGE, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(cr, ...)   log_emit((cr)->log, LOG_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(cr, ...)   log_emit((cr)->log, LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(cr, ...)                                                               \
	do {                                                                             \
		if (log_has_level((cr)->log, LOG_DEBUG))                                 \
			log_emit((cr)->log, LOG_DEBUG, __FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

#endif
