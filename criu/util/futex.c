// SPDX-License-Identifier: GPL-2.0-only
/*
 * futex(2) on words that several processes map, hence never the private forms. Each wait looks at
 * the word again after it wakes: wake-ups may be meant for another value, and signals end a wait
 * early.
 */
#include "util/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/time.h"

static int wait_us(struct futex *f, uint32_t expected, const uint64_t *us)
{
	struct timespec timeout = {};

	if (us) {
		timeout.tv_sec = (time_t)(*us / 1000000);
		timeout.tv_nsec = (long)(*us % 1000000) * 1000;
	}
	if (syscall(SYS_futex, &f->word, FUTEX_WAIT, expected, us ? &timeout : NULL, NULL, 0) == 0)
		return 0;
	return errno == EAGAIN ? 0 : -errno;
}

int futex_wait(struct futex *f, uint32_t expected, int timeout_ms)
{
	uint64_t us = timeout_ms > 0 ? (uint64_t)timeout_ms * 1000 : 0;

	return wait_us(f, expected, timeout_ms < 0 ? NULL : &us);
}

int futex_wake(struct futex *f, int n)
{
	long woken = syscall(SYS_futex, &f->word, FUTEX_WAKE, n, NULL, NULL, 0);

	return woken < 0 ? -errno : (int)woken;
}

void futex_set(struct futex *f, uint32_t value)
{
	futex_store(f, value);
	futex_wake(f, INT_MAX);
}

uint32_t futex_add_wake(struct futex *f, int32_t delta)
{
	uint32_t value = futex_add(f, delta);

	futex_wake(f, INT_MAX);
	return value;
}

static int wait_until(struct futex *f, bool (*met)(uint32_t now, uint32_t value), uint32_t value,
		      int timeout_ms)
{
	uint64_t deadline = time_now_us() + (timeout_ms > 0 ? (uint64_t)timeout_ms * 1000 : 0);
	uint32_t now;

	while (!met(now = futex_get(f), value)) {
		uint64_t clock = time_now_us(), left = deadline > clock ? deadline - clock : 0;
		int err;

		if (timeout_ms >= 0 && left == 0)
			return -ETIMEDOUT;
		err = wait_us(f, now, timeout_ms < 0 ? NULL : &left);
		if (err < 0 && err != -EINTR && err != -ETIMEDOUT)
			return err;
	}
	return 0;
}

static bool is_equal(uint32_t now, uint32_t value)
{
	return now == value;
}

static bool is_at_least(uint32_t now, uint32_t value)
{
	return (int32_t)now >= (int32_t)value;
}

int futex_wait_for(struct futex *f, uint32_t value, int timeout_ms)
{
	return wait_until(f, is_equal, value, timeout_ms);
}

int futex_wait_at_least(struct futex *f, int32_t value, int timeout_ms)
{
	return wait_until(f, is_at_least, (uint32_t)value, timeout_ms);
}
