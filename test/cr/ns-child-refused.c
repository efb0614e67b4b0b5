// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: has a UTS namespace of its own */
/* A child in a namespace of its own: refused by name, though the root has none. */
#include "crtest.h"

#include <sched.h>
#include <signal.h>

int main(int argc, char **argv)
{
	pid_t pid;

	crtest_begin(argc, argv);
	pid = crtest_must(fork());
	if (pid == 0) {
		if (unshare(CLONE_NEWUTS) < 0 || sethostname("crtest", 6) < 0)
			_exit(1);
		crtest_wait();
		_exit(0);
	}
	while (access(crtest_path("result"), F_OK) < 0)
		crtest_sleep_ms(10);
	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
	crtest_join("child", pid);
	return crtest_end();
}
