// SPDX-License-Identifier: GPL-2.0-only
/* Unix socket pairs of three types with data both ways, ends in two tasks, an end whose other end
 * is closed, shut directions, options. */
#include "crtest.h"

#include <sys/socket.h>

/* The harness looks at the tree now. */
static void wait_until_closed(pid_t pid, int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	while (access(path, F_OK) == 0)
		crtest_sleep_ms(1);
}

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/* Pairs of each type in turn, of which every second has options of its own. */
#define N_MIXED 12

static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
static const int options[] = {SO_PASSCRED, SO_SNDBUF, SO_RCVBUF, SO_BUF_LOCK, SO_TYPE};
static int mixed[N_MIXED][2], had[N_MIXED][2][5];

static int get_option(int fd, int name)
{
	int value = -1;
	socklen_t n = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, name, &value, &n) < 0 && errno != ENOPROTOOPT)
		crtest_fail("get option %d: %s", name, strerror(errno));
	return value;
}

static void set_option(int fd, int name, int value)
{
	if (setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value)) < 0 && errno != ENOPROTOOPT)
		crtest_fail("set option %d: %s", name, strerror(errno));
}

static void make_mixed(void)
{
	for (int i = 0; i < N_MIXED; i++) {
		crtest_must(socketpair(AF_UNIX, types[i % 3], 0, mixed[i]));
		if (i % 2)
			set_option(mixed[i][i / 2 % 2], SO_PASSCRED, 1);
		if (i % 4 == 1)
			set_option(mixed[i][0], SO_SNDBUF, 20000 + 1000 * i);
		if (i % 4 == 1)
			set_option(mixed[i][1], SO_RCVBUF, 30000 + 1000 * i);
		if (i % 4 == 3)
			set_option(mixed[i][1], SO_BUF_LOCK, 2);
		for (int end = 0; end < 2; end++)
			for (int k = 0; k < 5; k++)
				had[i][end][k] = get_option(mixed[i][end], options[k]);
	}
}

static void check_mixed(void)
{
	char what[64];

	for (int i = 0; i < N_MIXED; i++) {
		for (int end = 0; end < 2; end++) {
			for (int k = 0; k < 5; k++) {
				snprintf(what, sizeof(what), "pair %d, end %d: option %d", i, end,
					 options[k]);
				crtest_equal(what, get_option(mixed[i][end], options[k]),
					     had[i][end][k]);
			}
		}
	}
}

int main(int argc, char **argv)
{
	int stream[2], dgram[2], seq[2], half[2], shut[2], size = 50000, n;
	socklen_t len = sizeof(size);
	char text[64] = "";
	pid_t pid;

	crtest_begin(argc, argv);
	crtest_must(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
	crtest_must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, dgram));
	crtest_must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, seq));
	crtest_must(socketpair(AF_UNIX, SOCK_STREAM, 0, half));
	crtest_must(socketpair(AF_UNIX, SOCK_STREAM, 0, shut));
	crtest_must(write(stream[0], "to one", 6));
	crtest_must(write(stream[1], "to zero", 7));
	crtest_must(write(dgram[0], "first", 5));
	crtest_must(write(dgram[0], "second", 6));
	crtest_must(write(seq[1], "packet", 6));
	crtest_must(write(half[1], "left", 4));
	close(half[1]);
	crtest_must(shutdown(shut[0], SHUT_WR));
	crtest_must(setsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	crtest_must(setsockopt(stream[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
	crtest_must(getsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &size, &len));
	make_mixed();
	pid = crtest_must(fork());
	if (!pid) {
		close(stream[0]);
		while (!crtest_is_triggered())
			crtest_sleep_ms(10);
		crtest_equal("child reads", read(stream[1], text, sizeof(text)), 6);
		crtest_same_text("child reads", text, "to one");
		crtest_must(write(stream[1], ", more", 6));
		_exit(crtest_child_status());
	}
	close(stream[1]);
	wait_until_closed(pid, stream[0]);

	crtest_wait();

	check_mixed();
	crtest_join("child", pid);
	for (n = 0; n < 13;)
		n += crtest_must(read(stream[0], text + n, sizeof(text) - n));
	text[n] = '\0';
	crtest_same_text("stream", text, "to zero, more");
	crtest_equal("end of the stream", read(stream[0], text, 1), 0);
	crtest_equal("first datagram", read(dgram[1], text, sizeof(text)), 5);
	crtest_equal("second datagram", read(dgram[1], text, sizeof(text)), 6);
	crtest_true(read(dgram[1], text, 1) < 0 && errno == EAGAIN);
	crtest_equal("packet", read(seq[0], text, sizeof(text)), 6);
	crtest_equal("left in the half pair", read(half[0], text, sizeof(text)), 4);
	crtest_equal("end of the half pair", read(half[0], text, sizeof(text)), 0);
	crtest_true(send(shut[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	crtest_equal("shut direction", read(shut[1], text, 1), 0);
	crtest_equal("open direction", write(shut[1], "y", 1), 1);
	crtest_equal("send buffer", get_option(stream[0], SO_SNDBUF), size);
	return crtest_end();
}
