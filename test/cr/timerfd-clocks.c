// SPDX-License-Identifier: GPL-2.0-only
/* timerfds: time left on three clocks, relative and absolute, interval, expirations not read,
 * disarmed. */
#include "crtest.h"

#include <stdint.h>

#include <poll.h>
#include <sys/timerfd.h>

#define FAR 1000000

static void check_left(const char *what, int fd, long interval)
{
	struct itimerspec now = {};

	timerfd_gettime(fd, &now);
	/* The time of the restore does not count, that of the set-up and of a slow machine does. */
	if (now.it_value.tv_sec > FAR || now.it_value.tv_sec < FAR - 600)
		crtest_fail("%s: %ld s are left", what, (long)now.it_value.tv_sec);
	crtest_equal(what, now.it_interval.tv_sec, interval);
}

int main(int argc, char **argv)
{
	struct itimerspec far = {{33, 5}, {FAR, 0}}, soon = {{0, 0}, {0, 1000000}}, at = {};
	int mono, real, boot, fired, off;
	struct pollfd waits;
	uint64_t ticks = 0;

	crtest_begin(argc, argv);
	mono = crtest_must(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	crtest_must(timerfd_settime(mono, 0, &far, NULL));
	boot = crtest_must(timerfd_create(CLOCK_BOOTTIME, 0));
	crtest_must(timerfd_settime(boot, 0, &far, NULL));
	real = crtest_must(timerfd_create(CLOCK_REALTIME, 0));
	clock_gettime(CLOCK_REALTIME, &at.it_value);
	at.it_value.tv_sec += FAR;
	crtest_must(timerfd_settime(real, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL));
	fired = crtest_must(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	crtest_must(timerfd_settime(fired, 0, &soon, NULL));
	waits = (struct pollfd){fired, POLLIN, 0};
	crtest_must(poll(&waits, 1, -1));
	off = crtest_must(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));

	crtest_wait();

	check_left("monotonic timer", mono, 33);
	check_left("boottime timer", boot, 33);
	check_left("realtime timer", real, 0);
	crtest_equal("size of expirations", read(fired, &ticks, sizeof(ticks)), sizeof(ticks));
	crtest_equal("expirations", ticks, 1);
	crtest_true(read(off, &ticks, sizeof(ticks)) < 0 && errno == EAGAIN);
	crtest_must(timerfd_settime(off, 0, &soon, NULL));
	waits.fd = off;
	crtest_must(poll(&waits, 1, -1));
	crtest_equal("armed again", read(off, &ticks, sizeof(ticks)), sizeof(ticks));
	return crtest_end();
}
