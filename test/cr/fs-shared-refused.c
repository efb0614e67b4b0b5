// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: has a working directory of its own */
/* A thread that no longer shares the working directory would come back where the others are:
 * refused by name. */
#include "crtest.h"

#include <pthread.h>
#include <sched.h>

static pthread_barrier_t both;

static void *other(void *arg)
{
	char text[64];

	if (unshare(CLONE_FS) < 0 || chdir("/") < 0)
		crtest_broken("unshare");
	pthread_barrier_wait(&both);
	pthread_barrier_wait(&both);
	crtest_same_text("folder of the thread", getcwd(text, sizeof(text)) ?: "", "/");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	crtest_begin(argc, argv);
	pthread_barrier_init(&both, NULL, 2);
	if (pthread_create(&thread, NULL, other, NULL))
		crtest_broken("pthread_create");
	pthread_barrier_wait(&both);
	crtest_wait();
	pthread_barrier_wait(&both);
	pthread_join(thread, NULL);
	return crtest_end();
}
