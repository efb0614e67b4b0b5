// SPDX-License-Identifier: GPL-2.0-only
/* Huge pages for files on tmpfs (mem/huge-file.c): whole ones only, and silence where there are
 * none to be had. A memory file is one on tmpfs. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem/mem-priv.h"

#define MIB  (1ull << 20)
#define HUGE (2 * MIB)

static off_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

/* Is the page that is mapped there part of a huge one (proc_pid_pagemap(5), proc_kpageflags(5))? */
static bool is_huge(int pagemap, int flags_fd, const char *at)
{
	uint64_t entry, flags;

	(void)*(volatile const char *)at;
	assert_int_equal(pread(pagemap, &entry, sizeof(entry), (off_t)((uintptr_t)at / 4096 * 8)),
			 sizeof(entry));
	assert_int_equal(
		pread(flags_fd, &flags, sizeof(flags), (off_t)((entry & ((1ull << 55) - 1)) * 8)),
		sizeof(flags));
	return flags >> 22 & 1;
}

/* KiB of the first size bytes of a file that are in huge pages. They are looked at: a file that
 * ends before gets longer. */
static unsigned long huge_kib(int fd, size_t size)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY),
	    flags = open("/proc/kpageflags", O_RDONLY);
	unsigned long kib = 0;
	char *at;

	if (pagemap < 0 || flags < 0)
		skip();
	if (size_of(fd) < (off_t)size)
		assert_int_equal(ftruncate(fd, (off_t)size), 0);
	at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	for (size_t i = 0; i < size; i += 4096)
		kib += is_huge(pagemap, flags, at + i) ? 4 : 0;
	munmap(at, size);
	close(pagemap);
	close(flags);
	return kib;
}

/* By this kernel, here and now. */
static bool can_be_huge(void)
{
	int fd = memfd_create("probe", 0);
	char *room = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;
	bool yes;

	assert_ptr_not_equal(room, MAP_FAILED);
	at = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	assert_int_equal(pwrite(fd, "x", 1, HUGE - 1), 1);
	assert_ptr_not_equal(mmap(at, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
			     MAP_FAILED);
	yes = madvise(at, HUGE, 25 /* MADV_COLLAPSE */) == 0;
	munmap(room, 2 * HUGE);
	close(fd);
	return yes;
}

static void check_bytes(int fd, off_t from, off_t to, char wanted)
{
	char buffer[4096];

	for (; from < to; from += (off_t)sizeof(buffer)) {
		assert_int_equal(pread(fd, buffer, sizeof(buffer), from), sizeof(buffer));
		for (size_t i = 0; i < sizeof(buffer); i++)
			assert_int_equal(buffer[i], wanted);
	}
}

static void test_whole_huge_pages(void **state)
{
	struct huge_files files = {0};
	struct huge_window window = {0};
	int fd = memfd_create("whole", 0);
	char *data = malloc(8 * MIB);

	if (!can_be_huge())
		skip();
	memset(data, 'x', 8 * MIB);
	huge_file_prepare(&files, &window, fd, 0, 4 * MIB);
	assert_int_equal(huge_kib(fd, 4 * MIB), 4096);
	huge_file_prepare(&files, &window, fd, 4 * MIB, 8 * MIB);
	check_bytes(fd, 4 * MIB, 4 * MIB + 4096, 0);
	assert_int_equal(pwrite(fd, data, 8 * MIB, 0), 8 * MIB);
	assert_int_equal(size_of(fd), 8 * MIB);
	assert_int_equal(huge_kib(fd, 8 * MIB), 8192);
	assert_int_equal(files.bytes, 8 * MIB);
	check_bytes(fd, 0, 8 * MIB, 'x');
	free(data);
	huge_window_release(&window);
	close(fd);
}

/* What is before and behind them stays as it is, the length of the file included. */
static void test_nothing_else(void **state)
{
	struct huge_files files = {0};
	struct huge_window window = {0};
	int fd = memfd_create("parts", 0);

	huge_file_prepare(&files, &window, fd, 0, HUGE - 1);
	huge_file_prepare(&files, &window, fd, 4096, 2 * HUGE - 4096);
	assert_int_equal(size_of(fd), 0);
	assert_int_equal(files.failures, 0);
	huge_file_prepare(&files, &window, fd, 4096, 2 * HUGE + 4096);
	assert_true(size_of(fd) > (off_t)HUGE && size_of(fd) <= (off_t)(2 * HUGE));
	check_bytes(fd, 0, 4096, 0);
	huge_window_release(&window);
	close(fd);
}

static void test_refusal_is_remembered(void **state)
{
	struct huge_files files = {0};
	struct huge_window window = {0};
	int sealed = memfd_create("sealed", MFD_ALLOW_SEALING), fd = memfd_create("file", 0);

	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW), 0);
	huge_file_prepare(&files, &window, sealed, 0, HUGE);
	assert_int_equal(files.err, -EPERM);
	assert_true(files.is_off);
	assert_int_equal(files.failures, 1);
	huge_file_prepare(&files, &window, fd, 0, HUGE);
	assert_int_equal(size_of(fd), 0);
	huge_window_release(&window);
	close(sealed);
	close(fd);
}

static void say(const char *folder, const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* sched(7): unlimited are -1 and what is not less than the period. */
static void test_not_beside_endless_tasks(void **state)
{
	char folder[] = "/tmp/huge-file-XXXXXX", path[64];

	assert_non_null(mkdtemp(folder));
	assert_true(huge_files_may_hang(folder));
	say(folder, "sched_rt_period_us", "1000000\n");
	assert_true(huge_files_may_hang(folder));
	say(folder, "sched_rt_runtime_us", "950000\n");
	assert_false(huge_files_may_hang(folder));
	say(folder, "sched_rt_runtime_us", "1000000\n");
	assert_true(huge_files_may_hang(folder));
	say(folder, "sched_rt_runtime_us", "-1\n");
	assert_true(huge_files_may_hang(folder));
	snprintf(path, sizeof(path), "%s/sched_rt_period_us", folder);
	assert_int_equal(unlink(path), 0);
	say(folder, "sched_rt_runtime_us", "950000\n");
	assert_true(huge_files_may_hang(folder));
	snprintf(path, sizeof(path), "%s/sched_rt_runtime_us", folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void test_only_on_tmpfs(void **state)
{
	int memory = memfd_create("file", 0), other = open("/proc/self/status", O_RDONLY);

	assert_true(huge_file_is_possible(memory));
	assert_false(huge_file_is_possible(other));
	assert_false(huge_file_is_possible(-1));
	close(memory);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_huge_pages),
		cmocka_unit_test(test_nothing_else),
		cmocka_unit_test(test_refusal_is_remembered),
		cmocka_unit_test(test_not_beside_endless_tasks),
		cmocka_unit_test(test_only_on_tmpfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
