// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failures on request: option "fail" is a list of HOOK[:WHICH]:KIND, separated by commas. HOOK is a
 *name as in the log ("pause.task", "dump_file", "barrier.files"); WHICH the index of a task in tree
 *order, or a node; KIND
 *
 *	error      -EIO, with a reason
 *	silent     -EIO, without one
 *	badresult  a positive number that means nothing
 *	hang       never comes back
 *	cancel     comes back with -ECANCELED when the call is cancelled or its time is up
 *	late       waits until its time is up, then goes on as if nothing was
 *	segv       the process crashes
 *	heap       what malloc(3) has is corrupted, and it aborts
 *	alloc      allocates and frees for ever
 *	kill       the process gets SIGKILL: the tool, or on restore the task
 *	int        the tool gets SIGINT; the hook goes on
 *	stop       the process gets SIGSTOP; the hook goes on when it gets SIGCONT
 */
#include "recorder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int index_of(const struct criu_call *call, const struct criu_task *task)
{
	for (size_t i = 0; i < call->n_tasks; i++)
		if (call->tasks[i] == task)
			return (int)i;
	return -1;
}

static int fail_cancel(const struct entry *entry, const struct recorder *recorder)
{
	const struct timespec ms = {0, 1000000};

	while (!criu_is_cancelled(entry->call))
		nanosleep(&ms, NULL);
	return -ECANCELED;
}

static int fail_late(const struct entry *entry, const struct recorder *recorder)
{
	(void)fail_cancel(entry, recorder);
	return 0;
}

static int fail_error(const struct entry *entry, const struct recorder *recorder)
{
	return criu_error(entry->call, -EIO, "%s fails as it was asked to", entry->hook);
}

static int fail_silent(const struct entry *entry, const struct recorder *recorder)
{
	return -EIO;
}

static int fail_badresult(const struct entry *entry, const struct recorder *recorder)
{
	return 7;
}

static int fail_hang(const struct entry *entry, const struct recorder *recorder)
{
	while (true)
		pause();
	return -EINTR;
}

static int fail_segv(const struct entry *entry, const struct recorder *recorder)
{
	*(volatile int *)8 = 1;
	return -EIO;
}

/* Both of these end while the allocator has its lock. */
static int fail_heap(const struct entry *entry, const struct recorder *recorder)
{
	char *volatile one = malloc(100000);
	char *volatile two = malloc(100000);

	/* The size of what follows. */
	memset(one, 0x41, 100032);
	free(two);
	free(one);
	return -EIO;
}

static int fail_alloc(const struct entry *entry, const struct recorder *recorder)
{
	while (true) {
		char *volatile at = malloc(100000);

		free(at);
	}
	return -EIO;
}

static int fail_kill(const struct entry *entry, const struct recorder *recorder)
{
	kill(getpid(), SIGKILL);
	return -EIO;
}

static int fail_int(const struct entry *entry, const struct recorder *recorder)
{
	kill(recorder->tool, SIGINT);
	return 0;
}

static int fail_stop(const struct entry *entry, const struct recorder *recorder)
{
	kill(getpid(), SIGSTOP);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(const struct entry *entry, const struct recorder *recorder);
} kinds[] = {
	{"error", fail_error}, {"silent", fail_silent}, {"badresult", fail_badresult},
	{"hang", fail_hang},   {"cancel", fail_cancel}, {"late", fail_late},
	{"segv", fail_segv},   {"heap", fail_heap},     {"alloc", fail_alloc},
	{"kill", fail_kill},   {"int", fail_int},       {"stop", fail_stop},
};

static bool is_meant(const struct entry *entry, const char *which)
{
	const struct criu_task *task = entry->task;
	const char *path = NULL;

	if (!which)
		return true;
	if (entry->file) {
		task = entry->file->task;
		path = entry->file->path;
	} else if (entry->mapping) {
		task = entry->mapping->task;
		path = entry->mapping->path;
	}
	if (*which >= '0' && *which <= '9')
		return task && index_of(entry->call, task) == atoi(which);
	return path && strcmp(node_of(path), which) == 0;
}

int inject(const struct entry *entry, const struct recorder *recorder)
{
	char words[512], *save;

	snprintf(words, sizeof(words), "%s", criu_option_string(entry->call, "fail"));
	for (char *word = strtok_r(words, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		char *which = strchr(word, ':'), *kind = strrchr(word, ':');

		if (!kind)
			return criu_error(entry->call, -EINVAL, "option fail: '%s'", word);
		*which++ = 0;
		*kind++ = 0;
		if (strcmp(word, entry->hook) != 0 ||
		    !is_meant(entry, kind == which ? NULL : which))
			continue;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (strcmp(kind, kinds[i].name) == 0)
				return kinds[i].run(entry, recorder);
		return criu_error(entry->call, -EINVAL, "option fail: '%s' is no kind", kind);
	}
	return 0;
}
