// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: shares its memory with process */
/* Two processes in one memory cannot be made again: refused by name. */
#include "crtest.h"

#include <sched.h>
#include <signal.h>

static char stack[16384] __attribute__((aligned(16)));
static volatile int is_over;

static int child(void *arg)
{
	while (!is_over)
		crtest_sleep_ms(10);
	return 7;
}

int main(int argc, char **argv)
{
	int status = 0;
	pid_t pid;

	crtest_begin(argc, argv);
	pid = crtest_must(clone(child, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL));
	crtest_wait();
	is_over = 1;
	crtest_must(waitpid(pid, &status, 0));
	crtest_equal("status of the child", status, 7 << 8);
	return crtest_end();
}
