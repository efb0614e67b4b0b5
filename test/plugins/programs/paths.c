// SPDX-License-Identifier: GPL-2.0-only
/*
 * paths FOLDER [fork] [map] PATH...: has files open that are not the fake device's, as real
 * character devices that the tool itself cannot dump (/dev/fuse): for plugins of the v0.2
 * interface, which are asked for nothing else. With "fork" a child has them open for itself as
 * well; with "map" the first page of each is mapped shared, the second private, with text of ours
 * in it. Afterwards each descriptor leads to a device of the same number, and the text is there.
 */
#include "crtest.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { MAX_PATHS = 16, PAGE = 4096 };

static const char text[] = "ours alone";

static char *map_pages(int fd)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, PAGE);
	const char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (page == MAP_FAILED || shared == MAP_FAILED)
		crtest_broken("map: %s", strerror(errno));
	memcpy(page, text, sizeof(text));
	return page;
}

static int open_and_wait(char **paths, int n, bool maps, int ready, pid_t child)
{
	struct stat before[MAX_PATHS], after;
	char *pages[MAX_PATHS] = {NULL};
	int fds[MAX_PATHS];
	char byte;

	for (int i = 0; i < n; i++) {
		fds[i] = crtest_must(open(paths[i], O_RDWR));
		crtest_must(fstat(fds[i], &before[i]));
		if (maps)
			pages[i] = map_pages(fds[i]);
	}
	if (child && read(ready, &byte, 1) != 1)
		crtest_broken("the child is not ready (see err)");
	if (!child && ready >= 0)
		crtest_must(write(ready, "", 1));
	if (ready >= 0)
		close(ready);
	if (!child && ready >= 0)
		while (!crtest_is_triggered())
			crtest_sleep_ms(10);
	else
		crtest_wait();
	for (int i = 0; i < n; i++) {
		if (pages[i] && strcmp(pages[i], text) != 0)
			crtest_fail("%s: the private page has changed", paths[i]);
		if (fstat(fds[i], &after) < 0) {
			crtest_fail("%s: %s", paths[i], strerror(errno));
			continue;
		}
		crtest_equal("mode", after.st_mode, before[i].st_mode);
		crtest_equal("number of the device", (long long)after.st_rdev,
			     (long long)before[i].st_rdev);
	}
	return 0;
}

int main(int argc, char **argv)
{
	bool forks = argc > 2 && strcmp(argv[2], "fork") == 0;
	bool maps = argc > 2 + forks && strcmp(argv[2 + forks], "map") == 0;
	int n = argc - 2 - forks - maps, ends[2] = {-1, -1};
	char **paths = argv + 2 + forks + maps;
	pid_t child = 0;

	crtest_begin(argc, argv);
	if (n < 1 || n > MAX_PATHS)
		crtest_broken("paths FOLDER [fork] [map] PATH...");
	if (forks) {
		crtest_must(pipe(ends));
		child = crtest_must(fork());
		if (child == 0) {
			close(ends[0]);
			open_and_wait(paths, n, maps, ends[1], 0);
			_exit(crtest_child_status());
		}
		close(ends[1]);
	}
	open_and_wait(paths, n, maps, ends[0], child);
	if (child)
		crtest_join("child", child);
	return crtest_end();
}
