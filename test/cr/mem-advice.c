// SPDX-License-Identifier: GPL-2.0-only
/* Advice and locks that stay with a mapping, droppable memory, and what fork makes of them: flags
 * as in smaps. */
#include "crtest.h"

#include <sys/mman.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

#define PAGE  4096L
#define PAGES 16L
#define MAX   16

static struct {
	const char *what;
	char *at;
	char flags[128];
} known[MAX];
static int n_known;

/* The line "VmFlags:" of the mapping that holds p. */
static void read_flags(const char *p, char flags[128])
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	char line[512];
	bool inside = false;

	strcpy(flags, "not mapped");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (unsigned long)p >= start && (unsigned long)p < end;
		if (inside && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, 128, "%.100s", line + 9);
	}
	if (f)
		fclose(f);
	/* Soft-dirty says what was written since, not what the mapping is. */
	if (strstr(flags, " sd"))
		memcpy(strstr(flags, " sd"), "   ", 3);
	for (size_t n = strlen(flags); n && strchr(" \n", flags[n - 1]); n--)
		flags[n - 1] = '\0';
}

static char *map(const char *what, int flags)
{
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	/* So that no two become one. */
	char *between =
		crtest_must(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	(void)between;
	if (p == MAP_FAILED)
		return NULL;
	memset(p, 'a' + n_known, 3 * PAGE);
	known[n_known].what = what;
	known[n_known].at = p;
	n_known++;
	return p;
}

static void advise(const char *what, int advice)
{
	if (madvise(map(what, MAP_PRIVATE), PAGES * PAGE, advice) < 0)
		n_known--;
}

int main(int argc, char **argv)
{
	char flags[128], *wiped;
	pid_t child;

	crtest_begin(argc, argv);
	advise("random", MADV_RANDOM);
	advise("sequential", MADV_SEQUENTIAL);
	advise("dontfork", MADV_DONTFORK);
	advise("dontdump", MADV_DONTDUMP);
	advise("wipeonfork", MADV_WIPEONFORK);
	wiped = known[n_known - 1].at;
	advise("mergeable", MADV_MERGEABLE);
	advise("hugepage", MADV_HUGEPAGE);
	advise("nohugepage", MADV_NOHUGEPAGE);
	map("locked", MAP_PRIVATE | MAP_LOCKED);
	map("noreserve", MAP_PRIVATE | MAP_NORESERVE);
	map("shared noreserve", MAP_SHARED | MAP_NORESERVE);
	map("droppable", MAP_DROPPABLE);
	for (int i = 0; i < n_known; i++)
		read_flags(known[i].at, known[i].flags);

	crtest_wait();

	for (int i = 0; i < n_known; i++) {
		read_flags(known[i].at, flags);
		crtest_same_text(known[i].what, flags, known[i].flags);
		if (strcmp(known[i].what, "droppable") != 0)
			crtest_equal(known[i].what, known[i].at[2 * PAGE + 1], 'a' + i);
	}
	child = fork();
	if (child == 0) {
		read_flags(known[2].at, flags);
		crtest_same_text("dontfork in a child", flags, "not mapped");
		crtest_equal("wipeonfork in a child", wiped[5], 0);
		_exit(crtest_child_status());
	}
	crtest_join("child", child);
	return crtest_end();
}
