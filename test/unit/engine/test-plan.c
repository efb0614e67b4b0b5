/* SPDX-License-Identifier: GPL-2.0-only */
/* The plan runner: order of steps, undo and done, faults by name, cancellation by signals. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cr.h"
#include "engine/plan.h"
#include "util/log.h"
#include "util/report.h"

/* The steps write what they do here; cr->tree is free for the test. */
#define TRACE(cr) ((char *)(cr)->tree)

static int step_a(struct cr *cr)
{
	strcat(TRACE(cr), "a");
	return 0;
}

static int step_b(struct cr *cr)
{
	strcat(TRACE(cr), "b");
	return fault_hit(cr, "point");
}

static int step_c(struct cr *cr)
{
	strcat(TRACE(cr), "c");
	report_bytes_add(cr->report, 4096);
	return 0;
}

static int step_fail(struct cr *cr)
{
	strcat(TRACE(cr), "f");
	return log_refuse(cr, -EBADF, "object: bad");
}

static int step_silent(struct cr *cr)
{
	return -ENOSPC;
}

static int step_raise(struct cr *cr)
{
	assert_false(plan_is_cancelled(cr));
	raise(SIGTERM);
	assert_true(plan_is_cancelled(cr));
	assert_int_equal(plan_wait_fd(cr, -1, POLLIN, -1), -ECANCELED);
	return -ECANCELED;
}

static int step_raise_and_go_on(struct cr *cr)
{
	raise(SIGINT);
	strcat(TRACE(cr), "r");
	return 0;
}

static void undo_a(struct cr *cr)
{
	strcat(TRACE(cr), "A");
}

static void undo_b(struct cr *cr)
{
	strcat(TRACE(cr), "B");
}

static void undo_c(struct cr *cr)
{
	strcat(TRACE(cr), "C");
}

/* A second signal while undoing changes nothing. */
static void undo_raise(struct cr *cr)
{
	raise(SIGINT);
	assert_false(plan_is_cancelled(cr));
	assert_int_equal(plan_wait_fd(cr, -1, POLLIN, 1), 0);
	strcat(TRACE(cr), "U");
}

static void done_a(struct cr *cr)
{
	strcat(TRACE(cr), "1");
}

static void done_c(struct cr *cr)
{
	strcat(TRACE(cr), "3");
}

static const char *const points[] = {"point", NULL};

static const struct step good_steps[] = {
	{.name = "a", .run = step_a, .undo = undo_a, .done = done_a},
	{.name = "b", .run = step_b, .undo = undo_b},
	{.name = "c", .run = step_c, .undo = undo_c, .done = done_c},
};

static const struct plan good_plan = {"good", good_steps, 3, points, NULL};

struct fixture {
	struct cr cr;
	char trace[64];
};

static int set_up(void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));

	fix->cr.report = report_new();
	fix->cr.log = log_new(fix->cr.report);
	log_set_level(fix->cr.log, 0);
	fix->cr.tree = (struct tree *)fix->trace;
	unsetenv("CRIU_FAIL_STEP");
	*state = fix;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fix = *state;

	unsetenv("CRIU_FAIL_STEP");
	log_free(fix->cr.log);
	report_free(fix->cr.report);
	free(fix);
	return 0;
}

static void check(struct fixture *fix, const struct plan *plan, int err, const char *trace,
		  const char *cause, const char *stage)
{
	const struct report_cause *got;

	fix->trace[0] = '\0';
	report_cause_clear(fix->cr.report);
	assert_int_equal(plan_run(&fix->cr, plan), err);
	assert_string_equal(fix->trace, trace);
	assert_null(fix->cr.run);
	got = report_cause_get(fix->cr.report);
	if (!cause) {
		assert_null(got);
		return;
	}
	assert_non_null(got);
	assert_non_null(strstr(got->text, cause));
	assert_string_equal(got->stage, stage);
}

static void test_success(void **state)
{
	check(*state, &good_plan, 0, "abc31", NULL, NULL);
}

static void test_undo_order(void **state)
{
	const struct step steps[] = {good_steps[0],
				     good_steps[1],
				     {.name = "f", .run = step_fail, .undo = undo_c},
				     good_steps[2]};
	const struct step silent[] = {good_steps[0], {.name = "s", .run = step_silent}};

	check(*state, &(struct plan){"p", steps, 4, NULL, NULL}, -EBADF, "abfCBA", "object: bad",
	      "f");
	check(*state, &(struct plan){"p", silent, 2, NULL, NULL}, -ENOSPC, "aA", "step s: No space",
	      "s");
}

static void test_faults(void **state)
{
	static const struct {
		const char *name, *trace, *stage;
	} cases[] = {
		{"a", "", "a"},           {"a:after", "aA", "a"},   {"b", "aA", "b"},
		{"b:after", "abBA", "b"}, {"c", "abBA", "c"},       {"c:after", "abcCBA", "c"},
		{"point", "abBA", "b"},   {"c,a:after", "aA", "a"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setenv("CRIU_FAIL_STEP", cases[i].name, 1);
		check(*state, &good_plan, -EIO, cases[i].trace, "CRIU_FAIL_STEP", cases[i].stage);
	}
}

static void test_fault_names(void **state)
{
	static const char *const bad[] = {"d", "a:before", "point:after", ":after", "a,d"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("CRIU_FAIL_STEP", bad[i], 1);
		check(*state, &good_plan, -EINVAL, "", "CRIU_FAIL_STEP", "");
	}
	setenv("CRIU_FAIL_STEP", "no", 1);
	check(*state, &good_plan, -EINVAL, "", "good has no step \"no\"; it has: a, b, c, point",
	      "");
}

static void test_fault_kill(void **state)
{
	static const char *const names[] = {"a:kill", "b:kill-after", "point:kill"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			setenv("CRIU_FAIL_STEP", names[i], 1);
			plan_run(&((struct fixture *)*state)->cr, &good_plan);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
}

static void test_cancel(void **state)
{
	const struct step steps[] = {{.name = "a", .run = step_a, .undo = undo_raise},
				     {.name = "r", .run = step_raise, .undo = undo_b},
				     good_steps[2]};
	const struct step between[] = {
		good_steps[0], {.name = "r", .run = step_raise_and_go_on}, good_steps[2]};

	check(*state, &(struct plan){"p", steps, 3, NULL, NULL}, -ECANCELED, "aBU",
	      "interrupted by SIGTERM", "r");
	check(*state, &(struct plan){"p", between, 3, NULL, NULL}, -ECANCELED, "arA",
	      "interrupted by SIGINT", "c");
	check(*state, &(struct plan){"p", between, 2, NULL, NULL}, -ECANCELED, "arA",
	      "interrupted by SIGINT", "r");
}

static void test_final(void **state)
{
	const struct step steps[] = {good_steps[0],
				     {.name = "r", .run = step_raise_and_go_on, .is_final = true},
				     good_steps[2]};

	check(*state, &(struct plan){"p", steps, 3, NULL, NULL}, 0, "arc31", NULL, NULL);
}

static int step_child(struct cr *cr)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		/* A task that is being restored: its signal stops the run of the tool, too. */
		kill(getpid(), SIGINT);
		_exit(plan_is_cancelled(cr) ? 0 : 1);
	}
	close(ready[1]);
	assert_int_equal(plan_wait_fd(cr, plan_cancel_fd(cr), POLLIN, 60000), -ECANCELED);
	assert_int_equal(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	waitpid(pid, NULL, 0);
	return -ECANCELED;
}

static void test_cancel_from_child(void **state)
{
	const struct step steps[] = {{.name = "child", .run = step_child}};

	check(*state, &(struct plan){"p", steps, 1, NULL, NULL}, -ECANCELED, "",
	      "interrupted by SIGINT", "child");
}

static int step_dispositions(struct cr *cr)
{
	struct sigaction action;

	sigaction(SIGPIPE, NULL, &action);
	assert_ptr_equal(action.sa_handler, SIG_IGN);
	sigaction(SIGHUP, NULL, &action);
	assert_ptr_equal(action.sa_handler, SIG_IGN);
	raise(SIGHUP);
	assert_false(plan_is_cancelled(cr));
	return 0;
}

static void test_dispositions(void **state)
{
	const struct step steps[] = {{.name = "s", .run = step_dispositions}};
	struct sigaction action;
	sigset_t mask;

	/* As nohup has it. */
	signal(SIGHUP, SIG_IGN);
	check(*state, &(struct plan){"p", steps, 1, NULL, NULL}, 0, "", NULL, NULL);
	signal(SIGHUP, SIG_DFL);
	for (int i = 0; i < 3; i++) {
		sigaction((int[]){SIGINT, SIGTERM, SIGPIPE}[i], NULL, &action);
		assert_ptr_equal(action.sa_handler, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, NULL, &mask);
	assert_false(sigismember(&mask, SIGINT));
}

static void test_outside_of_a_run(void **state)
{
	struct cr cr = {0};

	assert_false(plan_is_cancelled(&cr));
	assert_int_equal(fault_hit(&cr, "x"), 0);
	assert_int_equal(plan_cancel_fd(&cr), -1);
	assert_int_equal(plan_wait_fd(&cr, -1, POLLIN, 1), 0);
	assert_int_equal(undo_add_remove(&cr, -1, "x"), 0);
	assert_int_equal(undo_add_signal(&cr, 1, SIGCONT), 0);
	undo_forget(&cr, 0);
	progress_set_total(&cr, 1);
	progress_add(&cr, 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_success),      TEST(test_undo_order),
		TEST(test_faults),       TEST(test_fault_names),
		TEST(test_fault_kill),   TEST(test_cancel),
		TEST(test_final),        TEST(test_cancel_from_child),
		TEST(test_dispositions), TEST(test_outside_of_a_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
