// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: --ghost-limit */
/* A removed file over the limit is refused, with the option that raises it. */
#include "crtest.h"

int main(int argc, char **argv)
{
	static char block[1 << 20];
	int fd;

	crtest_begin(argc, argv);
	fd = crtest_must(open("big", O_RDWR | O_CREAT, 0600));
	memset(block, 1, sizeof(block));
	for (int i = 0; i < 2; i++)
		crtest_must(write(fd, block, sizeof(block)));
	crtest_must(unlink("big"));
	crtest_wait();
	crtest_equal("write", write(fd, "x", 1), 1);
	return crtest_end();
}
