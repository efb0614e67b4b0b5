// SPDX-License-Identifier: GPL-2.0-only
/*
 * paths FOLDER PATH...: has files open that are not the fake device's, as real character devices
 * that the tool itself cannot dump (/dev/fuse): for plugins of the v0.2 interface, which are asked
 * for nothing else. Afterwards each descriptor leads to a device of the same number.
 */
#include "crtest.h"

#include <sys/stat.h>

enum { MAX_PATHS = 16 };

int main(int argc, char **argv)
{
	struct stat before[MAX_PATHS], after;
	int fds[MAX_PATHS], n = argc - 2;

	crtest_begin(argc, argv);
	if (n < 1 || n > MAX_PATHS)
		crtest_broken("paths FOLDER PATH...");
	for (int i = 0; i < n; i++) {
		fds[i] = crtest_must(open(argv[2 + i], O_RDWR));
		crtest_must(fstat(fds[i], &before[i]));
	}

	crtest_wait();

	for (int i = 0; i < n; i++) {
		if (fstat(fds[i], &after) < 0) {
			crtest_fail("%s: %s", argv[2 + i], strerror(errno));
			continue;
		}
		crtest_equal("mode", after.st_mode, before[i].st_mode);
		crtest_equal("number of the device", (long long)after.st_rdev,
			     (long long)before[i].st_rdev);
	}
	return crtest_end();
}
