/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clocks that count from the start of the machine go on: never back, the vDSO agrees with the
 * kernel, and time that a child reads is the same.
 */
#include <sys/syscall.h>

#include "crtest.h"

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW,
				   CLOCK_MONOTONIC_COARSE};
#define N_CLOCKS (sizeof(clocks) / sizeof(*clocks))

static long long in_ns(struct timespec t)
{
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static long long by_vdso(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return in_ns(t);
}

static long long by_kernel(clockid_t clock)
{
	struct timespec t;

	syscall(SYS_clock_gettime, clock, &t);
	return in_ns(t);
}

static void check(const long long last[N_CLOCKS])
{
	for (size_t i = 0; i < N_CLOCKS; i++) {
		long long a = by_kernel(clocks[i]), b = by_vdso(clocks[i]),
			  c = by_kernel(clocks[i]);

		if (a < last[i])
			crtest_fail("clock %d went back by %lld ns", clocks[i], last[i] - a);
		/* An hour: whoever runs this may be slow, but the machine is up for longer or
		 * shorter. */
		if (a - last[i] > 3600ll * 1000000000)
			crtest_fail("clock %d jumped by %lld ns", clocks[i], a - last[i]);
		if (b < a || b > c)
			crtest_fail("clock %d: the vDSO says %lld, the kernel %lld to %lld",
				    clocks[i], b, a, c);
	}
}

int main(int argc, char **argv)
{
	long long last[N_CLOCKS];
	pid_t pid;

	crtest_begin(argc, argv);
	crtest_ready();
	do {
		for (size_t i = 0; i < N_CLOCKS; i++)
			last[i] = by_vdso(clocks[i]);
	} while (!crtest_is_triggered());
	check(last);
	pid = crtest_must(fork());
	if (!pid) {
		check(last);
		_exit(crtest_child_status());
	}
	crtest_join("child", pid);
	return crtest_end();
}
