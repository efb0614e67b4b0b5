// SPDX-License-Identifier: GPL-2.0-only
// The physical floor for moving MIB of touched anonymous memory to a file and back, single thread.
//   limit write MIB FILE   pwrite from memory to FILE (1 MiB calls), prints seconds
//   limit read MIB FILE    pread FILE into a fresh anonymous mapping (faults included), prints
//                          seconds
//   limit writethp, readthp the same with transparent huge pages
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}
int main(int c, char **v)
{
	if (c < 4)
		return 2;
	size_t len = (size_t)atol(v[2]) << 20, step = 1 << 20;
	char *p = mmap(0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(p, len, strstr(v[1], "thp") ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	double t0;
	if (!strncmp(v[1], "write", 5)) {
		unsigned long s = 1;
		for (size_t i = 0; i < len / 8; i++) {
			s ^= s << 13;
			s ^= s >> 7;
			s ^= s << 17;
			((unsigned long *)p)[i] = s;
		}
		int fd = open(v[3], O_RDWR | O_CREAT | O_TRUNC, 0600);
		t0 = now();
		for (size_t o = 0; o < len; o += step)
			if (pwrite(fd, p + o, step, o) != (ssize_t)step)
				return 3;
	} else {
		int fd = open(v[3], O_RDONLY);
		t0 = now();
		for (size_t o = 0; o < len; o += step)
			if (pread(fd, p + o, step, o) != (ssize_t)step)
				return 3;
	}
	printf("%.4f\n", now() - t0);
	return 0;
}
