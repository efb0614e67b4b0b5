/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log of a run. A line is composed on the stack and leaves with one write(2) to a file opened
 * with O_APPEND, so that threads and forked tasks share it without a lock. Messages that come
 * before the log is open are kept in a small buffer whose space is handed out atomically; what no
 * longer fits is counted and mentioned.
 *
 * Times are wall-clock differences: a task inside a time namespace sees another CLOCK_MONOTONIC
 * than the tool.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "util/log.h"
#include "util/report.h"

#define LINE_SIZE 4096
/* Room for the text of an errno, and for what stands before the text of a message. */
#define REASON_SIZE 256
#define EARLY_SIZE  16384

/* A message that is kept; its text, with a NUL, follows. */
struct early {
	uint32_t size; /* of header and text, rounded up to 8 */
	int32_t level;
	uint64_t microseconds;
	uint64_t line;
	const char *file;
};

struct log {
	struct report *report;
	int level;
	int fd;        /* -1 while messages are kept */
	pid_t pid;     /* the prefix */
	pid_t owner;   /* the process that made the log: it alone flushes what was kept */
	int cause_tid; /* the thread whose last error became the first cause */
	int write_err; /* errno of the first line that could not be written */
	struct timespec start;
	uint32_t early_used;
	uint32_t early_lost;
	_Alignas(struct early) char early[EARLY_SIZE];
};

struct log *log_new(struct report *report)
{
	struct log *log = malloc(sizeof(*log));

	if (!log)
		return NULL;
	memset(log, 0, offsetof(struct log, early));
	log->report = report;
	log->level = LOG_WARN;
	log->fd = -1;
	log->owner = getpid();
	clock_gettime(CLOCK_REALTIME, &log->start);
	return log;
}

static uint64_t log_elapsed(const struct log *log)
{
	struct timespec now;
	int64_t us;

	clock_gettime(CLOCK_REALTIME, &now);
	us = (now.tv_sec - log->start.tv_sec) * 1000000LL +
	     (now.tv_nsec - log->start.tv_nsec) / 1000;
	return us > 0 ? (uint64_t)us : 0;
}

static void write_line(struct log *log, int fd, const char *text, size_t size)
{
	ssize_t n;

	do
		n = write(fd, text, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		log->write_err = errno;
	else if ((size_t)n < size)
		log->write_err = ENOSPC;
}

/* Writes one line, at most LINE_SIZE long, with the prefixes that level and log ask for. */
static void log_line(struct log *log, int fd, const struct early *head, const char *text)
{
	char line[LINE_SIZE];
	size_t at = 0, length;

	if (log->level >= LOG_INFO)
		at += (size_t)snprintf(line + at, sizeof(line) - at, "(%02u.%06u) ",
				       (unsigned int)(head->microseconds / 1000000),
				       (unsigned int)(head->microseconds % 1000000));
	if (log->pid)
		at += (size_t)snprintf(line + at, sizeof(line) - at, "%6d: ", log->pid);
	if (head->level == LOG_ERROR || head->level == LOG_WARN)
		at += (size_t)snprintf(line + at, sizeof(line) - at,
				       "%s (%s:%u): ", head->level == LOG_ERROR ? "Error" : "Warn ",
				       head->file, (unsigned int)head->line);
	length = MIN(strlen(text), sizeof(line) - at - 1);
	memcpy(line + at, text, length);
	line[at + length] = '\n';
	write_line(log, fd, line, at + length + 1);
}

static void early_keep(struct log *log, const struct early *head, const char *text)
{
	size_t length = strlen(text) + 1;
	uint32_t size = (uint32_t)round_up(sizeof(*head) + length, sizeof(uint64_t));
	uint32_t at = __atomic_fetch_add(&log->early_used, size, __ATOMIC_RELAXED);

	if (at > EARLY_SIZE || size > EARLY_SIZE - at) {
		__atomic_sub_fetch(&log->early_used, size, __ATOMIC_RELAXED);
		__atomic_add_fetch(&log->early_lost, 1, __ATOMIC_RELAXED);
		return;
	}
	memcpy(log->early + at + sizeof(*head), text, length);
	memcpy(log->early + at, head, sizeof(*head));
	((struct early *)(log->early + at))->size = size;
}

static void early_flush(struct log *log, int fd)
{
	uint32_t at = 0;

	while (at < log->early_used) {
		const struct early *head = (const struct early *)(log->early + at);

		if (log_has_level(log, head->level))
			log_line(log, fd, head, log->early + at + sizeof(*head));
		at += head->size;
	}
	log->early_used = 0;
	if (log->early_lost && log->level >= LOG_WARN) {
		char text[80];
		struct early head = {.level = LOG_WARN,
				     .microseconds = log_elapsed(log),
				     .file = __FILE__,
				     .line = __LINE__};

		snprintf(text, sizeof(text), "log: %u early messages were lost", log->early_lost);
		log_line(log, fd, &head, text);
		log->early_lost = 0;
	}
}

void log_free(struct log *log)
{
	if (!log)
		return;
	if (log->fd < 0 && log->owner == getpid())
		early_flush(log, STDERR_FILENO);
	if (log->fd > STDERR_FILENO && log->write_err && log->owner == getpid() &&
	    log_has_level(log, LOG_WARN))
		dprintf(STDERR_FILENO, "criu: the log has gaps: write: %s\n",
			strerrordesc_np(log->write_err));
	if (log->fd > STDERR_FILENO)
		close(log->fd);
	free(log);
}

void log_set_level(struct log *log, int level)
{
	log->level = level;
}

bool log_has_level(const struct log *log, int level)
{
	/* LOG_MESSAGE goes wherever errors go: level 0 asks for silence. */
	return log && MAX(level, (int)LOG_ERROR) <= log->level;
}

int log_open(struct log *log, int dirfd, const char *name)
{
	int fd = STDERR_FILENO;

	if (name)
		fd = openat(dirfd, name,
			    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0)
		return -errno;
	log_set_fd(log, fd);
	return 0;
}

void log_set_fd(struct log *log, int fd)
{
	int old = log->fd;

	log->fd = fd;
	if (old > STDERR_FILENO && old != fd)
		close(old);
	early_flush(log, fd);
}

void log_set_pid(struct log *log, pid_t pid)
{
	log->pid = pid;
}

int log_fd(const struct log *log)
{
	return log->fd;
}

static void log_text(struct log *log, int level, const char *file, int line, const char *text)
{
	struct early head = {.level = level,
			     .microseconds = log_elapsed(log),
			     .file = file,
			     .line = (uint64_t)line};

	if (log->fd < 0)
		early_keep(log, &head, text);
	else if (log_has_level(log, level))
		log_line(log, log->fd, &head, text);
}

void log_emit(struct log *log, int level, const char *file, int line, const char *format, ...)
{
	int saved = errno;
	char text[LINE_SIZE];
	va_list args;

	if (!log || (log->fd >= 0 && !log_has_level(log, level)))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_text(log, level, file, line, text);
	errno = saved;
}

int log_emit_error(struct log *log, int err, bool with_reason, const char *file, int line,
		   const char *format, ...)
{
	int saved = errno, tid = gettid();
	char text[LINE_SIZE];
	size_t length;
	va_list args;

	/* A caller whose call failed without an errno still has failed. */
	if (err >= 0)
		err = -EIO;
	if (!log)
		return err;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	length = strlen(text);
	/* The reason must not be what is cut off. */
	length = MIN(length, sizeof(text) - REASON_SIZE);
	if (with_reason) {
		const char *reason = strerrordesc_np(-err);

		if (reason)
			snprintf(text + length, sizeof(text) - length, ": %s", reason);
		else
			snprintf(text + length, sizeof(text) - length, ": error %d", -err);
	}

	if (report_cause_set(log->report, err, log->pid, text))
		__atomic_store_n(&log->cause_tid, tid, __ATOMIC_RELAXED);
	else
		__atomic_compare_exchange_n(&log->cause_tid, &tid, 0, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
	log_text(log, LOG_ERROR, file, line, text);
	errno = saved;
	return err;
}

void log_emit_remedy(struct log *log, const char *format, ...)
{
	int saved = errno;
	char text[LINE_SIZE];
	va_list args;

	if (!log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (__atomic_load_n(&log->cause_tid, __ATOMIC_RELAXED) == gettid())
		report_remedy_set(log->report, text);
	log_text(log, LOG_MESSAGE, __FILE__, __LINE__, text);
	errno = saved;
}

void log_failure(struct log *log, const char *command)
{
	const struct report_cause *cause = report_cause_get(log->report);
	struct early head = {.level = LOG_MESSAGE, .microseconds = log_elapsed(log)};
	bool is_on_stderr = log->fd < 0 || log->fd == STDERR_FILENO;
	char text[LINE_SIZE];
	size_t at;

	if (log->level < LOG_ERROR)
		return;
	if (log->fd < 0)
		early_flush(log, STDERR_FILENO);
	at = (size_t)snprintf(text, sizeof(text), "criu: %s failed", command);
	/* Whoever reads the only error just above need not read it again. */
	if (cause && !(is_on_stderr && report_n_errors(log->report) == 1)) {
		if (*cause->stage)
			at += (size_t)snprintf(text + at, sizeof(text) - at, " (%s)", cause->stage);
		if (*cause->plugin)
			at += (size_t)snprintf(text + at, sizeof(text) - at, ": plugin %s",
					       cause->plugin);
		if (cause->pid)
			at += (size_t)snprintf(text + at, sizeof(text) - at, ": task %d",
					       cause->pid);
		at += (size_t)snprintf(text + at, sizeof(text) - at, ": %s", cause->text);
		if (*cause->remedy)
			snprintf(text + at, sizeof(text) - at, "; %s", cause->remedy);
	}

	log_line(log, is_on_stderr ? STDERR_FILENO : log->fd, &head, text);
	if (!is_on_stderr)
		dprintf(STDERR_FILENO, "%s\n", text);
}
