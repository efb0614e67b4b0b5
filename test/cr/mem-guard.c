// SPDX-License-Identifier: GPL-2.0-only
/* Guard regions (MADV_GUARD_INSTALL): in private memory, over the border of two mappings, and taken
 * away again afterwards. */
#include "crtest.h"

#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif

#define PAGE  4096L
#define PAGES 64L

static bool is_readable(const void *p)
{
	int ends[2];
	bool yes;

	if (pipe(ends) < 0)
		return false;
	yes = write(ends[1], p, 1) == 1;
	close(ends[0]);
	close(ends[1]);
	return yes;
}

static bool is_guarded(long i)
{
	return (i >= 4 && i < 8) || (i >= 30 && i < 34) || i == 63;
}

int main(int argc, char **argv)
{
	char *memory;

	crtest_begin(argc, argv);
	memory = crtest_must(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	crtest_must(madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE));
	for (long i = 0; i < PAGES; i++)
		memory[i * PAGE] = (char)(i + 1);
	if (madvise(memory + 4 * PAGE, 4 * PAGE, MADV_GUARD_INSTALL) < 0)
		crtest_skip("the kernel has no guard regions");
	crtest_must(mprotect(memory + 32 * PAGE, 32 * PAGE, PROT_READ));
	crtest_must(madvise(memory + 30 * PAGE, 4 * PAGE, MADV_GUARD_INSTALL));
	crtest_must(madvise(memory + 63 * PAGE, PAGE, MADV_GUARD_INSTALL));

	crtest_wait();

	for (long i = 0; i < PAGES; i++) {
		crtest_equal("readable", is_readable(memory + i * PAGE), !is_guarded(i));
		if (!is_guarded(i) && is_readable(memory + i * PAGE))
			crtest_equal("byte", memory[i * PAGE], (char)(i + 1));
	}
	crtest_true(madvise(memory + 4 * PAGE, 4 * PAGE, MADV_GUARD_REMOVE) == 0);
	crtest_true(is_readable(memory + 5 * PAGE) && memory[5 * PAGE] == 0);
	return crtest_end();
}
