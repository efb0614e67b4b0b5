/* SPDX-License-Identifier: GPL-2.0-only */
/* Action scripts: order, environment, what a failing one means, and that a cancelled run does not
 * wait. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "cr.h"
#include "engine/plan.h"
#include "engine/scripts.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/report.h"

struct fixture {
	struct cr cr;
	char dir[40];
	int dirfd;
	char paths_text[2][64];
	const char *paths[2];
	struct scripts scripts;
};

static void make_script(struct fixture *fix, int i, const char *body)
{
	char name[16], text[512];
	int fd;

	snprintf(name, sizeof(name), "script-%d", i);
	snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", body);
	fd = openat(fix->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
	snprintf(fix->paths_text[i], sizeof(fix->paths_text[i]), "%s/%s", fix->dir, name);
	fix->paths[i] = fix->paths_text[i];
	fix->scripts.paths = fix->paths;
	fix->scripts.n_paths = (size_t)i + 1;
}

static int set_up(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));

	strcpy(fix->dir, "/tmp/test-scripts.XXXXXX");
	if (!mkdtemp(fix->dir))
		return -1;
	fix->dirfd = open(fix->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fix->scripts.image_dir = fix->dirfd;
	fix->cr.report = report_new();
	fix->cr.log = log_new(fix->cr.report);
	assert_int_equal(log_open(fix->cr.log, fix->dirfd, "log"), 0);
	*state = fix;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fix = *state;
	char command[80];

	log_free(fix->cr.log);
	report_free(fix->cr.report);
	close(fix->dirfd);
	snprintf(command, sizeof(command), "rm -rf %s", fix->dir);
	if (system(command))
		return -1;
	free(fix);
	return 0;
}

static void check_file(const struct fixture *fix, const char *name, const char *expected)
{
	char text[512] = "";

	assert_true(fd_read_file_into(fix->dirfd, name, text, sizeof(text)) >= 0);
	assert_string_equal(text, expected);
}

static void test_order_and_environment(void **state)
{
	struct fixture *fix = *state;
	char expected[200];
	int status = 77;

	make_script(fix, 0, "echo first $# $CRTOOLS_SCRIPT_ACTION $CRTOOLS_INIT_PID");
	make_script(fix, 1,
		    "echo second $CRTOOLS_IMAGE_DIR ${CRTOOLS_INIT_PID-none} >&2\n"
		    "cd $CRTOOLS_IMAGE_DIR/. && touch here");
	fix->scripts.init_pid = 4711;
	assert_int_equal(scripts_run(&fix->cr, &fix->scripts, SCRIPT_PRE_DUMP, &status), 0);
	assert_int_equal(status, 77);
	assert_int_equal(faccessat(fix->dirfd, "here", F_OK, 0), 0);
	snprintf(expected, sizeof(expected), "second /proc/%d/fd/%d 4711\nfirst 0 pre-dump 4711\n",
		 getpid(), fix->dirfd);
	check_file(fix, "log", expected);
}

static void test_failure(void **state)
{
	struct fixture *fix = *state;
	int status = 0;

	make_script(fix, 0, "echo not run");
	make_script(fix, 1, "exit 3");
	assert_int_equal(scripts_run(&fix->cr, &fix->scripts, SCRIPT_POST_DUMP, &status), -ECHILD);
	assert_int_equal(status, 3);
	assert_non_null(report_cause_get(fix->cr.report));

	report_cause_clear(fix->cr.report);
	make_script(fix, 1, "kill -TERM $$");
	assert_int_equal(scripts_run(&fix->cr, &fix->scripts, SCRIPT_PRE_RESTORE, &status),
			 -ECHILD);
	assert_int_equal(status, 128 + SIGTERM);
}

static void test_failure_that_does_not_count(void **state)
{
	struct fixture *fix = *state;

	make_script(fix, 0, "touch $CRTOOLS_IMAGE_DIR/first");
	make_script(fix, 1, "exit 3");
	assert_int_equal(scripts_run(&fix->cr, &fix->scripts, SCRIPT_POST_RESUME, NULL), 0);
	assert_int_equal(faccessat(fix->dirfd, "first", F_OK, 0), 0);
	fix->paths[1] = "/no/such/script";
	assert_int_equal(scripts_run(&fix->cr, &fix->scripts, SCRIPT_PRE_RESUME, NULL), 0);
	assert_null(report_cause_get(fix->cr.report));
}

static void test_missing(void **state)
{
	struct fixture *fix = *state;
	int status = 0;

	make_script(fix, 0, "");
	fix->paths[0] = "/no/such/script";
	assert_int_equal(scripts_run(&fix->cr, &fix->scripts, SCRIPT_PRE_DUMP, &status), -ENOENT);
	assert_int_equal(status, 1);
	assert_non_null(strstr(report_cause_get(fix->cr.report)->text, "/no/such/script"));
}

static int step_script(struct cr *cr)
{
	return scripts_run(cr, &((struct fixture *)cr)->scripts, SCRIPT_PRE_DUMP, NULL);
}

static void test_cancelled(void **state)
{
	static const struct step steps[] = {{.name = "script", .run = step_script}};
	struct fixture *fix = *state;

	/* It asks the tool to stop, and would not end itself. */
	make_script(fix, 0,
		    "trap 'echo told; exit 0' TERM; kill -INT $PPID; while :; do sleep 0.01; done");
	assert_int_equal(plan_run(&fix->cr, &(struct plan){"p", steps, 1, NULL, NULL}), -ECANCELED);
	assert_string_equal(report_cause_get(fix->cr.report)->text, "interrupted by SIGINT");
}

static void test_names(void **state)
{
	assert_string_equal(script_action_name(SCRIPT_POST_SETUP_NAMESPACES),
			    "post-setup-namespaces");
	for (int i = 0; i < SCRIPT_ACTIONS; i++)
		assert_non_null(script_action_name(i));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_order_and_environment),
		TEST(test_failure),
		TEST(test_failure_that_does_not_count),
		TEST(test_missing),
		TEST(test_cancelled),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
