// SPDX-License-Identifier: GPL-2.0-only
/* Clocks, in microseconds. */
#include "util/time.h"

#include <time.h>

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t time_now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

uint64_t time_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}
