// SPDX-License-Identifier: GPL-2.0-only
/* pidfds: of a child, of the task itself, of a zombie, and two of a process that is dead and gone.
 */
#include "crtest.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

static int pidfd(pid_t pid, unsigned flags)
{
	return syscall(SYS_pidfd_open, pid, flags);
}

static int is_dead(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0);
}

int main(int argc, char **argv)
{
	pid_t child, zombie, dead;
	int alive, self, of_zombie, of_dead, again;
	siginfo_t info;

	crtest_begin(argc, argv);
	child = crtest_must(fork());
	if (!child)
		for (;;)
			pause();
	zombie = crtest_must(fork());
	if (!zombie)
		_exit(3);
	crtest_must(waitid(P_PID, zombie, &info, WEXITED | WNOWAIT));
	dead = crtest_must(fork());
	if (!dead)
		_exit(4);
	alive = crtest_must(pidfd(child, O_NONBLOCK));
	self = crtest_must(pidfd(getpid(), 0));
	of_zombie = crtest_must(pidfd(zombie, 0));
	of_dead = crtest_must(pidfd(dead, 0));
	again = crtest_must(pidfd(dead, 0));
	crtest_must(waitpid(dead, NULL, 0));

	crtest_wait();

	crtest_equal("child is dead", is_dead(alive), 0);
	crtest_equal("self is dead", is_dead(self), 0);
	crtest_equal("zombie is dead", is_dead(of_zombie), 1);
	crtest_equal("dead is dead", is_dead(of_dead), 1);
	crtest_equal("dead is dead again", is_dead(again), 1);
	crtest_true(syscall(SYS_pidfd_send_signal, of_dead, 0, NULL, 0) < 0 && errno == ESRCH);
	crtest_equal("signal by pidfd", syscall(SYS_pidfd_send_signal, alive, SIGTERM, NULL, 0), 0);
	crtest_true(waitpid(child, NULL, 0) == child);
	crtest_equal("child is dead now", is_dead(alive), 1);
	crtest_true(waitpid(zombie, NULL, 0) == zombie);
	return crtest_end();
}
