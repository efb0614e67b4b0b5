// SPDX-License-Identifier: GPL-2.0-only
/* criu-options: --file-locks */
/* POSIX, OFD and flock locks and a lease, all held by a task that also has a child without locks.
 */
#include "crtest.h"

#include <sys/file.h>

/* Who holds a lock on this byte of the file: 0 nobody, else a pid, or -1 for a lock of a
 * description. */
static pid_t holder(const char *path, off_t at, int type)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
	int fd = open(path, O_RDWR | O_CLOEXEC);

	/* Asked through a description of its own, OFD locks see those of this task too. */
	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &l) < 0)
		l.l_type = F_UNLCK;
	/* Closing it would drop the POSIX locks of this task. */
	return l.l_type == F_UNLCK ? 0 : l.l_pid;
}

int main(int argc, char **argv)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
	int posix, ofd, whole, lease;

	crtest_begin(argc, argv);
	posix = crtest_must(open("posix", O_RDWR | O_CREAT, 0600));
	crtest_must(fcntl(posix, F_SETLK, &range));
	range = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 7};
	crtest_must(fcntl(posix, F_SETLK, &range));
	ofd = crtest_must(open("ofd", O_RDWR | O_CREAT, 0600));
	range = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
	crtest_must(fcntl(ofd, F_OFD_SETLK, &range));
	whole = crtest_must(open("whole", O_RDWR | O_CREAT, 0600));
	crtest_must(flock(whole, LOCK_EX));
	close(crtest_must(open("lease", O_RDWR | O_CREAT, 0600)));
	lease = crtest_must(open("lease", O_RDONLY));
	crtest_must(fcntl(lease, F_SETLEASE, F_RDLCK));

	crtest_wait();

	crtest_equal("POSIX, before", holder("posix", 1, F_WRLCK), 0);
	crtest_equal("POSIX, first byte", holder("posix", 2, F_RDLCK), getpid());
	crtest_equal("POSIX, last byte", holder("posix", 4, F_RDLCK), getpid());
	crtest_equal("POSIX, between", holder("posix", 5, F_WRLCK), 0);
	crtest_equal("POSIX, to the end", holder("posix", 1 << 20, F_WRLCK), getpid());
	crtest_equal("POSIX, shared", holder("posix", 1 << 20, F_RDLCK), 0);
	crtest_equal("OFD", holder("ofd", 2, F_RDLCK), -1);
	crtest_equal("OFD, after", holder("ofd", 3, F_WRLCK), 0);
	crtest_true(flock(crtest_must(open("whole", O_RDWR)), LOCK_SH | LOCK_NB) < 0 &&
		    errno == EWOULDBLOCK);
	crtest_equal("lease", fcntl(lease, F_GETLEASE), F_RDLCK);
	return crtest_end();
}
