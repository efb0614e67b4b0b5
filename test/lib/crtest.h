/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of test/cr share: the talk with the harness (test/lib/program.py), and checks
 *that say what differs.
 *
 *	int main(int argc, char **argv)
 *	{
 *		crtest_begin(argc, argv);
 *		int fd = eventfd(7, 0);                     // make the thing
 *		crtest_wait();                              // dumped and restored in here
 *		crtest_equal("counter", read_counter(fd), 7);
 *		return crtest_end();
 *	}
 *
 * The program runs in a session of its own with /dev/null as standard input and files as output;
 *argv[1] is an empty folder, its current directory, for whatever it creates. In it
 *
 *	result    "ready" once crtest_wait() is reached, "PASS" or "FAIL: what, what" at the end, or
 *"SKIP: why" trigger   appears when the program is to check itself and exit
 *
 * It exits with 0, 1, or 77 if it skips. Only the process that called crtest_begin() talks to the
 *harness; what children find out they report by their exit status (crtest_child_status()).
 */
#ifndef CRTEST_H
#define CRTEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CRTEST_UNUSED __attribute__((unused))

static char crtest_folder[4096];
static char crtest_verdict[4096];

/* The name of a file in the program's folder; good until the fourth call after. */
static CRTEST_UNUSED const char *crtest_path(const char *name)
{
	static char ring[4][4400];
	static unsigned int at;
	char *path = ring[at++ % 4];

	snprintf(path, sizeof(ring[0]), "%s/%s", crtest_folder, name);
	return path;
}

/* By way of a new file and a rename, so that nobody reads half of it. */
static void crtest_result(const char *text)
{
	int fd = open(crtest_path("result.new"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0 ||
	    rename(crtest_path("result.new"), crtest_path("result")) < 0)
		_exit(3);
}

/* The test cannot be run here. */
static CRTEST_UNUSED __attribute__((format(printf, 1, 2), noreturn)) void
crtest_skip(const char *format, ...)
{
	char text[1024] = "SKIP: ";
	va_list args;

	va_start(args, format);
	vsnprintf(text + 6, sizeof(text) - 6, format, args);
	va_end(args);
	crtest_result(text);
	_exit(77);
}

/* Setting up went wrong: nothing has been tested. */
static CRTEST_UNUSED __attribute__((format(printf, 1, 2), noreturn)) void
crtest_broken(const char *format, ...)
{
	int err = errno;
	char text[1024] = "FAIL: set-up: ";
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, sizeof(text) - len, format, args);
	va_end(args);
	len = strlen(text);
	snprintf(text + len, sizeof(text) - len, ": %s", strerror(err));
	crtest_result(text);
	_exit(1);
}

/* A call that must succeed while setting up; the value of the call. */
#define crtest_must(call)                           \
	({                                          \
		__typeof__(call) value_ = (call);   \
		if ((long)value_ == -1)             \
			crtest_broken("%s", #call); \
		value_;                             \
	})

static CRTEST_UNUSED void crtest_begin(int argc, char **argv)
{
	if (argc < 2 || argv[1][0] != '/') {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		_exit(2);
	}
	snprintf(crtest_folder, sizeof(crtest_folder), "%s", argv[1]);
}

static void crtest_sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static CRTEST_UNUSED bool crtest_is_triggered(void)
{
	return access(crtest_path("trigger"), F_OK) == 0;
}

/* Everything is set up: returns once the harness wants the checks, after a dump and a restore or
 * several. */
static CRTEST_UNUSED void crtest_wait(void)
{
	crtest_result("ready");
	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
}

/* The same for a program that is busy meanwhile: says "ready", then goes on until
 * crtest_is_triggered(). */
static CRTEST_UNUSED void crtest_ready(void)
{
	crtest_result("ready");
}

/* Something is not as it was. */
static __attribute__((format(printf, 1, 2))) void crtest_fail(const char *format, ...)
{
	size_t len = strlen(crtest_verdict);
	va_list args;

	if (len && len < sizeof(crtest_verdict) - 3)
		len += snprintf(crtest_verdict + len, sizeof(crtest_verdict) - len, ", ");
	va_start(args, format);
	vsnprintf(crtest_verdict + len, sizeof(crtest_verdict) - len, format, args);
	va_end(args);
}

static CRTEST_UNUSED void crtest_equal(const char *what, long long now, long long was)
{
	if (now != was)
		crtest_fail("%s is %lld (%#llx), was %lld (%#llx)", what, now, now, was, was);
}

static CRTEST_UNUSED void crtest_same_text(const char *what, const char *now, const char *was)
{
	if (strcmp(now, was) != 0)
		crtest_fail("%s is '%s', was '%s'", what, now, was);
}

static CRTEST_UNUSED void crtest_same_bytes(const char *what, const void *now, const void *was,
					    size_t size)
{
	const unsigned char *a = now, *b = was;

	for (size_t i = 0; i < size; i++)
		if (a[i] != b[i]) {
			crtest_fail("%s differs from byte %zu on (%#x, was %#x)", what, i, a[i],
				    b[i]);
			return;
		}
}

#define crtest_true(condition)                                                        \
	do {                                                                          \
		if (!(condition))                                                     \
			crtest_fail("not true in line %d: %s", __LINE__, #condition); \
	} while (0)

/* What a child is to exit with: 0 if it found nothing wrong. Its findings go to standard error. */
static CRTEST_UNUSED int crtest_child_status(void)
{
	if (*crtest_verdict)
		fprintf(stderr, "child %d: %s\n", getpid(), crtest_verdict);
	return *crtest_verdict ? 1 : 0;
}

/* Waits for a child and takes its verdict in. */
static CRTEST_UNUSED void crtest_join(const char *what, pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) {
			crtest_fail("%s cannot be waited for: %s", what, strerror(errno));
			return;
		}
	if (status)
		crtest_fail("%s ended with status %#x (see err)", what, status);
}

/* Gives the verdict; what main() is to return. */
static CRTEST_UNUSED int crtest_end(void)
{
	char text[sizeof(crtest_verdict) + 8];

	snprintf(text, sizeof(text), "%s%s", *crtest_verdict ? "FAIL: " : "PASS", crtest_verdict);
	crtest_result(text);
	return *crtest_verdict ? 1 : 0;
}

#endif
