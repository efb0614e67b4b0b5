// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts, ten numbers a second, a line each, on standard output: what scripts/quickstart
 * checkpoints and restores.
 */
#include <stdio.h>
#include <time.h>

int main(void)
{
	const struct timespec pause = {.tv_nsec = 100000000};

	for (unsigned long n = 1;; n++) {
		printf("%lu\n", n);
		fflush(stdout);
		nanosleep(&pause, NULL);
	}
}
