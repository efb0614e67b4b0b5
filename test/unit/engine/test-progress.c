/* SPDX-License-Identifier: GPL-2.0-only */
/* Progress: a line on a terminal once a step takes over a second, cleared at its end; nothing
 * elsewhere. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "cr.h"
#include "engine/plan.h"
#include "util/log.h"
#include "util/report.h"
#include "util/time.h"

/* Where the terminal's output can be read, for the step that waits for it. */
static int output_fd;

/* Works until the line is there; a second is over by then, or, where none comes, after that. */
static int step_long(struct cr *cr)
{
	struct pollfd output = {.fd = output_fd, .events = POLLIN};
	uint64_t start = time_now_us(),
		 limit = start + (isatty(STDERR_FILENO) ? 60000000 : 1300000);

	progress_set_total(cr, 200);
	progress_add(cr, 50);
	while (time_now_us() < limit && poll(&output, 1, 0) == 0) {
		plan_wait_fd(cr, -1, POLLIN, 20);
		progress_add(cr, 0);
	}
	progress_add(cr, 0);
	return time_now_us() - start >= 1000000 ? 0 : -EAGAIN;
}

static int step_short(struct cr *cr)
{
	progress_add(cr, 50);
	return 0;
}

static const struct step steps[] = {
	{.name = "short", .run = step_short},
	{.name = "long", .run = step_long},
};

/* Reads until the text ends with end: a terminal passes on what was written some time later. */
static void read_until(int fd, const char *end, char *ret, size_t size)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	size_t at = 0;

	ret[0] = '\0';
	while (at < strlen(end) || strcmp(ret + at - strlen(end), end) != 0) {
		ssize_t n;

		assert_int_equal(poll(&poll_fd, 1, 60000), 1);
		n = read(fd, ret + at, size - 1 - at);
		assert_true(n > 0);
		at += (size_t)n;
		ret[at] = '\0';
	}
}

static void run_on(int stderr_fd, int read_fd)
{
	struct cr cr = {.report = report_new()};
	int saved = dup(STDERR_FILENO), err;

	cr.log = log_new(cr.report);
	log_open(cr.log, AT_FDCWD, "/dev/null");
	fflush(stderr);
	output_fd = read_fd;
	dup2(stderr_fd, STDERR_FILENO);
	err = plan_run(&cr, &(struct plan){"p", steps, 2, NULL, NULL});
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(err, 0);
	log_free(cr.log);
	report_free(cr.report);
}

static void test_terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), slave;
	char text[1024];

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	run_on(slave, master);
	read_until(master, "\r\033[K", text, sizeof(text));
	assert_null(strstr(text, "short"));
	assert_int_equal(strncmp(text, "\rlong: 25%, ", 12), 0);
	assert_non_null(strstr(text, " s\033[K"));
	close(slave);
	close(master);
}

static void test_no_terminal(void **state)
{
	int ends[2];
	char text[64];

	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	run_on(ends[1], ends[0]);
	assert_int_equal(read(ends[0], text, sizeof(text)), -1);
	assert_int_equal(errno, EAGAIN);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_no_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
