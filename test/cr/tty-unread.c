// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two pseudo-terminals with bytes that nobody has read yet: whole lines and the beginning of one,
 * an end of file, what was echoed and written; one edits lines, the other does not. They are read
 * afterwards as they would have been before, line by line.
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "crtest.h"

struct pair {
	int master, slave;
};

static struct pair pair_open(bool is_raw)
{
	struct pair pair = {.master = crtest_must(open("/dev/ptmx", O_RDWR | O_NOCTTY))};
	struct termios t;

	crtest_must(unlockpt(pair.master));
	pair.slave = crtest_must(open(ptsname(pair.master), O_RDWR | O_NOCTTY));
	crtest_must(tcgetattr(pair.slave, &t));
	if (is_raw)
		cfmakeraw(&t);
	t.c_cc[VMIN] = is_raw ? 200 : t.c_cc[VMIN];
	crtest_must(tcsetattr(pair.slave, TCSANOW, &t));
	return pair;
}

static int waiting(int fd)
{
	int n = 0;

	crtest_must(ioctl(fd, TIOCINQ, &n));
	return n;
}

/* What is written arrives by and by. */
static void put(int fd, const char *text, int reader, int n)
{
	crtest_must(write(fd, text, strlen(text)));
	while (waiting(reader) < n)
		crtest_sleep_ms(1);
}

static void check(const char *what, int fd, const char *expected)
{
	char text[256] = "";
	ssize_t n;

	if (*expected && !waiting(fd)) {
		crtest_fail("%s: nothing waits", what);
		return;
	}
	n = read(fd, text, sizeof(text) - 1);
	if (n != (ssize_t)strlen(expected) || strcmp(text, expected) != 0)
		crtest_fail("%s: %zd bytes '%s', was '%s'", what, n, text, expected);
}

int main(int argc, char **argv)
{
	struct pair lines, raw;
	struct termios t;

	crtest_begin(argc, argv);
	lines = pair_open(false);
	raw = pair_open(true);
	put(lines.master, "one\ntwo\n\004hal", lines.slave, 8);
	put(lines.slave, "out\n", lines.master, 18);
	put(raw.master, "a\nb\003\021\177", raw.slave, 6);

	crtest_wait();

	crtest_must(tcgetattr(raw.slave, &t));
	crtest_equal("least to be read", t.c_cc[VMIN], 200);
	t.c_cc[VMIN] = 0;
	crtest_must(tcsetattr(raw.slave, TCSANOW, &t));
	check("raw", raw.slave, "a\nb\003\021\177");
	crtest_equal("more in the raw one", waiting(raw.slave), 0);
	check("output", lines.master, "one\r\ntwo\r\nhalout\r\n");
	crtest_equal("more output", waiting(lines.master), 0);
	crtest_equal("in lines", waiting(lines.slave), 8);
	check("first line", lines.slave, "one\n");
	check("second line", lines.slave, "two\n");
	check("end of file", lines.slave, "");
	crtest_equal("the third line", waiting(lines.slave), 0);
	put(lines.master, "f\n", lines.slave, 5);
	check("third line", lines.slave, "half\n");
	return crtest_end();
}
