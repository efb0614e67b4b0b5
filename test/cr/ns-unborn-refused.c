// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: has a PID namespace of its own */
/* A PID namespace that no process is in yet: only the next child would be. */
#include "crtest.h"

#include <sched.h>

int main(int argc, char **argv)
{
	crtest_begin(argc, argv);
	if (unshare(CLONE_NEWPID) < 0)
		crtest_skip("unshare: %s", strerror(errno));
	crtest_wait();
	return crtest_end();
}
