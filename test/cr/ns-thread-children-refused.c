// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: has a time namespace of its own */
/* One thread whose children, had it any, would be in another namespace. */
#include <pthread.h>
#include <sched.h>

#include "crtest.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static volatile int is_ready;

static void *thread(void *arg)
{
	if (unshare(CLONE_NEWTIME) < 0)
		crtest_skip("unshare: %s", strerror(errno));
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
