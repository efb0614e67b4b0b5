// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copy on write between a task, its child and its grandchild: each has its own contents, and pages
 * that none of them wrote are still one page in memory, as the kernel shows it (shared pages in
 * smaps).
 */
#include "crtest.h"

#include <sys/mman.h>

#define PAGE  4096L
#define PAGES 2048L

static int *memory;
static int *results; /* of the three, shared */

static int *page(long i)
{
	return memory + i * (PAGE / sizeof(int));
}

/* Generation 0 wrote all; 1 and 2 each wrote some and dropped one. */
static int expected(long i, int generation)
{
	if (generation >= 1 && i == 77)
		return 0;
	if (generation >= 2 && i % 64 == 2)
		return 20000 + i;
	if (generation >= 1 && i % 64 == 1)
		return 10000 + i;
	return 1 + i;
}

static void check(int generation)
{
	for (long i = 0; i < PAGES; i++)
		if (*page(i) != expected(i, generation)) {
			crtest_fail("generation %d: page %ld is %d, was %d", generation, i,
				    *page(i), expected(i, generation));
			return;
		}
}

/* KiB of the mapping at memory that other tasks have, too. */
static long shared_kib(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	long clean = -1, dirty = -1;
	char line[512];
	bool inside = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (unsigned long)memory >= start && (unsigned long)memory < end;
		if (inside && sscanf(line, "Shared_Clean: %ld", &clean) == 1)
			continue;
		if (inside && sscanf(line, "Shared_Dirty: %ld", &dirty) == 1)
			break;
	}
	if (f)
		fclose(f);
	return clean < 0 || dirty < 0 ? -1 : clean + dirty;
}

static void write_some(int generation)
{
	for (long i = 0; i < PAGES; i++)
		if (i % 64 == generation)
			*page(i) = expected(i, generation);
	if (generation == 1)
		crtest_must(madvise(page(77), PAGE, MADV_DONTNEED));
}

static void wait_and_check(int generation)
{
	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
	check(generation);
	results[generation] = shared_kib();
	/* Nobody leaves before all have looked. */
	results[8 + generation] = 1;
	while (!results[8] || !results[9] || !results[10])
		crtest_sleep_ms(1);
}

int main(int argc, char **argv)
{
	pid_t child, grandchild;

	crtest_begin(argc, argv);
	results = crtest_must(
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	memory = crtest_must(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	crtest_must(madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE));
	for (long i = 0; i < PAGES; i++)
		*page(i) = expected(i, 0);
	child = crtest_must(fork());
	if (!child) {
		write_some(1);
		grandchild = crtest_must(fork());
		if (!grandchild) {
			write_some(2);
			results[7] = 1;
			wait_and_check(2);
			_exit(crtest_child_status());
		}
		wait_and_check(1);
		crtest_join("grandchild", grandchild);
		_exit(crtest_child_status());
	}
	while (!results[7])
		crtest_sleep_ms(1);

	crtest_wait();

	wait_and_check(0);
	crtest_join("child", child);
	/* 32 + 32 + 1 of 2048 pages differ. */
	for (int i = 0; i < 3; i++)
		if (results[i] < (PAGES - 70) * PAGE / 1024)
			crtest_fail("generation %d shares %d KiB of %ld", i, results[i],
				    PAGES * PAGE / 1024);
	return crtest_end();
}
