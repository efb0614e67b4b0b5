// SPDX-License-Identifier: GPL-2.0-only
/*
 * client FOLDER: two processes that use testgpu0 and 1, a dma-buf of the first and one of vgem.
 * They write their pids to FOLDER/ready; at each SIGUSR1 each looks at all that it has, and writes
 * `ok' or what is wrong to FOLDER/PID.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "testgpu.h"
#include "vgem.h"

#define SIZE  (64UL << 10)
#define WORDS (SIZE / 8)

struct buffer {
	const char *name;
	int fd;
	uint64_t *at;
	uint64_t seed;
	bool has_engine; /* which counts in the last word */
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void fill(const struct buffer *buffer)
{
	for (uint64_t i = 0; i < WORDS - buffer->has_engine; i++)
		buffer->at[i] = buffer->seed * 0x9e3779b97f4a7c15 + i;
}

static uint64_t *map(int fd, uint64_t offset)
{
	uint64_t *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static struct buffer open_node(const char *name, uint64_t seed)
{
	struct buffer buffer = {.name = name, .seed = seed, .has_engine = true};
	struct testgpu_alloc alloc = {.size = SIZE};

	buffer.fd = open(name, O_RDWR);
	if (buffer.fd < 0 || ioctl(buffer.fd, TESTGPU_ALLOC, &alloc) < 0)
		die(name);
	buffer.at = map(buffer.fd, alloc.offset);
	fill(&buffer);
	return buffer;
}

/* An engine that runs counts on. */
static bool runs(const struct buffer *buffer)
{
	volatile const uint64_t *counter = &buffer->at[WORDS - 1];
	const struct timespec ms = {0, 1000000};
	uint64_t before = *counter;

	for (int i = 0; i < 10000; i++) {
		if (*counter != before)
			return *counter > before;
		nanosleep(&ms, NULL);
	}
	return false;
}

static const char *look(const struct buffer *buffer)
{
	if (fcntl(buffer->fd, F_GETFD) < 0)
		return "is closed";
	for (uint64_t i = 0; i < WORDS - buffer->has_engine; i++)
		if (buffer->at[i] != buffer->seed * 0x9e3779b97f4a7c15 + i)
			return "has other contents";
	return buffer->has_engine && !runs(buffer) ? "does not run" : NULL;
}

/* Both are the same memory. */
static const char *look_together(const struct buffer *one, const struct buffer *two)
{
	const uint64_t old = one->at[0];
	bool is_seen;

	one->at[0] = ~old;
	is_seen = ((volatile uint64_t *)two->at)[0] == ~old;
	one->at[0] = old;
	return is_seen ? NULL : "is not the memory of its dma-buf";
}

static void answer(const char *folder, const char *name, const char *wrong)
{
	char path[256], new[270];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%d", folder, getpid());
	snprintf(new, sizeof(new), "%s.new", path);
	file = fopen(new, "w");
	if (!file)
		die(new);
	fprintf(file, wrong ? "%s %s\n" : "ok\n", name, wrong);
	fclose(file);
	rename(new, path);
}

static void serve(const char *folder, const struct buffer *buffers, size_t n)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	while (sigwait(&set, &sig) == 0) {
		const char *wrong = look_together(&buffers[0], &buffers[1]), *name = "testgpu0";

		for (size_t i = 0; i < n && !wrong; i++) {
			wrong = look(&buffers[i]);
			name = buffers[i].name;
		}
		answer(folder, name, wrong);
	}
}

int main(int argc, char **argv)
{
	struct buffer buffers[4] = {open_node("/dev/testgpu0", 1)};
	char path[256], new[270];
	sigset_t set;
	FILE *ready;
	pid_t child;
	int fd;

	if (argc != 2)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (ioctl(buffers[0].fd, TESTGPU_EXPORT, &fd) < 0)
		die("export");
	buffers[1] = (struct buffer){"dma-buf of testgpu0", fd, map(fd, 0), 1, true};
	fd = vgem_buffer(SIZE);
	if (fd < 0)
		die(VGEM_CARD);
	buffers[2] = (struct buffer){"dma-buf of vgem", fd, map(fd, 0), 2, false};
	fill(&buffers[2]);
	child = fork();
	if (child == 0) {
		/* Its own, beside what it has of its parent. */
		buffers[3] = open_node("/dev/testgpu1", 3);
		serve(argv[1], buffers, 4);
		return 1;
	}
	snprintf(path, sizeof(path), "%s/ready", argv[1]);
	snprintf(new, sizeof(new), "%s.new", path);
	ready = fopen(new, "w");
	if (!ready)
		die(new);
	fprintf(ready, "%d %d\n", getpid(), child);
	fclose(ready);
	rename(new, path);
	serve(argv[1], buffers, 3);
	return 1;
}
