/* SPDX-License-Identifier: GPL-2.0-only */
/* Waiting on words in memory that processes share (compel/base/futex.h has the loads and stores).
 */
#ifndef CRIU_UTIL_FUTEX_H
#define CRIU_UTIL_FUTEX_H

#include "compel/base/futex.h"

/*
 * Sleeps while the word is expected, at most timeout_ms (negative: for ever). 0 once the word
 * differs or after a wake-up (look again), -ETIMEDOUT, -EINTR after a signal.
 */
int futex_wait(struct futex *f, uint32_t expected, int timeout_ms);
/* Wakes up to n waiters (INT32_MAX: all); how many, or -errno. */
int futex_wake(struct futex *f, int n);
/* Stores value and wakes all. */
void futex_set(struct futex *f, uint32_t value);
/* Adds delta and wakes all. Returns the new value. */
uint32_t futex_add_wake(struct futex *f, int32_t delta);
/* Sleeps until the word is value; 0 or -ETIMEDOUT. Goes on after signals. */
int futex_wait_for(struct futex *f, uint32_t value, int timeout_ms);
/* Sleeps until the word, taken as a signed number, is at least value; 0 or -ETIMEDOUT. Goes on
 * after signals. */
int futex_wait_at_least(struct futex *f, int32_t value, int timeout_ms);

#endif
