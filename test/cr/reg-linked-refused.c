// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: use --link-remap */
/* Without --link-remap a file whose name is gone and that has another link is refused. */
#include "crtest.h"

int main(int argc, char **argv)
{
	int fd;

	crtest_begin(argc, argv);
	fd = crtest_must(open("first", O_RDWR | O_CREAT, 0600));
	crtest_must(link("first", "second"));
	crtest_must(unlink("first"));
	crtest_wait();
	crtest_equal("write", write(fd, "x", 1), 1);
	return crtest_end();
}
