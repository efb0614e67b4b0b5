// SPDX-License-Identifier: GPL-2.0-only
/* A signalfd keeps its mask, and signals that are pending for the task are read from it after the
 * restore. */
#include "crtest.h"

#include <signal.h>
#include <sys/signalfd.h>

int main(int argc, char **argv)
{
	struct signalfd_siginfo info = {};
	union sigval value = {.sival_int = 4711};
	sigset_t mask;
	int fd;

	crtest_begin(argc, argv);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMIN + 3);
	crtest_must(sigprocmask(SIG_BLOCK, &mask, NULL));
	fd = crtest_must(signalfd(-1, &mask, SFD_NONBLOCK));
	crtest_must(sigqueue(getpid(), SIGRTMIN + 3, value));

	crtest_wait();

	crtest_equal("size of what is read", read(fd, &info, sizeof(info)), sizeof(info));
	crtest_equal("signal", info.ssi_signo, SIGRTMIN + 3);
	crtest_equal("value", info.ssi_int, 4711);
	crtest_true(read(fd, &info, sizeof(info)) < 0 && errno == EAGAIN);
	kill(getpid(), SIGUSR1);
	crtest_equal("size of the next", read(fd, &info, sizeof(info)), sizeof(info));
	crtest_equal("next signal", info.ssi_signo, SIGUSR1);
	return crtest_end();
}
