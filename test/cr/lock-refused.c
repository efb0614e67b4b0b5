// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: use --file-locks */
/* A lock is refused without --file-locks. */
#include "crtest.h"

#include <sys/file.h>

int main(int argc, char **argv)
{
	int fd;

	crtest_begin(argc, argv);
	fd = crtest_must(open("locked", O_RDWR | O_CREAT, 0600));
	crtest_must(flock(fd, LOCK_EX));
	crtest_wait();
	crtest_true(flock(crtest_must(open("locked", O_RDWR)), LOCK_SH | LOCK_NB) < 0);
	return crtest_end();
}
