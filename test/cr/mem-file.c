// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapped files: private with some pages written, shared, read-only, with an offset, past the end of
 * the file, of a file that has no name any more, of a memfd both ways.
 */
#include "crtest.h"

#include <sys/mman.h>

#define PAGE 4096L

static int make_file(const char *name, int pages, char first)
{
	int fd = crtest_must(open(crtest_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
	char page[PAGE];

	for (int i = 0; i < pages; i++) {
		memset(page, first + i, PAGE);
		crtest_must(write(fd, page, PAGE));
	}
	return fd;
}

static char *map(int fd, long pages, int prot, int flags, long offset)
{
	return crtest_must(mmap(NULL, pages * PAGE, prot, flags, fd, offset * PAGE));
}

int main(int argc, char **argv)
{
	int fd, gone, memfd;
	char *private, *readonly, *shared, *past, *unnamed, *of_memfd, *copy_of_memfd, *unreadable;
	char byte;

	crtest_begin(argc, argv);
	fd = make_file("file", 8, 'a');
	private = map(fd, 8, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	private[2 * PAGE + 5] = '2';
	private[7 * PAGE] = '7';
	crtest_must(mprotect(private + 7 * PAGE, PAGE, PROT_READ));
	readonly = map(fd, 3, PROT_READ, MAP_SHARED, 5);
	shared = map(fd, 8, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	past = map(fd, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE, 6);
	unreadable = map(fd, 2, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	unreadable[1] = 'u';
	crtest_must(mprotect(unreadable, 2 * PAGE, PROT_NONE));
	close(fd);
	gone = make_file("gone", 2, 'g');
	unnamed = map(gone, 2, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	crtest_must(unlink(crtest_path("gone")));
	close(gone);
	memfd = crtest_must(memfd_create("of mine", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	crtest_must(ftruncate(memfd, 2 * PAGE + 10));
	of_memfd = map(memfd, 3, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	of_memfd[PAGE] = 'm';
	of_memfd[2 * PAGE + 9] = 'n';
	copy_of_memfd = map(memfd, 3, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	copy_of_memfd[PAGE + 1] = 'c';
	crtest_must(fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK));

	crtest_wait();

	for (int i = 0; i < 8; i++)
		crtest_equal("private page", private[i * PAGE], i == 7 ? '7' : 'a' + i);
	crtest_equal("private, written", private[2 * PAGE + 5], '2');
	crtest_equal("shared, not written", shared[2 * PAGE + 5], 'c');
	shared[6 * PAGE] = 'S';
	crtest_equal("read-only sees it", readonly[PAGE], 'S');
	crtest_equal("private, never copied, sees it", private[6 * PAGE], 'S');
	crtest_equal("with an offset", past[PAGE], 'h');
	crtest_true(mprotect(unreadable, 2 * PAGE, PROT_READ) == 0);
	crtest_equal("unreadable, written", unreadable[1], 'u');
	crtest_equal("unreadable, of the file", unreadable[PAGE], 'b');
	crtest_equal("without a name", unnamed[PAGE], 'h');
	crtest_true(access(crtest_path("gone"), F_OK) < 0);
	crtest_equal("memfd", of_memfd[PAGE], 'm');
	crtest_equal("end of the memfd", of_memfd[2 * PAGE + 9], 'n');
	crtest_equal("copy", copy_of_memfd[PAGE + 1], 'c');
	crtest_equal("copy", copy_of_memfd[2 * PAGE + 9], 'n');
	of_memfd[3] = 'x';
	crtest_equal("through the descriptor", pread(memfd, &byte, 1, 3) == 1 ? byte : -1, 'x');
	/* As it was, for the next one that is restored from the same images. */
	shared[6 * PAGE] = 'g';
	crtest_true(pwrite(memfd, "y", 1, 0) < 0);
	crtest_equal("seals", fcntl(memfd, F_GET_SEALS),
		     F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK);
	return crtest_end();
}
