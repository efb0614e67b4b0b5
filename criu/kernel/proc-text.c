// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of /proc as text. A dump reads a dozen of them for each task, so each costs one open, one
 * read that gets it all, one read that meets the end (a short read is no proof of the end: some
 * files give a piece at a time), and no allocation while it fits into a page.
 */
#include "kernel/proc-priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/alloc.h"
#include "util/fd.h"

int proc_open_file(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_CLOEXEC);
	int err = -errno;

	if (fd >= 0)
		return fd;
	/* A directory of a task that is gone is empty. */
	if (err == -ENOENT && dir != AT_FDCWD && faccessat(dir, "stat", F_OK, 0) < 0)
		return -ESRCH;
	return err;
}

int proc_text_read(int dir, const char *name, struct proc_text *ret)
{
	_cleanup_close_ int fd = proc_open_file(dir, name, O_RDONLY);
	_cleanup_free_ char *large = NULL;
	size_t capacity = sizeof(ret->buffer), len = 0;
	char *at = ret->buffer;
	ssize_t n;

	ret->data = ret->buffer;
	ret->size = 0;
	if (fd < 0)
		return fd;
	while ((n = read_all(fd, at + len, capacity - len)) > 0) {
		len += (size_t)n;
		if (len < capacity)
			break;
		capacity *= 4;
		large = xrealloc(large, capacity);
		if (at == ret->buffer)
			memcpy(large, ret->buffer, len);
		at = large;
	}
	if (n < 0)
		return (int)n;

	if (large)
		ret->data = TAKE_PTR(large);
	ret->size = len;
	return 0;
}

void proc_text_release(struct proc_text *text)
{
	if (text->data != text->buffer)
		free(text->data);
}

char *proc_put_decimal(char *buf, uint64_t value)
{
	char digits[20];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (n)
		*buf++ = digits[--n];
	return buf;
}

/* Names that are not numbers ("." and "..", and what /proc has besides processes) are passed over.
 */
static size_t take_numbers(const char *entries, size_t size, int **numbers, size_t n,
			   size_t *capacity)
{
	for (size_t at = 0; at < size;) {
		const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
		struct scan name = scan_of(entry->d_name, strlen(entry->d_name));
		uint32_t number = scan_u32(&name, 10);

		at += entry->d_reclen;
		scan_end(&name);
		if (!scan_ok(&name) || number > INT_MAX)
			continue;
		*numbers = array_grow(*numbers, capacity, n + 1, sizeof(**numbers));
		(*numbers)[n++] = (int)number;
	}
	return n;
}

int proc_read_numbers(int dir, const char *name, int **ret, size_t *ret_n)
{
	_cleanup_close_ int fd = proc_open_file(dir, name, O_RDONLY | O_DIRECTORY);
	_cleanup_free_ int *numbers = NULL;
	char entries[16384] __attribute__((aligned(8)));
	size_t n = 0, capacity = 0;
	long got;

	if (fd < 0)
		return fd;
	while ((got = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0)
		n = take_numbers(entries, (size_t)got, &numbers, n, &capacity);
	if (got < 0)
		return errno == ENOENT ? -ESRCH : -errno;

	*ret = TAKE_PTR(numbers);
	*ret_n = n;
	return 0;
}
