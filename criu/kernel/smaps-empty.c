// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings without a page, from the counts in /proc/PID/smaps: for those counts the kernel passes
 * over empty page tables, where reading page map entries takes 2.4 s for each TiB of addresses. Of
 * use for large reservations, before Linux 6.7.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "kernel/maps.h"
#include "kernel/proc-priv.h"

struct record {
	uint64_t start, end;
	uint64_t kib; /* all counts of pages that a mapping can have; hugetlb is none of Rss */
};

static bool take_header(struct record *record, const char *line, size_t size)
{
	struct scan s = scan_of(line, size);
	uint64_t start = scan_u64(&s, 16), end;

	scan_char(&s, '-');
	end = scan_u64(&s, 16);
	if (!scan_ok(&s))
		return false;
	*record = (struct record){start, end, 0};
	return true;
}

static int take_count(struct record *record, const char *line, size_t size)
{
	static const char *const keys[] = {"Rss:", "Swap:", "Private_Hugetlb:", "Shared_Hugetlb:"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t length = strlen(keys[i]);
		struct scan s;

		if (size < length || memcmp(line, keys[i], length) != 0)
			continue;
		s = scan_of(line + length, size - length);
		scan_blanks(&s);
		record->kib += scan_u64(&s, 10);
		return scan_ok(&s) ? 0 : -EBADMSG;
	}
	return 0;
}

static int take_lines(FILE *file, maps_empty_fn *emit, void *arg)
{
	_cleanup_free_ char *line = NULL;
	struct record record = {};
	size_t capacity = 0;
	ssize_t n;

	while ((n = getline(&line, &capacity, file)) > 0) {
		int err;

		if (take_header(&record, line, (size_t)n))
			continue;
		err = take_count(&record, line, (size_t)n);
		if (err < 0)
			return err;
		/* The last line of each. */
		if (strncmp(line, "VmFlags:", 8) == 0 && !record.kib)
			emit(arg, record.start, record.end);
	}
	return ferror(file) ? -EIO : 0;
}

int maps_find_empty(int dir, maps_empty_fn *emit, void *arg)
{
	int fd = proc_open_file(dir, "smaps", O_RDONLY), err;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (fd < 0)
		return fd;
	if (!file) {
		err = -errno;
		close(fd);
		return err;
	}
	err = take_lines(file, emit, arg);
	fclose(file);
	return err;
}
