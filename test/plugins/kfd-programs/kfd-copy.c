// SPDX-License-Identifier: GPL-2.0-only
/*
 * kfd-copy ROOT OUT [gpus=N] [size=BYTES] [rounds=N]: how fast contents can be copied at all. One
 * buffer of VRAM on each GPU is written to a file in OUT, by a thread each, from a mapping and by
 * nothing but write(2), as new pages of the file. Prints
 *
 *	gpus=4 bytes=2147483648 best_us=...
 *
 * OUT should be in memory: it is the copy that is looked at, not the disk.
 */
#include "kfd-client.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PART = 1 << 20 };

struct lane {
	struct client_buffer buffer;
	int out;
	pthread_t thread;
	bool is_bad;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *copy(void *arg)
{
	struct lane *lane = arg;

	for (uint64_t at = 0; at < lane->buffer.size; at += PART) {
		uint64_t left = lane->buffer.size - at;
		size_t size = left < PART ? left : PART;

		if (pwrite(lane->out, lane->buffer.map + at, size, (off_t)at) != (ssize_t)size)
			lane->is_bad = true;
	}
	return NULL;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t copy_all(struct lane *lanes, unsigned int n)
{
	uint64_t start;

	for (unsigned int i = 0; i < n; i++)
		if (ftruncate(lanes[i].out, 0) < 0)
			die("truncate");
	start = now_us();
	for (unsigned int i = 0; i < n; i++)
		if (pthread_create(&lanes[i].thread, NULL, copy, &lanes[i]) != 0)
			die("thread");
	for (unsigned int i = 0; i < n; i++) {
		pthread_join(lanes[i].thread, NULL);
		if (lanes[i].is_bad)
			die("copy");
	}
	return now_us() - start;
}

int main(int argc, char **argv)
{
	static struct lane lanes[CLIENT_GPUS_MAX];
	unsigned long long size = 512ULL << 20;
	unsigned int gpus = 4, rounds = 3;
	uint64_t best = UINT64_MAX;
	struct client client;
	char path[4200];

	for (int i = 3; i < argc; i++)
		if (sscanf(argv[i], "gpus=%u", &gpus) != 1 &&
		    sscanf(argv[i], "size=%llu", &size) != 1 &&
		    sscanf(argv[i], "rounds=%u", &rounds) != 1)
			argc = 0;
	if (argc < 3) {
		fprintf(stderr, "usage: kfd-copy ROOT OUT [gpus=N] [size=BYTES] [rounds=N]\n");
		return 2;
	}
	if (client_open(&client, argv[1], gpus) < 0)
		die(argv[1]);
	for (unsigned int i = 0; i < gpus; i++) {
		if (client_alloc(&client, &lanes[i].buffer, CLIENT_VRAM, i, size, i + 1) < 0)
			die("buffer");
		snprintf(path, sizeof(path), "%s/gpu%u", argv[2], i);
		lanes[i].out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (lanes[i].out < 0)
			die(path);
	}
	while (rounds--) {
		uint64_t us = copy_all(lanes, gpus);

		best = us < best ? us : best;
	}
	printf("gpus=%u bytes=%llu best_us=%llu\n", gpus, size * gpus, (unsigned long long)best);
	return 0;
}
