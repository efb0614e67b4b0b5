// SPDX-License-Identifier: GPL-2.0-only
/* F_SETOWN_EX and F_SETSIG: the owner is another task of the tree, and gets the signal after the
 * restore. */
#include "crtest.h"

#include <signal.h>
#include <sys/signalfd.h>

int main(int argc, char **argv)
{
	struct f_owner_ex owner, now = {};
	struct signalfd_siginfo info;
	sigset_t mask;
	int ends[2], fd;
	pid_t pid;

	crtest_begin(argc, argv);
	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMIN + 5);
	crtest_must(sigprocmask(SIG_BLOCK, &mask, NULL));
	crtest_must(pipe(ends));
	fd = crtest_must(signalfd(-1, &mask, 0));
	pid = crtest_must(fork());
	if (!pid) {
		crtest_equal("signal", read(fd, &info, sizeof(info)), sizeof(info));
		crtest_equal("descriptor it is about", info.ssi_fd, ends[0]);
		_exit(crtest_child_status());
	}
	owner = (struct f_owner_ex){F_OWNER_PID, pid};
	crtest_must(fcntl(ends[0], F_SETOWN_EX, &owner));
	crtest_must(fcntl(ends[0], F_SETSIG, SIGRTMIN + 5));
	crtest_must(fcntl(ends[0], F_SETFL, O_ASYNC));

	crtest_wait();

	crtest_must(fcntl(ends[0], F_GETOWN_EX, &now));
	crtest_equal("owner", now.pid, pid);
	crtest_equal("kind of owner", now.type, F_OWNER_PID);
	crtest_equal("signal", fcntl(ends[0], F_GETSIG), SIGRTMIN + 5);
	crtest_equal("O_ASYNC", fcntl(ends[0], F_GETFL) & O_ASYNC, O_ASYNC);
	crtest_must(write(ends[1], "x", 1));
	crtest_join("owner", pid);
	return crtest_end();
}
