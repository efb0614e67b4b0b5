/* SPDX-License-Identifier: GPL-2.0-only */
/* Clocks, in microseconds. */
#ifndef CRIU_UTIL_TIME_H
#define CRIU_UTIL_TIME_H

#include <stdint.h>

/* CLOCK_MONOTONIC. */
uint64_t time_now_us(void);
/* CLOCK_REALTIME. */
uint64_t time_wall_us(void);

#endif
