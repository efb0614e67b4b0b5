// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses that are reserved and hardly used: 4 TiB without a page, and 40 GiB with a few, some of
 * them neighbours.
 */
#include <sys/mman.h>

#include "crtest.h"

#define GIB (1ul << 30)

static char *reserve(unsigned long gib, int protection)
{
	char *p = mmap(NULL, gib * GIB, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		       0);

	if (p == MAP_FAILED)
		crtest_skip("no room for a reservation");
	return p;
}

int main(int argc, char **argv)
{
	static const unsigned long used[] = {0, 5 * GIB, 16 * GIB - 4096, 16 * GIB,
					     40 * GIB - 4096};
	char *empty, *sparse;

	crtest_begin(argc, argv);
	empty = reserve(4096, PROT_NONE);
	sparse = reserve(40, PROT_READ | PROT_WRITE);
	madvise(sparse, 40 * GIB, MADV_NOHUGEPAGE);
	for (int i = 0; i < 5; i++)
		snprintf(sparse + used[i], 4096, "page %d", i);

	crtest_wait();

	for (int i = 0; i < 5; i++) {
		char text[16];

		snprintf(text, sizeof(text), "page %d", i);
		if (strcmp(sparse + used[i], text) != 0)
			crtest_fail("at %#lx: \"%.16s\"", used[i], sparse + used[i]);
	}
	crtest_equal("a page elsewhere", sparse[7 * GIB], 0);
	crtest_must(mprotect(empty + 4095 * GIB, 4096, PROT_READ | PROT_WRITE));
	crtest_equal("a page of what is reserved", empty[4095 * GIB], 0);
	return crtest_end();
}
