// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private anonymous memory with every protection, with holes, zero pages and pages dropped, its
 * contents known and its protections as they were; a heap and a stack that grow on.
 */
#include "crtest.h"

#include <sys/mman.h>

#define PAGE  4096L
#define PAGES 4096L
/* Below what grows down the kernel wants a gap (stack_guard_gap). */
#define ROOM 1024L

static const int protections[] = {
	PROT_NONE,
	PROT_READ,
	PROT_WRITE,
	PROT_EXEC,
	PROT_READ | PROT_WRITE,
	PROT_READ | PROT_EXEC,
	PROT_READ | PROT_WRITE | PROT_EXEC,
	-1,
	PROT_NONE,
	PROT_NONE,
};
#define N_PROTECTIONS ((long)(sizeof(protections) / sizeof(*protections)))

static void fill_page(void *at, unsigned int key)
{
	unsigned int *words = at;

	for (int i = 0; i < PAGE / 4; i++)
		words[i] = key = key * 1664525 + 1013904223;
}

static void check_page(const char *what, long index, const void *at, unsigned int key)
{
	static unsigned int expected[PAGE / 4];
	char name[64];

	fill_page(expected, key);
	snprintf(name, sizeof(name), "%s, page %ld", what, index);
	crtest_same_bytes(name, at, expected, PAGE);
}

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

static bool is_resident(void *p)
{
	unsigned char there = 0;

	return mincore(p, PAGE, &there) == 0 && there & 1;
}

/* Uses some of the stack, and gives it back. */
static int deep(int n)
{
	volatile char room[8192];

	room[0] = room[8191] = (char)n;
	return n ? deep(n - 1) + room[0] * 0 : room[8191];
}

static char *by_protection, *large, *reserved, *heap, *grown;

static void set_up_protections(void)
{
	by_protection = crtest_must(mmap(NULL, N_PROTECTIONS * PAGE, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (long i = 0; i < N_PROTECTIONS; i++)
		fill_page(by_protection + i * PAGE, i);
	for (long i = 0; i < N_PROTECTIONS; i++)
		if (protections[i] < 0)
			crtest_must(munmap(by_protection + i * PAGE, PAGE));
		else
			crtest_must(mprotect(by_protection + i * PAGE, PAGE, protections[i]));
}

static void set_up_large(void)
{
	large = crtest_must(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	crtest_must(madvise(large, PAGES * PAGE, MADV_NOHUGEPAGE));
	for (long i = 0; i < PAGES; i += i % 7 + 1)
		fill_page(large + i * PAGE, 1000 + i);
	for (long i = 2048; i < 2304; i++)
		fill_page(large + i * PAGE, 1000 + i);
	/* Read, but never written; and written, then dropped. */
	crtest_true(large[3000 * PAGE + 1] == large[3000 * PAGE + 1]);
	crtest_must(madvise(large + 2100 * PAGE, 3 * PAGE, MADV_DONTNEED));
	memset(large + 2200 * PAGE, 0, PAGE);

	reserved = crtest_must(mmap(NULL, 1L << 36, PROT_NONE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	crtest_must(mprotect(reserved + (1L << 35), PAGE, PROT_READ | PROT_WRITE));
	fill_page(reserved + (1L << 35), 7);
}

static void set_up_growing(void)
{
	heap = crtest_must(sbrk(64 * PAGE));
	for (int i = 0; i < 64; i++)
		fill_page(heap + i * PAGE, 5000 + i);
	grown = crtest_must(mmap(NULL, ROOM * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	grown = crtest_must(mmap(grown + (ROOM - 4) * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
	crtest_must(munmap(grown - (ROOM - 4) * PAGE, (ROOM - 4) * PAGE));
	fill_page(grown, 9);
	fill_page(grown - PAGE, 8);
}

static void check_protections(void)
{
	for (long i = 0; i < N_PROTECTIONS; i++) {
		char *at = by_protection + i * PAGE;

		if (protections[i] <= PROT_NONE)
			crtest_true(!is_readable(at));
		if (protections[i] < 0)
			continue;
		if (mprotect(at, PAGE, PROT_READ) < 0)
			crtest_fail("page %ld is not mapped", i);
		else
			check_page("by protection", i, at, i);
	}
}

static void check_large(void)
{
	crtest_true(!is_resident(large + 2100 * PAGE));
	for (long i = 2048; i < 2304; i++)
		if (i != 2200 && (i < 2100 || i > 2102))
			check_page("large", i, large + i * PAGE, 1000 + i);
	for (long i = 0; i < PAGE; i++)
		if (large[2200 * PAGE + i] || large[3000 * PAGE + i] || large[2101 * PAGE + i]) {
			crtest_fail("a zero page is none");
			break;
		}
	for (long i = 0; i < 2048; i += i % 7 + 1)
		check_page("large", i, large + i * PAGE, 1000 + i);
	check_page("reserved", 0, reserved + (1L << 35), 7);
}

static void check_growing(void)
{
	for (int i = 0; i < 64; i++)
		check_page("heap", i, heap + i * PAGE, 5000 + i);
	crtest_true(sbrk(0) == heap + 64 * PAGE);
	crtest_true(sbrk(16 * PAGE) == heap + 64 * PAGE);
	memset(heap + 64 * PAGE, 1, 16 * PAGE);
	check_page("grown down", 0, grown, 9);
	check_page("grown down", -1, grown - PAGE, 8);
	grown[-3 * PAGE] = 1;
	crtest_equal("depth", deep(60), 0);
}

int main(int argc, char **argv)
{
	crtest_begin(argc, argv);
	set_up_protections();
	set_up_large();
	set_up_growing();
	crtest_wait();
	check_protections();
	check_large();
	check_growing();
	return crtest_end();
}
