// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: has a UTS namespace of its own */
/* One thread in a namespace of its own: refused by name, though its process has none. */
#include <pthread.h>
#include <sched.h>

#include "crtest.h"

static volatile int is_ready;

static void *thread(void *arg)
{
	crtest_must(unshare(CLONE_NEWUTS));
	is_ready = 1;
	for (;;)
		crtest_sleep_ms(10);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t id;

	crtest_begin(argc, argv);
	crtest_must(-pthread_create(&id, NULL, thread, NULL));
	while (!is_ready)
		crtest_sleep_ms(1);
	crtest_wait();
	return crtest_end();
}
