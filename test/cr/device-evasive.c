// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device whose node was made anew after it was opened: with --evasive-devices the name is good
 * enough, as it leads to a device of the same number.
 */
/* criu-dump-options: --evasive-devices */
/* The name of the descriptor says "deleted" before and not after. */
/* criu-skip-compare: fd.3 */
#include "crtest.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

int main(int argc, char **argv)
{
	const char *path;
	struct stat named, opened;
	char byte = 1;
	int fd;

	crtest_begin(argc, argv);
	path = crtest_path("node");
	crtest_must(mknod(path, S_IFCHR | 0600, makedev(1, 5)));
	fd = crtest_must(open(path, O_RDONLY));
	crtest_equal("descriptor", fd, 3);
	crtest_must(unlink(path));
	crtest_must(mknod(path, S_IFCHR | 0600, makedev(1, 5)));

	crtest_wait();

	crtest_equal("read", read(fd, &byte, 1), 1);
	crtest_equal("byte", byte, 0);
	crtest_must(fstat(fd, &opened));
	crtest_must(stat(crtest_path("node"), &named));
	crtest_equal("number of the device", opened.st_rdev, makedev(1, 5));
	if (opened.st_nlink)
		crtest_equal("inode", opened.st_ino, named.st_ino);
	return crtest_end();
}
