// SPDX-License-Identifier: GPL-2.0-only
// One configurable victim for checkpoint/restore benchmarks.
//   hog mem MIB [thp]      one task, MIB of random, touched anonymous memory
//   hog sparse GIB PCT     one task, GIB reserved, PCT percent of 64-page runs touched
//   hog vmas N             one task with N separate one-page mappings
//   hog procs N            N children, each with 1 MiB
//   hog ptree N MIB        N children, each with MIB
//   hog threads N          N threads
//   hog fds N              N/4 each: files, pipes (pairs), socketpairs, eventfds
// It then wakes every millisecond, counts into the file "tick" 20 times a second, and keeps there
// the longest time (us) it did not run since the file "gap.reset" last appeared: the freeze that
// the application feels.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static uint64_t s = 88172645463325252ull;
static uint64_t rnd(void)
{
	s ^= s << 13;
	s ^= s >> 7;
	s ^= s << 17;
	return s;
}
static void fill(uint64_t *p, size_t n)
{
	for (size_t i = 0; i < n / 8; i++)
		p[i] = rnd();
}
static uint64_t sum(const uint64_t *p, size_t n)
{
	uint64_t h = 0;
	for (size_t i = 0; i < n / 8; i++)
		h = h * 31 + p[i];
	return h;
}
static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}
static void *idle(void *a)
{
	for (;;)
		pause();
	return a;
}
static void die(const char *m)
{
	perror(m);
	exit(2);
}
static void count(char *buf, size_t len, uint64_t want)
{
	int fd = open("tick", O_RDWR | O_CREAT | O_TRUNC, 0644);
	uint64_t last = now_us(), gap = 0;
	for (uint64_t t = 1, k = 1;; k++) {
		usleep(1000);
		uint64_t n2 = now_us();
		if (n2 - last > gap)
			gap = n2 - last;
		last = n2;
		if (k % 50)
			continue;
		if (access("gap.reset", F_OK) == 0) {
			unlink("gap.reset");
			gap = 0;
		}
		char b[96];
		int l = snprintf(b, sizeof b, "%lu %lu      \n", t++, gap);
		pwrite(fd, b, l, 0);
		if (buf && access("verify", F_OK) == 0) {
			l = snprintf(b, sizeof b, "%s\n",
				     sum((uint64_t *)buf, len) == want ? "SAME" : "CORRUPT");
			int v = open("verified", O_WRONLY | O_CREAT, 0644);
			pwrite(v, b, l, 0);
			close(v);
			unlink("verify");
		}
		last = now_us();
	}
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: see source\n");
		return 2;
	}
	const char *mode = argv[1];
	long n = atol(argv[2]);
	char *buf = NULL;
	size_t len = 0;
	uint64_t want = 0;
	if (!strcmp(mode, "mem")) {
		len = (size_t)n << 20;
		buf = mmap(0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (buf == MAP_FAILED)
			die("mmap");
		madvise(buf, len,
			argc > 3 && !strcmp(argv[3], "thp") ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		fill((uint64_t *)buf, len);
		want = sum((uint64_t *)buf, len);
	} else if (!strcmp(mode, "sparse")) {
		size_t tot = (size_t)n << 30, run = 64 * 4096;
		long pct = atol(argv[3]);
		char *p = mmap(0, tot, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			die("mmap");
		madvise(p, tot, MADV_NOHUGEPAGE);
		for (size_t o = 0; o + run <= tot; o += run)
			if ((long)(rnd() % 100) < pct)
				fill((uint64_t *)(p + o), run);
	} else if (!strcmp(mode, "vmas")) {
		for (long i = 0; i < n; i++) {
			char *p = mmap(0, 8192,
				       i & 1 ? PROT_READ | PROT_WRITE
					     : PROT_READ | PROT_WRITE | PROT_EXEC,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (p == MAP_FAILED)
				die("mmap");
			*(long *)p = i;
			mprotect(p + 4096, 4096, PROT_NONE);
		}
	} else if (!strcmp(mode, "procs") || !strcmp(mode, "ptree")) {
		size_t m = (!strcmp(mode, "ptree") ? (size_t)atol(argv[3]) : 1) << 20;
		for (long i = 0; i < n; i++) {
			int pid = fork();
			if (pid < 0)
				die("fork");
			if (!pid) {
				char *p = mmap(0, m, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
				s += i;
				fill((uint64_t *)p, m);
				for (;;)
					pause();
			}
		}
		sleep(1);
	} else if (!strcmp(mode, "threads")) {
		pthread_attr_t at;
		pthread_attr_init(&at);
		pthread_attr_setstacksize(&at, 65536);
		for (long i = 0; i < n; i++) {
			pthread_t t;
			if (pthread_create(&t, &at, idle, NULL))
				die("pthread_create");
		}
	} else if (!strcmp(mode, "fds")) {
		for (long i = 0; i < n / 4; i++) {
			char nm[64];
			snprintf(nm, sizeof nm, "f%ld.dat", i % 64);
			int p[2];
			if (open(nm, O_RDWR | O_CREAT, 0644) < 0)
				die("open");
			if (i & 1) {
				if (pipe(p))
					die("pipe");
			} else if (socketpair(AF_UNIX, SOCK_STREAM, 0, p))
				die("socketpair");
			if (eventfd(0, 0) < 0)
				die("eventfd");
		}
	} else {
		fprintf(stderr, "mode?\n");
		return 2;
	}
	count(buf, len, want);
}
