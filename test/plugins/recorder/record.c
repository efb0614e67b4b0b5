// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of the recording plugin. Each call is two lines, each of them one write to a file that is
 * opened for appending, so that lines of several processes and threads stay whole and in order:
 *
 *	event=enter plugin=recorder hook=dump_file op=dump task=40 index=1 file=17 class=recorder.a
 *		node=a0 fd=5 holders=2 position=3 tid=100 pid=100 left=59998 call=12 at=123456789
 *	event=leave plugin=recorder hook=dump_file op=dump task=40 ... result=0
 *
 * task is the pid as in the images, host the one outside, index its place in tree order; left is
 *the time until the deadline in ms, at a clock in microseconds, call counts in this process.
 */
#include "line.h"
#include "recorder.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct recorder *recorder_of(struct criu_call *call)
{
	struct recorder *recorder = call->context;

	if (recorder)
		return recorder;
	recorder = calloc(1, sizeof(*recorder));
	if (!recorder)
		return NULL;
	recorder->tool = getpid();
	snprintf(recorder->log, sizeof(recorder->log), "%s", criu_option_string(call, "log"));
	snprintf(recorder->device, sizeof(recorder->device), "%s",
		 criu_option_string(call, "device"));
	call->context = recorder;
	return recorder;
}

void recorder_free(struct criu_call *call)
{
	free(call->context);
	call->context = NULL;
}

void record_line(const char *log, const char *format, ...)
{
	char line[2048];
	va_list args;
	int size;

	if (!*log)
		return;
	va_start(args, format);
	size = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	line_append(log, line, sizeof(line), size);
}

static const char *fate_name(enum criu_fate fate)
{
	static const char *const names[] = {
		[CRIU_FATE_CONTINUES] = "continues",
		[CRIU_FATE_STOPPED] = "stopped",
		[CRIU_FATE_KILLED] = "killed",
		[CRIU_FATE_FAILED] = "failed",
	};

	return fate >= CRIU_FATE_CONTINUES && fate <= CRIU_FATE_FAILED ? names[fate] : "?";
}

static void describe(const struct entry *entry, char *text, size_t room)
{
	const struct criu_call *call = entry->call;
	const struct criu_file *file = entry->file;
	const struct criu_mapping *mapping = entry->mapping;
	size_t at = 0;

	text[0] = 0;
	if (entry->task)
		at += (size_t)snprintf(text + at, room - at, " task=%d host=%d index=%d files=%zu",
				       entry->task->pid, entry->task->host_pid,
				       index_of(call, entry->task), entry->task->n_files);
	if (file)
		at += (size_t)snprintf(text + at, room - at,
				       " file=%u class=%s node=%s fd=%d holders=%zu position=%u",
				       file->id, file->class_of->name, node_of(file->path),
				       file->fd, file->n_holders, file->position);
	if (mapping)
		at += (size_t)snprintf(text + at, room - at,
				       " class=%s node=%s start=%llu length=%llu offset=%llu of=%d",
				       mapping->class_of->name, node_of(mapping->path),
				       (unsigned long long)mapping->start,
				       (unsigned long long)mapping->length,
				       (unsigned long long)mapping->offset,
				       mapping->file ? (int)mapping->file->id : -1);
	if (call->outcome && at < room)
		at += (size_t)snprintf(text + at, room - at, " fate=%s final=%d",
				       fate_name(call->outcome->fate), call->outcome->is_final);
	if (at < room)
		snprintf(text + at, room - at, "%s", entry->about);
}

static void write_line(const struct entry *entry, const struct recorder *recorder,
		       const char *event, const char *end)
{
	struct criu_call *call = entry->call;
	char about[1400];
	struct timespec now;

	describe(entry, about, sizeof(about));
	clock_gettime(CLOCK_MONOTONIC, &now);
	record_line(recorder->log,
		    "event=%s plugin=%s hook=%s op=%s%s tid=%d pid=%d left=%u call=%u at=%lld%s",
		    event, call->plugin->name, entry->hook,
		    call->operation == CRIU_DUMP      ? "dump"
		    : call->operation == CRIU_RESTORE ? "restore"
						      : "none",
		    about, gettid(), getpid(), criu_time_left(call), recorder->n_calls,
		    now.tv_sec * 1000000LL + now.tv_nsec / 1000, end);
}

int enter(struct entry *entry)
{
	struct recorder *recorder = recorder_of(entry->call);

	if (!recorder)
		return criu_error(entry->call, -12, "no memory");
	__atomic_add_fetch(&recorder->n_calls, 1, __ATOMIC_RELAXED);
	write_line(entry, recorder, "enter", "");
	return inject(entry, recorder);
}

int leave(const struct entry *entry, int result)
{
	char end[32];

	snprintf(end, sizeof(end), " result=%d", result);
	if (entry->call->context)
		write_line(entry, entry->call->context, "leave", end);
	return result;
}
