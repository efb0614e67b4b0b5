/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guardian, with real processes: a forked tool that is killed, its guardian that undoes; a
 * guardian that is killed, the tool that notices; both killed, and recover. Each kind of record is
 * tried. Nothing waits for a time, all for an event.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/engine.h"
#include "engine/guardian.h"
#include "engine/journal.h"
#include "engine/plan.h"
#include "engine/undo.h"
#include "run.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/report.h"

#define DEADLINE_MS 60000

struct fixture {
	struct cr cr;
	char dir[40];     /* for files */
	char run_dir[56]; /* for journals */
	int dirfd;
};

/* What a forked tool tells the test before it waits to be killed. */
struct tool {
	pid_t pid;
	pid_t guardian;
	int guardian_pidfd;
};

static int set_up(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));

	strcpy(fix->dir, "/tmp/test-guardian.XXXXXX");
	if (!mkdtemp(fix->dir))
		return -1;
	snprintf(fix->run_dir, sizeof(fix->run_dir), "%s/run", fix->dir);
	setenv("CRIU_RUN_DIR", fix->run_dir, 1);
	fix->dirfd = open(fix->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fix->cr.report = report_new();
	fix->cr.log = log_new(fix->cr.report);
	log_set_level(fix->cr.log, 0);
	*state = fix;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fix = *state;
	char command[80];

	guardian_reap(&fix->cr);
	log_free(fix->cr.log);
	report_free(fix->cr.report);
	close(fix->dirfd);
	snprintf(command, sizeof(command), "rm -rf %s", fix->dir);
	if (system(command))
		return -1;
	free(fix);
	unsetenv("CRIU_RUN_DIR");
	return 0;
}

static bool has_file(const struct fixture *fix, const char *name)
{
	return faccessat(fix->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_file(const struct fixture *fix, const char *name, const char *text)
{
	int fd = openat(fix->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static size_t journal_count(const struct fixture *fix)
{
	DIR *dir = opendir(fix->run_dir);
	struct dirent *entry;
	size_t n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void wait_gone(int pidfd)
{
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

	assert_int_equal(poll(&poll_fd, 1, DEADLINE_MS), 1);
}

/* Forks a tool that starts its guardian, does work(fix), tells and waits to be killed. */
static struct tool tool_start(struct fixture *fix, int (*work)(struct fixture *fix))
{
	struct tool tool;
	int ready[2];

	/* The guardians of killed tools come to us, so that they can be waited for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	tool.pid = fork();
	assert_true(tool.pid >= 0);
	if (tool.pid == 0) {
		setpgid(0, 0);
		tool.guardian = guardian_start(&fix->cr) ? 0 : guardian_pid(&fix->cr);
		if (!tool.guardian || work(fix) < 0)
			_exit(1);
		if (write(ready[1], &tool.guardian, sizeof(tool.guardian)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &tool.guardian, sizeof(tool.guardian)),
			 sizeof(tool.guardian));
	close(ready[0]);
	tool.guardian_pidfd = pidfd_new(tool.guardian);
	assert_true(tool.guardian_pidfd >= 0);
	return tool;
}

static void tool_kill(const struct tool *tool)
{
	/* The whole process group: the guardian must have left it, which it does at its own pace.
	 */
	while (getsid(tool->guardian) != tool->guardian)
		sched_yield();
	assert_int_equal(kill(-tool->pid, SIGKILL), 0);
	assert_int_equal(waitpid(tool->pid, NULL, 0), tool->pid);
	wait_gone(tool->guardian_pidfd);
	close(tool->guardian_pidfd);
	waitpid(tool->guardian, NULL, __WALL);
}

static void tool_and_guardian_kill(const struct tool *tool)
{
	/* Stopped first, so that neither sees the other's end. */
	kill(tool->guardian, SIGSTOP);
	kill(tool->pid, SIGKILL);
	kill(tool->guardian, SIGKILL);
	assert_int_equal(waitpid(tool->pid, NULL, 0), tool->pid);
	wait_gone(tool->guardian_pidfd);
	close(tool->guardian_pidfd);
	waitpid(tool->guardian, NULL, __WALL);
}

/* Files, an image directory, a file that is written, and things that are to stay. */
static int work_files(struct fixture *fix)
{
	int sub, id;

	make_file(fix, "old.txt", "old");
	make_file(fix, "core-1.img", "of an older dump");
	make_file(fix, "state", "running");
	/* File times are no finer than a tick. */
	usleep(20000);
	mkdirat(fix->dirfd, "sub", 0700);
	sub = openat(fix->dirfd, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (undo_add_images(&fix->cr, fix->dirfd) <= 0 ||
	    undo_add_remove(&fix->cr, fix->dirfd, "made") <= 0 ||
	    undo_add_remove(&fix->cr, sub, "made-in-sub") <= 0 ||
	    undo_add_remove(&fix->cr, fix->dirfd, "never-made") <= 0 ||
	    undo_add_remove(&fix->cr, fix->dirfd, "made-dir") <= 0 ||
	    undo_add_write(&fix->cr, fix->dirfd, "state", "thawed") <= 0)
		return -1;
	make_file(fix, "pages-1.img", "p");
	make_file(fix, "pagemap-77.img", "p");
	make_file(fix, "notes.txt", "not ours");
	make_file(fix, "made", "m");
	make_file(fix, "sub/made-in-sub", "m");
	mkdirat(fix->dirfd, "made-dir", 0700);
	make_file(fix, "stays", "s");
	id = undo_add_remove(&fix->cr, fix->dirfd, "stays");
	undo_forget(&fix->cr, id);
	return id > 0 ? 0 : -1;
}

static void check_files_undone(const struct fixture *fix)
{
	char text[16] = "";

	assert_false(has_file(fix, "pages-1.img"));
	assert_false(has_file(fix, "pagemap-77.img"));
	assert_false(has_file(fix, "made"));
	assert_false(has_file(fix, "sub/made-in-sub"));
	assert_false(has_file(fix, "made-dir"));
	assert_true(has_file(fix, "notes.txt"));
	assert_true(has_file(fix, "old.txt"));
	assert_true(has_file(fix, "core-1.img"));
	assert_true(has_file(fix, "stays"));
	fd_read_file_into(fix->dirfd, "state", text, sizeof(text));
	assert_memory_equal(text, "thawed", 6);
	assert_int_equal(journal_count(fix), 0);
}

static void test_tool_killed(void **state)
{
	struct fixture *fix = *state;
	struct tool tool = tool_start(fix, work_files);

	assert_true(has_file(fix, "made"));
	assert_int_equal(journal_count(fix), 1);
	tool_kill(&tool);
	check_files_undone(fix);
}

static void test_both_killed(void **state)
{
	struct fixture *fix = *state;
	struct tool tool = tool_start(fix, work_files);

	/* While they live, recover leaves them alone. */
	assert_int_equal(engine_recover(&fix->cr), 0);
	assert_true(has_file(fix, "made"));
	tool_and_guardian_kill(&tool);
	assert_true(has_file(fix, "made"));
	assert_int_equal(journal_count(fix), 1);
	assert_int_equal(engine_recover(&fix->cr), 0);
	check_files_undone(fix);
	assert_int_equal(engine_recover(&fix->cr), 0);
}

static void test_recover_torn(void **state)
{
	struct fixture *fix = *state;
	struct tool tool = tool_start(fix, work_files);
	char command[128];

	tool_and_guardian_kill(&tool);
	snprintf(command, sizeof(command), "for f in %s/*.journal; do printf torn >>$f; done",
		 fix->run_dir);
	assert_int_equal(system(command), 0);
	/* One that was killed before its header was written. */
	make_file(fix, "run/1-1.journal", "");
	assert_int_equal(engine_recover(&fix->cr), 0);
	check_files_undone(fix);
}

static void test_committed(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(guardian_start(&fix->cr), 0);
	make_file(fix, "made", "m");
	assert_true(undo_add_remove(&fix->cr, fix->dirfd, "made") > 0);
	guardian_commit(&fix->cr);
	assert_int_equal(guardian_pid(&fix->cr), 0);
	assert_int_equal(undo_add_remove(&fix->cr, fix->dirfd, "later"), 0);
	assert_int_equal(guardian_check(&fix->cr), 0);
	guardian_reap(&fix->cr);
	assert_null(fix->cr.guardian);
	assert_true(has_file(fix, "made"));
	assert_int_equal(journal_count(fix), 0);
	/* Nothing of it is left, not even to be waited for. */
	assert_int_equal(waitpid(-1, NULL, __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_undone_by_tool(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(guardian_start(&fix->cr), 0);
	assert_int_equal(work_files(fix), 0);
	guardian_undo(&fix->cr);
	guardian_reap(&fix->cr);
	assert_null(fix->cr.guardian);
	check_files_undone(fix);
	assert_int_equal(waitpid(-1, NULL, __WALL), -1);
}

/* The inventory is there: the dump is whole, whatever became of the tool. */
static int work_complete_dump(struct fixture *fix)
{
	if (undo_add_images(&fix->cr, fix->dirfd) <= 0)
		return -1;
	make_file(fix, "pages-1.img", "p");
	make_file(fix, "inventory.img", "i");
	return 0;
}

static void test_complete_dump_stays(void **state)
{
	struct fixture *fix = *state;
	struct tool tool = tool_start(fix, work_complete_dump);

	tool_kill(&tool);
	assert_true(has_file(fix, "pages-1.img"));
	assert_int_equal(journal_count(fix), 0);
}

static void test_guardian_killed(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(guardian_start(&fix->cr), 0);
	assert_true(undo_add_remove(&fix->cr, fix->dirfd, "made") > 0);
	make_file(fix, "made", "m");
	assert_int_equal(guardian_check(&fix->cr), 0);
	kill(guardian_pid(&fix->cr), SIGKILL);
	{
		_cleanup_close_ int pidfd = pidfd_new(guardian_pid(&fix->cr));

		wait_gone(pidfd);
	}
	assert_int_equal(guardian_check(&fix->cr), -EPIPE);
	assert_int_equal(undo_add_remove(&fix->cr, fix->dirfd, "other"), -EPIPE);
	guardian_undo(&fix->cr);
	guardian_reap(&fix->cr);
	assert_false(has_file(fix, "made"));
	assert_int_equal(journal_count(fix), 0);
}

/* A child that lives on holds copies of all descriptors; the guardian must not wait for it. */
static int work_child(struct fixture *fix)
{
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		for (;;)
			pause();
	}
	if (undo_add_remove(&fix->cr, fix->dirfd, "made") <= 0 ||
	    undo_add_signal(&fix->cr, pid, SIGKILL) <= 0)
		return -1;
	make_file(fix, "made", "m");
	return 0;
}

static void test_child_holds_descriptors(void **state)
{
	struct fixture *fix = *state;
	struct tool tool = tool_start(fix, work_child);

	tool_kill(&tool);
	assert_false(has_file(fix, "made"));
	/* The child, which comes to us, was killed. */
	assert_true(waitpid(-1, NULL, 0) > 0);
}

/* A tree of three levels, with sessions of their own, and two processes at each. */
static void grow(int levels, int told)
{
	for (int i = 0; levels && i < 2; i++) {
		if (fork() == 0) {
			setsid();
			levels--;
			i = -1;
		}
	}
	if (write(told, "x", 1) < 0)
		_exit(1);
	for (;;)
		pause();
}

static int work_tree(struct fixture *fix)
{
	int told[2];
	char bytes[15];
	size_t n = 0;
	pid_t pid;

	if (pipe(told) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		/* Out of the process group that is killed with the tool. */
		setsid();
		grow(3, told[1]);
	}
	while (n < sizeof(bytes)) {
		ssize_t got = read(told[0], bytes + n, sizeof(bytes) - n);

		if (got <= 0)
			return -1;
		n += (size_t)got;
	}
	return undo_add_kill_tree(&fix->cr, pid) > 0 ? 0 : -1;
}

static void test_kill_tree(void **state)
{
	struct fixture *fix = *state;
	struct tool tool = tool_start(fix, work_tree);
	int n = 0, status;

	tool_kill(&tool);
	assert_int_equal(journal_count(fix), 0);
	/* Those whose parents were killed first have come to us. */
	while (waitpid(-1, &status, __WALL) > 0) {
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		n++;
	}
	assert_true(n > 0);
}

static void test_signal_checks_start(void **state)
{
	pid_t pid = fork();
	char pid_text[16], start_text[24];
	struct journal_record record = {
		.kind = "signal", .fields = {pid_text, start_text, "9"}, .n_fields = 3};
	uint64_t start;

	if (pid == 0)
		for (;;)
			pause();
	start = journal_starttime(pid);
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	snprintf(start_text, sizeof(start_text), "%llu", (unsigned long long)start + 1);
	assert_int_equal(undo_record(NULL, true, &record), 0);
	snprintf(start_text, sizeof(start_text), "%llu", (unsigned long long)start);
	assert_int_equal(undo_record(NULL, false, &record), 0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	assert_int_equal(undo_record(NULL, true, &record), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(undo_record(NULL, true, &record), 0);
}

static void test_bad_records(void **state)
{
	struct fixture *fix = *state;
	struct journal_record unknown = {.kind = "no-such-kind"};
	struct journal_record few = {.kind = "remove", .fields = {"/tmp"}, .n_fields = 1};
	struct journal_record moved = {
		.kind = "remove", .fields = {fix->dir, "1:1", "made"}, .n_fields = 3};
	struct journal_record gone = {
		.kind = "remove", .fields = {"/no/such/directory", "1:1", "x"}, .n_fields = 3};

	make_file(fix, "made", "m");
	assert_int_equal(undo_record(NULL, true, &unknown), -EOPNOTSUPP);
	assert_int_equal(undo_record(NULL, true, &few), -EBADMSG);
	assert_int_equal(undo_record(NULL, true, &moved), -ESTALE);
	assert_int_equal(undo_record(NULL, true, &gone), UNDO_NO_DIR);
	assert_true(has_file(fix, "made"));
}

/* What cannot be undone stays in the journal, the rest does not wait for it. */
static int work_impossible(struct fixture *fix)
{
	const char *fields[] = {"x"};

	if (undo_add_remove(&fix->cr, fix->dirfd, "made") <= 0 ||
	    undo_add(&fix->cr, "no-such-kind", fields, 1) <= 0)
		return -1;
	make_file(fix, "made", "m");
	return 0;
}

static void test_what_fails_stays(void **state)
{
	struct fixture *fix = *state;
	struct tool tool = tool_start(fix, work_impossible);

	tool_kill(&tool);
	assert_false(has_file(fix, "made"));
	assert_int_equal(journal_count(fix), 1);
	assert_int_equal(engine_recover(&fix->cr), -EIO);
	assert_int_equal(journal_count(fix), 1);
}

static int work_mount(struct fixture *fix)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/mnt", fix->dir);
	if (mkdir(path, 0700) < 0 || undo_add_remove(&fix->cr, fix->dirfd, "mnt") <= 0 ||
	    undo_add_umount(&fix->cr, path) <= 0 || mount("none", path, "tmpfs", 0, NULL) < 0 ||
	    mount("none", path, "tmpfs", 0, NULL) < 0)
		return -1;
	return 0;
}

static void test_mount(void **state)
{
	struct fixture *fix = *state;
	struct tool tool;

	if (geteuid() != 0)
		skip();
	tool = tool_start(fix, work_mount);
	tool_kill(&tool);
	assert_false(has_file(fix, "mnt"));
	assert_int_equal(journal_count(fix), 0);
}

static int step_work(struct cr *cr)
{
	return work_files((struct fixture *)cr);
}

static int step_later(struct cr *cr)
{
	return 0;
}

static const struct step guarded_steps[] = {
	{.name = "guardian", .run = guardian_start, .undo = guardian_undo, .done = guardian_commit},
	{.name = "work", .run = step_work},
	{.name = "later", .run = step_later},
};

/* The whole: a plan that fails, or is killed, at its last step. */
static void test_in_a_plan(void **state)
{
	struct fixture *fix = *state;
	const struct plan plan = {.name = "guarded", .steps = guarded_steps, .n_steps = 3};
	pid_t pid;

	setenv("CRIU_FAIL_STEP", "later", 1);
	assert_int_equal(plan_run(&fix->cr, &plan), -EIO);
	guardian_reap(&fix->cr);
	check_files_undone(fix);

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setenv("CRIU_FAIL_STEP", "later:kill", 1);
	pid = fork();
	if (pid == 0)
		_exit(plan_run(&fix->cr, &plan) ? 1 : 0);
	waitpid(pid, NULL, 0);
	waitpid(-1, NULL, __WALL);
	check_files_undone(fix);

	unsetenv("CRIU_FAIL_STEP");
	assert_int_equal(plan_run(&fix->cr, &plan), 0);
	assert_true(has_file(fix, "pages-1.img"));
	assert_int_equal(journal_count(fix), 0);
}

/* No place on disk: the guardian does without. */
static void test_no_run_directory(void **state)
{
	struct fixture *fix = *state;
	struct tool tool;

	make_file(fix, "run", "not a directory");
	tool = tool_start(fix, work_files);
	tool_kill(&tool);
	assert_false(has_file(fix, "made"));
	unlinkat(fix->dirfd, "run", 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_tool_killed),
		TEST(test_both_killed),
		TEST(test_recover_torn),
		TEST(test_committed),
		TEST(test_undone_by_tool),
		TEST(test_complete_dump_stays),
		TEST(test_guardian_killed),
		TEST(test_child_holds_descriptors),
		TEST(test_kill_tree),
		TEST(test_signal_checks_start),
		TEST(test_bad_records),
		TEST(test_what_fails_stays),
		TEST(test_mount),
		TEST(test_in_a_plan),
		TEST(test_no_run_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
