// SPDX-License-Identifier: GPL-2.0-only
/* Holes of files: what FIEMAP and SEEK_DATA say of the same file, where there is no map, and the
 * ends of files and blocks. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compel/base/cleanup.h"
#include "util/extents.h"

#define BLOCK 65536

static int unnamed_file(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void put(int fd, off_t at, size_t size)
{
	char bytes[4096];

	memset(bytes, 'x', sizeof(bytes));
	for (; size; size -= size < sizeof(bytes) ? size : sizeof(bytes), at += sizeof(bytes))
		assert_true(pwrite(fd, bytes, size < sizeof(bytes) ? size : sizeof(bytes), at) > 0);
}

/* Nothing but zeros lies outside of the stretches; returns how many bytes lie in them. */
static off_t covered(int fd, bool *fiemap)
{
	off_t start, end = 0, last = 0, sum = 0;
	struct extents e = {.fd = fd, .fiemap = *fiemap};
	struct stat st;
	char *bytes;
	int ret;

	assert_int_equal(fstat(fd, &st), 0);
	e.size = st.st_size;
	/* Not mapped: reading a hole of tmpfs through a mapping fills it. */
	bytes = malloc(st.st_size + 1);
	assert_int_equal(pread(fd, bytes, st.st_size, 0), st.st_size);
	do {
		ret = extents_next(&e, last, &start, &end);
		assert_true(ret >= 0);
		if (!ret)
			start = st.st_size;
		assert_in_range(start, last, st.st_size);
		for (off_t i = last; i < start; i++)
			assert_int_equal(bytes[i], 0);
		if (ret) {
			assert_in_range(end, start + 1, st.st_size);
			sum += end - start;
			last = end;
		}
	} while (ret);
	*fiemap = e.fiemap;
	free(bytes);
	return sum;
}

static void both_ways(const char *folder, bool *ret_has_map)
{
	_cleanup_close_ int fd = unnamed_file(folder);
	bool seek = false;

	*ret_has_map = true;
	assert_int_equal(covered(fd, ret_has_map), 0);
	assert_int_equal(ftruncate(fd, 64 * BLOCK), 0);
	*ret_has_map = true;
	assert_int_equal(covered(fd, ret_has_map), 0);
	put(fd, 2 * BLOCK, BLOCK);
	put(fd, 10 * BLOCK, 2 * BLOCK);
	put(fd, 64 * BLOCK, 10);
	*ret_has_map = true;
	assert_int_equal(covered(fd, ret_has_map), 3 * BLOCK + 10);
	assert_int_equal(covered(fd, &seek), 3 * BLOCK + 10);
	assert_false(seek);
	/* More stretches than one call asks for, the last one inside of a block. */
	for (int i = 0; i < 200; i++)
		put(fd, (66 + 2 * i) * BLOCK, 4096);
	*ret_has_map = true;
	assert_int_equal(covered(fd, ret_has_map), covered(fd, &seek));
}

static void where_there_is_a_map(void **state)
{
	bool has_map;

	both_ways("/tmp", &has_map);
	if (!has_map)
		print_message("/tmp has no map of extents\n");
}

static void where_there_is_none(void **state)
{
	bool has_map;

	both_ways("/dev/shm", &has_map);
	assert_false(has_map);
}

/* What was allocated and never written stays part of the file. */
static void allocated(void **state)
{
	_cleanup_close_ int fd = unnamed_file("/tmp");
	bool fiemap = true;
	off_t sum;

	if (fallocate(fd, 0, 4 * BLOCK, BLOCK) < 0)
		skip();
	sum = covered(fd, &fiemap);
	if (!fiemap)
		skip();
	assert_int_equal(sum, BLOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_there_is_a_map),
		cmocka_unit_test(where_there_is_none),
		cmocka_unit_test(allocated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
