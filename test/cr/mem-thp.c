// SPDX-License-Identifier: GPL-2.0-only
/* Memory that was advised to have huge pages has them after restore; contents of 64 MiB, by
 * checksum. */
#include "crtest.h"

#include <stdint.h>
#include <sys/mman.h>

#define SIZE (64L << 20)

static uint64_t checksum(const uint64_t *words)
{
	uint64_t sum = 0;

	for (long i = 0; i < SIZE / 8; i++)
		sum = sum * 31 + words[i];
	return sum;
}

static long huge_kib(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	char line[512];
	long kib = 0;
	bool inside = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (unsigned long)p >= start && (unsigned long)p < end;
		if (inside && sscanf(line, "AnonHugePages: %ld", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kib;
}

int main(int argc, char **argv)
{
	uint64_t *words, seed = 88172645463325252ull, sum;
	long before;

	crtest_begin(argc, argv);
	words = crtest_must(mmap(NULL, SIZE + (2 << 20), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	words = (uint64_t *)(((uintptr_t)words + (2 << 20) - 1) & -(uintptr_t)(2 << 20));
	if (madvise(words, SIZE, MADV_HUGEPAGE) < 0)
		crtest_skip("the kernel has no transparent huge pages");
	for (long i = 0; i < SIZE / 8; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		words[i] = seed;
	}
	sum = checksum(words);
	before = huge_kib(words);
	if (!before)
		crtest_skip("no huge page was to be had");

	crtest_wait();

	crtest_true(checksum(words) == sum);
	/* Memory may be short of them now; some there must be. */
	if (huge_kib(words) < before / 4)
		crtest_fail("%ld KiB of huge pages are left of %ld", huge_kib(words), before);
	return crtest_end();
}
