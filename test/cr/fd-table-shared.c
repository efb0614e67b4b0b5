// SPDX-License-Identifier: GPL-2.0-only
/* Two tasks with one table of descriptors (CLONE_FILES), and a third that shares descriptions
 * without sharing the table. */
#include "crtest.h"

#include <linux/kcmp.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>

static int same(int kind, pid_t a, pid_t b, int fd_a, int fd_b)
{
	return syscall(SYS_kcmp, a, b, kind, fd_a, fd_b) == 0;
}

int main(int argc, char **argv)
{
	struct clone_args args = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
	int fd, high;
	pid_t twin, copy;

	crtest_begin(argc, argv);
	fd = crtest_must(open("file", O_RDWR | O_CREAT, 0600));
	high = crtest_must(fcntl(fd, F_DUPFD, 300));
	twin = crtest_must(syscall(SYS_clone3, &args, sizeof(args)));
	if (!twin)
		for (;;)
			pause();
	copy = crtest_must(fork());
	if (!copy)
		for (;;)
			pause();

	crtest_wait();

	crtest_true(same(KCMP_FILES, getpid(), twin, 0, 0));
	crtest_true(!same(KCMP_FILES, getpid(), copy, 0, 0));
	crtest_true(same(KCMP_FILE, getpid(), copy, fd, high));
	crtest_true(same(KCMP_FILE, getpid(), getpid(), fd, high));
	kill(twin, SIGKILL);
	kill(copy, SIGKILL);
	waitpid(twin, NULL, 0);
	waitpid(copy, NULL, 0);
	return crtest_end();
}
