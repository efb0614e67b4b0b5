// SPDX-License-Identifier: GPL-2.0-only
/* The vDSO works where it was: several threads that ask for the time all the while. */
/* criu-skip-compare: maps */
#include "crtest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/auxv.h>

static _Atomic long rounds[4];
static _Atomic int stop;

static void *ask(void *arg)
{
	_Atomic long *count = arg;
	struct timespec before = {0}, now;

	while (!stop) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec < before.tv_sec ||
		    (now.tv_sec == before.tv_sec && now.tv_nsec < before.tv_nsec))
			return "the clock went backwards";
		before = now;
		++*count;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[4];
	unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
	long before[4];

	crtest_begin(argc, argv);
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, ask, (void *)&rounds[i]))
			crtest_broken("thread");
	crtest_wait();
	crtest_true(getauxval(AT_SYSINFO_EHDR) == vdso);
	for (int i = 0; i < 4; i++)
		before[i] = rounds[i];
	for (int i = 0; i < 4; i++)
		while (rounds[i] == before[i])
			crtest_sleep_ms(1);
	stop = 1;
	for (int i = 0; i < 4; i++) {
		void *error = NULL;

		pthread_join(threads[i], &error);
		if (error)
			crtest_fail("thread %d: %s", i, (char *)error);
	}
	return crtest_end();
}
