// SPDX-License-Identifier: LGPL-2.1-only
/*
 * compel run: stops every thread of a process, runs one function of a blob in its main thread (or,
 * with -t, in each), prints what it returned, and lets the process go on. Also the shortest example
 * of a host program.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "compel/cli/commands.h"
#include "compel/cli/elf.h"
#include "compel/compel.h"

struct target {
	pid_t pid;
	struct compel_thread_call *threads; /* the leader is the first */
	unsigned int count;
	bool in_all;
	const char *function;
	uint64_t arg;
};

static void print_line(void *opaque, enum compel_level level, const char *text)
{
	if (level != COMPEL_DEBUG || *(bool *)opaque)
		fprintf(stderr, "compel: %s\n", text);
}

static bool knows(const struct target *t, pid_t tid)
{
	for (unsigned int i = 0; i < t->count; i++) {
		if (t->threads[i].tid == tid)
			return true;
	}
	return false;
}

static int stop_one(struct target *t, pid_t tid)
{
	struct compel_thread_call *larger;
	int err = compel_seize(tid, geteuid() == 0 ? COMPEL_SEIZE_SUSPEND_SECCOMP : 0);

	if (err == 0)
		err = compel_interrupt(tid);
	if (err == 0)
		err = compel_wait_stop(tid, -1, NULL);
	if (err == -ESRCH && tid != t->pid)
		return 0;
	if (err < 0) {
		fprintf(stderr, "compel: thread %d: stop it: %s\n", tid, strerror(-err));
		return err;
	}
	larger = realloc(t->threads, (t->count + 1) * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	t->threads = larger;
	t->threads[t->count++] = (struct compel_thread_call){.tid = tid, .arg = t->arg};
	return 0;
}

/* Returns how many were new: those that are stopped create no more, so it ends. */
static int stop_new_threads(struct target *t)
{
	char path[32];
	unsigned int before = t->count;
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/task", t->pid);
	_cleanup_closedir_ DIR *dir = opendir(path);

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		pid_t tid = atoi(entry->d_name);
		int err = tid && !knows(t, tid) ? stop_one(t, tid) : 0;

		if (err < 0)
			return err;
	}
	return t->count - before;
}

static int stop_all(struct target *t)
{
	int n = stop_one(t, t->pid);

	if (n == 0) {
		do
			n = stop_new_threads(t);
		while (n > 0);
	}
	return n;
}

static int run_in(struct target *t, const struct compel_blob *blob, bool *verbose)
{
	struct compel_options options = {.log = print_line, .log_opaque = verbose};
	struct compel_session *s;
	uint64_t function;
	int err = compel_blob_find(blob, t->function, &function);

	if (err < 0) {
		fprintf(stderr, "compel: %s: no entry %s\n", blob->name, t->function);
		return err;
	}
	err = compel_session_new(t->pid, &options, &s);
	if (err < 0)
		return err;
	err = compel_blob_load(s, blob, NULL);
	if (err == 0)
		err = compel_call_threads(s, function, t->threads, t->in_all ? t->count : 1);
	if (err == 0)
		err = compel_cure(s);
	compel_session_free(s);
	for (unsigned int i = 0; err == 0 && i < (t->in_all ? t->count : 1); i++)
		printf("%d %ld\n", t->threads[i].tid, t->threads[i].ret);
	return err;
}

int command_run(int argc, char **argv)
{
	struct target t = {0};
	bool verbose = false;
	struct elf_blob elf;
	int option, err;

	while ((option = getopt(argc, argv, "p:tv")) != -1) {
		if (option == 'p')
			t.pid = atoi(optarg);
		else if (option == 't')
			t.in_all = true;
		else if (option == 'v')
			verbose = true;
		else
			return 2;
	}
	if (t.pid <= 0 || argc - optind < 2 || argc - optind > 3) {
		fprintf(stderr, "usage: compel run -p PID [-t] [-v] BLOB.elf FUNCTION [ARG]\n");
		return 2;
	}
	t.function = argv[optind + 1];
	t.arg = argc - optind == 3 ? strtoull(argv[optind + 2], NULL, 0) : 0;
	if (elf_blob_read(argv[optind], &elf) < 0)
		return 1;

	err = stop_all(&t);
	if (err == 0)
		err = run_in(&t, &elf.blob, &verbose);
	for (unsigned int i = 0; i < t.count; i++)
		compel_detach(t.threads[i].tid, 0);
	free(t.threads);
	elf_blob_free(&elf);
	return err < 0;
}
