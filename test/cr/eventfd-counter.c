// SPDX-License-Identifier: GPL-2.0-only
/* eventfds: a counter that needs all 64 bits, flags, and one description behind two descriptors. */
#include "crtest.h"

#include <stdint.h>

#include <sys/eventfd.h>

static void expect(const char *what, int fd, uint64_t was)
{
	uint64_t now = 0;

	if (read(fd, &now, sizeof(now)) != sizeof(now))
		crtest_fail("%s: read: %s", what, strerror(errno));
	crtest_equal(what, now, was);
}

int main(int argc, char **argv)
{
	uint64_t big = 0xfedcba9876543210;
	int fd, plain, twin;

	crtest_begin(argc, argv);
	fd = crtest_must(eventfd(0, EFD_CLOEXEC));
	crtest_must(write(fd, &big, sizeof(big)));
	plain = crtest_must(eventfd(7, EFD_NONBLOCK));
	twin = crtest_must(dup(plain));

	crtest_wait();

	expect("big counter", fd, big);
	expect("plain counter", twin, 7);
	crtest_true(read(plain, &big, sizeof(big)) < 0 && errno == EAGAIN);
	crtest_equal("close-on-exec", fcntl(fd, F_GETFD), FD_CLOEXEC);
	crtest_equal("flags", fcntl(plain, F_GETFL), O_RDWR | O_NONBLOCK);
	return crtest_end();
}
