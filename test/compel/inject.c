// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does to a process all that the library can do, checks every answer, and leaves it as it was. This
 * is what gets killed in the middle.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blob-test.h"
#include "compel/compel.h"
#include "test/compel/inject.h"
#include "test/compel/tasks.h"

static void print_line(void *opaque, enum compel_level level, const char *text)
{
	if (level != COMPEL_DEBUG)
		fprintf(stderr, "%s\n", text);
}

static void check(bool ok, const char *what)
{
	if (!ok)
		die("inject: %s", what);
}

static void try_syscalls(struct compel_session *s, const struct threads *threads)
{
	static const uint64_t none[6];
	long ret;

	for (unsigned int i = 0; i < threads->count && i < 3; i++) {
		check(compel_syscall(s, threads->tids[i], __NR_gettid, none, &ret) == 0, "syscall");
		check(ret == threads->tids[i], "gettid's answer");
	}
}

static void try_calls(struct compel_session *s, const struct threads *threads)
{
	struct compel_thread_call calls[VICTIM_THREADS_MAX];
	long ret;

	check(compel_call(s, threads->tids[threads->count - 1], BLOB_TEST_test_tid, 1, &ret) == 0 &&
		      ret == threads->tids[threads->count - 1] + 1,
	      "call in one thread");
	for (unsigned int i = 0; i < threads->count; i++)
		calls[i] = (struct compel_thread_call){.tid = threads->tids[i], .arg = i};
	check(compel_call_threads(s, BLOB_TEST_test_tid, calls, threads->count) == 0, "calls");
	for (unsigned int i = 0; i < threads->count; i++)
		check(calls[i].ret == threads->tids[i] + i, "result of a call");
}

/* Threads that were given back at once, and come again with registers that we have read. */
static void try_cured(struct compel_session *s, const struct threads *threads)
{
	struct compel_thread_call calls[VICTIM_THREADS_MAX];
	struct compel_regs *regs[VICTIM_THREADS_MAX];
	unsigned int n = 0;

	/* Not the leader, in which the blob is. */
	for (unsigned int i = 1; i < threads->count; i++) {
		calls[n++] = (struct compel_thread_call){.tid = threads->tids[i], .arg = i};
	}
	check(compel_cure_threads(s, calls, n) == 0, "cure threads");
	for (unsigned int i = 0; i < n; i++) {
		check(compel_regs_get(calls[i].tid, &regs[i]) == 0, "registers");
		calls[i].regs = regs[i];
	}
	check(compel_call_threads(s, BLOB_TEST_test_tid, calls, n) == 0, "calls of the cured");
	for (unsigned int i = 0; i < n; i++)
		compel_regs_free(regs[i]);
	for (unsigned int i = 0; i < n; i++)
		check(calls[i].ret == calls[i].tid + (long)calls[i].arg, "result of the cured");
	check(compel_cure_threads(s, calls, n) == 0, "cure threads again");
}

static void try_rpc(struct compel_session *s)
{
	unsigned char in[5000], out[5000];
	struct compel_rpc rpc = {
		.command = 1, .in = in, .in_size = sizeof(in), .out = out, .out_size = sizeof(out)};

	memset(in, 0x31, sizeof(in));
	check(compel_rpc(s, &rpc) == sizeof(in) && rpc.out_size == sizeof(out), "rpc");
	for (size_t i = 0; i < sizeof(out); i++)
		check(out[i] == 0xce, "rpc's bytes");
	rpc = (struct compel_rpc){.command = 77};
	check(compel_rpc(s, &rpc) == -ENOSYS, "unknown command");
}

static void try_fds(struct compel_session *s)
{
	struct stat before, after;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int got[2];
	struct compel_rpc rpc = {
		.command = 2, .send_fds = &fd, .nr_send_fds = 1, .fds = got, .nr_fds = 2};

	check(compel_rpc(s, &rpc) == 0 && rpc.nr_fds == 2, "descriptors");
	check(fstat(fd, &before) == 0 && fstat(got[0], &after) == 0 &&
		      before.st_ino == after.st_ino && before.st_dev == after.st_dev,
	      "the descriptor that came back");
	check(fstat(got[1], &after) == 0 && S_ISCHR(after.st_mode), "the other descriptor");
	close(fd);
	close(got[0]);
	close(got[1]);
}

void inject_once(pid_t pid, int flags)
{
	struct compel_options options = {.log = flags & INJECT_UNSAFE ? NULL : print_line};
	struct compel_layout layout = {.threads = 5};
	struct compel_session *s;
	struct threads threads;

	threads_stop(pid, &threads);
	check(compel_session_new(pid, &options, &s) == 0, "session");
	check((flags & INJECT_UNSAFE) || compel_session_is_kill_safe(s), "not safe");
	try_syscalls(s, &threads);
	check(compel_blob_load(s, &blob_test, &layout) == 0, "load");
	try_calls(s, &threads);
	try_cured(s, &threads);
	check(compel_daemon_stop(s) == 0, "stop the loop");
	try_syscalls(s, &threads);
	try_rpc(s);
	try_fds(s);
	check(compel_cure(s) == 0, "cure");
	check(compel_cure(s) == 0, "cure again");
	compel_session_free(s);
	threads_detach(&threads, 0);
}
