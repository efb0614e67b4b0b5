// SPDX-License-Identifier: GPL-2.0-only
/* Huge pages of hugetlbfs: private, shared with a child, and a memfd. Skipped where none are to be
 * had. */
/* criu-huge-pages: 16 */
/* criu-skip-compare: maps */
#include "crtest.h"

#include <linux/memfd.h>
#include <sys/mman.h>

#define SIZE (2L << 20)

static char *map(int flags, int fd)
{
	return mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		    flags | (fd < 0 ? MAP_ANONYMOUS | MAP_HUGETLB : 0), fd, 0);
}

int main(int argc, char **argv)
{
	char *private, *shared, *of_memfd;
	pid_t child;
	int fd;

	crtest_begin(argc, argv);
	private = map(MAP_PRIVATE, -1);
	shared = map(MAP_SHARED, -1);
	fd = memfd_create("huge", MFD_HUGETLB | MFD_CLOEXEC);
	if (private == MAP_FAILED || shared == MAP_FAILED || fd < 0 || ftruncate(fd, SIZE) < 0)
		crtest_skip("no huge pages");
	of_memfd = map(MAP_SHARED, fd);
	if (of_memfd == MAP_FAILED)
		crtest_skip("too few huge pages");
	private[SIZE - 1] = 'p';
	shared[12345] = 's';
	of_memfd[54321] = 'm';
	child = crtest_must(fork());
	if (!child) {
		shared[1] = 'r';
		while (shared[0] != 'g')
			crtest_sleep_ms(5);
		_exit(of_memfd[54321] != 'm');
	}
	while (shared[1] != 'r')
		crtest_sleep_ms(1);

	crtest_wait();

	crtest_equal("private", private[SIZE - 1], 'p');
	crtest_equal("private", private[0], 0);
	crtest_equal("shared", shared[12345], 's');
	crtest_equal("memfd", of_memfd[54321], 'm');
	shared[0] = 'g';
	crtest_join("child", child);
	return crtest_end();
}
