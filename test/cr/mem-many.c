// SPDX-License-Identifier: GPL-2.0-only
/* Twenty thousand mappings of a page each, of alternating protection and content. */
#include "crtest.h"

#include <sys/mman.h>

#define PAGE 4096L
#define N    20000L

int main(int argc, char **argv)
{
	char *memory;

	crtest_begin(argc, argv);
	memory = crtest_must(
		mmap(NULL, N * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (long i = 0; i < N; i++) {
		if (i % 3)
			*(long *)(memory + i * PAGE) = i;
		if (i & 1)
			crtest_must(mprotect(memory + i * PAGE, PAGE, PROT_READ));
	}

	crtest_wait();

	for (long i = 0; i < N; i++)
		crtest_equal("word", *(long *)(memory + i * PAGE), i % 3 ? i : 0);
	crtest_true(mprotect(memory, N * PAGE, PROT_READ | PROT_WRITE) == 0);
	memset(memory, 1, N * PAGE);
	return crtest_end();
}
