/* SPDX-License-Identifier: GPL-2.0-only */
/* The report: the first cause of all processes, its remedy, and JSON that stays JSON whatever names
 * look like. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "util/report.h"

static void test_first_cause_wins(void **state)
{
	struct report *report = report_new();
	const struct report_cause *cause;

	assert_null(report_cause_get(report));
	report_set_stage(report, "freeze");
	assert_true(report_cause_set(report, -EPERM, 0, "pid 7: seize: Operation not permitted"));
	report_set_stage(report, "cure");
	assert_false(report_cause_set(report, -EIO, 0, "pid 8: no"));
	cause = report_cause_get(report);
	assert_int_equal(cause->err, -EPERM);
	assert_string_equal(cause->stage, "freeze");
	assert_string_equal(cause->object, "pid 7");
	assert_string_equal(cause->text, "pid 7: seize: Operation not permitted");
	report_cause_clear(report);
	assert_null(report_cause_get(report));
	assert_true(report_cause_set(report, -EIO, 3, "no colon"));
	assert_string_equal(report_cause_get(report)->object, "");
	assert_string_equal(report_cause_get(report)->stage, "cure");
	report_free(report);
}

static void test_across_processes(void **state)
{
	for (int round = 0; round < 20; round++) {
		struct report *report = report_new();
		int n_first = 0;

		for (int i = 1; i <= 8; i++) {
			char text[32];

			if (fork())
				continue;
			snprintf(text, sizeof(text), "pid %d: bad", i);
			_exit(report_cause_set(report, -i, i, text));
		}
		for (int i = 1; i <= 8; i++) {
			int status;

			wait(&status);
			n_first += WEXITSTATUS(status);
		}
		assert_int_equal(n_first, 1);
		assert_int_equal(report_cause_get(report)->err, -report_cause_get(report)->pid);
		report_free(report);
	}
}

static void test_long_texts(void **state)
{
	struct report *report = report_new();
	char text[2000];

	memset(text, 'x', sizeof(text));
	memcpy(text + 1000, ": ", 2);
	text[sizeof(text) - 1] = '\0';
	report_set_stage(report, text);
	assert_true(report_cause_set(report, -EIO, 0, text));
	report_remedy_set(report, text);
	report_plugin_set(report, text);
	report_step_add(report, text, 1, 2);
	assert_int_equal(strlen(report_cause_get(report)->text), 511);
	assert_int_equal(strlen(report_cause_get(report)->remedy), 255);
	report_free(report);
}

/* What python's json module makes of the report, or a failed test. */
static void check_json(struct report *report, int exit_code, const char *python)
{
	int fd = memfd_create("report", 0), status;
	char command[1024];

	assert_int_equal(report_write_json(report, fd, "du\"mp", exit_code), 0);
	lseek(fd, 0, SEEK_SET);
	snprintf(command, sizeof(command),
		 "python3 -c 'import json,sys; r=json.load(sys.stdin); assert %s, r' <&%d", python,
		 fd);
	status = system(command);
	assert_int_equal(status, 0);
	close(fd);
}

static void test_json(void **state)
{
	struct report *report = report_new();

	check_json(report, 0, "r[\"success\"] and r[\"steps\"] == [] and \"cause\" not in r");
	for (int i = 0; i < 200; i++)
		report_step_add(report, "st\nep", (uint64_t)i, 1ULL << 40);
	report_bytes_add(report, 7);
	report_bytes_add(report, 8);
	assert_int_equal(report_bytes_get(report), 15);
	report_cause_set(report, -ENOENT, 12, "file \"a\\b\t\x01\xff\xc3\xa4\xed\xa0\x80\": gone");
	report_remedy_set(report, "do it");
	check_json(report, 1,
		   "not r[\"success\"] and r[\"exit_code\"] == 1 and len(r[\"steps\"]) == 128 and "
		   "r[\"steps\"][3][\"us\"] == 3 and r[\"cause\"][\"class\"] == \"ENOENT\" and "
		   "r[\"cause\"][\"pid\"] == 12 and r[\"cause\"][\"plugin\"] is None and "
		   "r[\"cause\"][\"text\"] == "
		   "\"file \\\"a\\\\b\\t\\x01\\ufffd\\u00e4\\ufffd\\ufffd\\ufffd\\\": gone\"");
	report_free(report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_cause_wins),
		cmocka_unit_test(test_across_processes),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
