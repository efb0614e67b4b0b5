// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors of the task's own namespaces of several kinds lead to the same ones again. */
#include "crtest.h"

#include <sys/stat.h>

static const char *const kinds[] = {"net", "mnt", "pid", "uts", "ipc", "user", "cgroup"};
#define N (sizeof(kinds) / sizeof(*kinds))

int main(int argc, char **argv)
{
	struct stat was, now;
	char path[64];
	int fds[N];

	crtest_begin(argc, argv);
	for (size_t i = 0; i < N; i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		fds[i] = crtest_must(open(path, O_RDONLY));
	}

	crtest_wait();

	for (size_t i = 0; i < N; i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		crtest_must(stat(path, &was));
		crtest_must(fstat(fds[i], &now));
		crtest_equal(kinds[i], now.st_ino, was.st_ino);
	}
	return crtest_end();
}
