/* SPDX-License-Identifier: GPL-2.0-only */
/* The log: line format by level, messages kept until it is open, whole lines from many writers,
 * causes and remedies. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <regex.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "util/log.h"
#include "util/report.h"

struct fixture {
	struct cr cr;
	char dir[32];
	int dirfd;
};

static int set_up(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));

	strcpy(fix->dir, "/tmp/test-log.XXXXXX");
	if (!mkdtemp(fix->dir))
		return -1;
	fix->dirfd = open(fix->dir, O_RDONLY | O_DIRECTORY);
	fix->cr.report = report_new();
	fix->cr.log = log_new(fix->cr.report);
	*state = fix;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fix = *state;

	log_free(fix->cr.log);
	report_free(fix->cr.report);
	unlinkat(fix->dirfd, "log", 0);
	close(fix->dirfd);
	rmdir(fix->dir);
	free(fix);
	return 0;
}

static char *log_content(const struct fixture *fix)
{
	int fd = openat(fix->dirfd, "log", O_RDONLY);
	struct stat st;
	char *text;

	fstat(fd, &st);
	text = calloc(1, (size_t)st.st_size + 1);
	assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
	close(fd);
	return text;
}

static void assert_match(const char *text, const char *pattern)
{
	regex_t re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, text, 0, NULL, 0))
		fail_msg("\"%s\" does not match %s", text, pattern);
	regfree(&re);
}

static void test_format(void **state)
{
	struct fixture *fix = *state;
	struct cr *cr = &fix->cr;
	_cleanup_free_ char *low = NULL;
	_cleanup_free_ char *high = NULL;
	struct stat st;

	log_set_level(cr->log, LOG_WARN);
	assert_int_equal(log_open(cr->log, fix->dirfd, "log"), 0);
	fstatat(fix->dirfd, "log", &st, 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	log_msg(cr, "plain");
	log_info(cr, "not at this level");
	log_warn(cr, "pid %d: odd", 5);
	assert_int_equal(log_err(cr, -ENOENT, "file x: open"), -ENOENT);
	assert_int_equal(log_refuse(cr, -EINVAL, "no"), -EINVAL);
	low = log_content(fix);
	assert_match(low, "^plain\n"
			  "Warn  \\(test/unit/util/test-log.c:[0-9]+\\): pid 5: odd\n"
			  "Error \\(test/unit/util/test-log.c:[0-9]+\\): file x: open: No such "
			  "file or directory\n"
			  "Error \\(test/unit/util/test-log.c:[0-9]+\\): no\n$");

	log_set_level(cr->log, LOG_INFO);
	assert_int_equal(log_open(cr->log, fix->dirfd, "log"), 0);
	log_info(cr, "one");
	log_set_pid(cr->log, 42);
	log_warn(cr, "two");
	log_debug(cr, "not at this level");
	high = log_content(fix);
	assert_match(high, "^\\([0-9]{2}\\.[0-9]{6}\\) one\n"
			   "\\([0-9]{2}\\.[0-9]{6}\\)     42: Warn  \\([^)]*\\): two\n$");
}

static void test_early(void **state)
{
	struct fixture *fix = *state;
	struct cr *cr = &fix->cr;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(log_fd(cr->log), -1);
	log_debug(cr, "debug");
	log_info(cr, "info");
	log_warn(cr, "warn");
	for (int i = 0; i < 1000; i++)
		log_info(cr, "many %d", i);
	log_set_level(cr->log, LOG_INFO);
	assert_int_equal(log_open(cr->log, fix->dirfd, "log"), 0);
	text = log_content(fix);
	assert_null(strstr(text, "debug"));
	assert_match(text,
		     "^\\([^)]*\\) info\n\\([^)]*\\) Warn [^)]*\\): warn\n\\([^)]*\\) many 0\n");
	assert_match(text, "early messages were lost\n$");
}

static void test_silence(void **state)
{
	struct fixture *fix = *state;
	struct cr *cr = &fix->cr;
	_cleanup_free_ char *text = NULL;

	log_set_level(cr->log, 0);
	assert_int_equal(log_open(cr->log, fix->dirfd, "log"), 0);
	log_err(cr, -EIO, "x");
	log_msg(cr, "y");
	text = log_content(fix);
	assert_string_equal(text, "");
	assert_non_null(report_cause_get(cr->report));
}

static void test_long_line(void **state)
{
	struct fixture *fix = *state;
	struct cr *cr = &fix->cr;
	_cleanup_free_ char *text = NULL;
	char name[9000];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	log_open(cr->log, fix->dirfd, "log");
	log_warn(cr, "%s", name);
	log_err(cr, -EIO, "%s", name);
	text = log_content(fix);
	assert_int_equal(text[4095], '\n');
	assert_true(strlen(text) <= 2 * 4096);
	/* The reason is not what is cut off. */
	assert_match(text, "nnn: Input/output error\n$");
}

static void test_lines_stay_whole(void **state)
{
	struct fixture *fix = *state;
	struct cr *cr = &fix->cr;
	_cleanup_free_ char *text = NULL;
	char body[200];
	size_t n_lines = 0;

	memset(body, 'b', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	log_open(cr->log, fix->dirfd, "log");
	for (int i = 0; i < 4; i++) {
		if (fork())
			continue;
		log_set_pid(cr->log, i + 1);
		for (int line = 0; line < 500; line++)
			log_msg(cr, "%s", body);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	text = log_content(fix);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n_lines++)
		assert_int_equal(strlen(line), 8 + sizeof(body) - 1);
	assert_int_equal(n_lines, 4 * 500);
}

static void test_cause_and_remedy(void **state)
{
	struct fixture *fix = *state;
	struct cr *cr = &fix->cr;
	_cleanup_free_ char *text = NULL;

	log_open(cr->log, fix->dirfd, "log");
	report_set_stage(cr->report, "files");
	log_set_pid(cr->log, 9);
	log_err(cr, -EPERM, "socket 3: bind");
	log_remedy(cr, "run as %s", "root");
	log_err(cr, -EIO, "later");
	log_remedy(cr, "not of the first cause");
	assert_string_equal(report_cause_get(cr->report)->remedy, "run as root");
	assert_int_equal(report_cause_get(cr->report)->pid, 9);
	log_set_pid(cr->log, 0);
	log_failure(cr->log, "restore");
	text = log_content(fix);
	assert_match(text,
		     "\ncriu: restore failed \\(files\\): task 9: socket 3: bind: Operation not "
		     "permitted; run as root\n$");
}

static void test_no_log(void **state)
{
	struct cr cr = {0};

	log_info(&cr, "nowhere");
	log_debug(&cr, "nowhere");
	assert_int_equal(log_err(&cr, -EIO, "nowhere"), -EIO);
	log_remedy(&cr, "nowhere");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_format),
		TEST(test_early),
		TEST(test_silence),
		TEST(test_long_line),
		TEST(test_lines_stay_whole),
		TEST(test_cause_and_remedy),
		cmocka_unit_test(test_no_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
