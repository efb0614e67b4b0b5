// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared anonymous memory: seen by two tasks, at two addresses, with a part unmapped, read-only in
 * the child; large and mostly empty.
 */
#include "crtest.h"

#include <stdatomic.h>
#include <sys/mman.h>

#define PAGE  4096L
#define PAGES 64L
#define GIB   (1L << 30)

static void child_loop(_Atomic int *first, const char *readonly)
{
	crtest_must(mprotect((void *)readonly, PAGE, PROT_READ));
	first[1] = 1;
	while (first[0] != 7)
		crtest_sleep_ms(5);
	if (readonly[5] != 'r')
		_exit(1);
	first[2] = 8;
	_exit(0);
}

int main(int argc, char **argv)
{
	_Atomic int *shared, *alias;
	char *other, *empty, *from_device;
	pid_t child;
	int fd;

	crtest_begin(argc, argv);
	shared = crtest_must(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	other = crtest_must(
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	empty = crtest_must(mmap(NULL, 4 * GIB, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	empty[3 * GIB + 17] = 'e';
	fd = crtest_must(open("/dev/zero", O_RDWR | O_CLOEXEC));
	from_device = crtest_must(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	close(fd);
	from_device[9] = 'z';
	for (int i = 0; i < PAGES; i++)
		shared[i * 1024 + 500] = i;
	/* The same pages once more (old size 0), the original without its middle. */
	alias = crtest_must(mremap((void *)shared, 0, PAGES * PAGE, MREMAP_MAYMOVE));
	crtest_must(munmap((void *)(shared + 20 * 1024), 4 * PAGE));
	other[5] = 'r';
	child = crtest_must(fork());
	if (!child)
		child_loop(shared, other);
	while (!shared[1])
		crtest_sleep_ms(1);

	crtest_wait();

	for (int i = 0; i < PAGES; i++)
		crtest_equal("word of the alias", alias[i * 1024 + 500], i);
	crtest_equal("byte in the empty one", empty[3 * GIB + 17], 'e');
	crtest_equal("byte of /dev/zero", from_device[9], 'z');
	alias[0] = 7;
	crtest_equal("a store through the alias", shared[0], 7);
	crtest_join("child", child);
	crtest_equal("what the child wrote", alias[2], 8);
	return crtest_end();
}
