// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whole reads and writes, small files, moving and closing descriptors. Files in /proc are read with
 * one read(2) where they fit into a page, which is nearly always: each further read makes the
 * kernel produce text again or keep a position.
 */
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "util/alloc.h"

ssize_t read_all(int fd, void *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)buf + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t pread_all(int fd, void *buf, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)buf + done, size - done, offset + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int whole(ssize_t n, size_t size)
{
	if (n < 0)
		return (int)n;
	return (size_t)n == size ? 0 : -ENODATA;
}

int read_exact(int fd, void *buf, size_t size)
{
	return whole(read_all(fd, buf, size), size);
}

int pread_exact(int fd, void *buf, size_t size, off_t offset)
{
	return whole(pread_all(fd, buf, size, offset), size);
}

int write_all(int fd, const void *buf, size_t size)
{
	while (size) {
		ssize_t n = write(fd, buf, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buf = (const char *)buf + n;
		size -= (size_t)n;
	}
	return 0;
}

int pwrite_all(int fd, const void *buf, size_t size, off_t offset)
{
	while (size) {
		ssize_t n = pwrite(fd, buf, size, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buf = (const char *)buf + n;
		size -= (size_t)n;
		offset += n;
	}
	return 0;
}

static int open_at(int dirfd, const char *path, int flags)
{
	int fd;

	do {
		fd = openat(dirfd, path, flags | O_CLOEXEC);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int fd_read_file(int dirfd, const char *path, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = open_at(dirfd, path, O_RDONLY);
	_cleanup_free_ char *text = NULL;
	size_t len = 0, capacity = 4096;
	ssize_t n;

	if (fd < 0)
		return fd;
	text = xmalloc(capacity);
	while ((n = read_all(fd, text + len, capacity - 1 - len)) > 0) {
		len += (size_t)n;
		if (len < capacity - 1)
			break;
		if (capacity > SIZE_MAX / 4)
			return -EFBIG;
		capacity *= 2;
		text = xrealloc(text, capacity);
	}
	if (n < 0)
		return (int)n;

	text[len] = '\0';
	*ret = TAKE_PTR(text);
	if (ret_size)
		*ret_size = len;
	return 0;
}

ssize_t fd_read_file_into(int dirfd, const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open_at(dirfd, path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read_all(fd, buf, size);
	if (n < 0)
		return n;
	if ((size_t)n == size)
		return -EFBIG;
	buf[n] = '\0';
	return n;
}

static int write_once(int dirfd, const char *path, const char *text, size_t len)
{
	_cleanup_close_ int fd = open_at(dirfd, path, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	do {
		n = write(fd, text, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int fd_write_file(int dirfd, const char *path, const char *text)
{
	return write_once(dirfd, path, text, strlen(text));
}

int fd_write_filef(int dirfd, const char *path, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	return write_once(dirfd, path, text, (size_t)n);
}

int fd_read_link(int dirfd, const char *path, char **ret)
{
	size_t capacity = 256;

	for (;;) {
		_cleanup_free_ char *text = xmalloc(capacity);
		ssize_t n = readlinkat(dirfd, path, text, capacity);

		if (n < 0)
			return -errno;
		if ((size_t)n < capacity) {
			text[n] = '\0';
			*ret = TAKE_PTR(text);
			return 0;
		}
		capacity *= 2;
	}
}

int fd_move_above(int *fd, int min)
{
	int moved;

	if (*fd >= min)
		return 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, min);
	if (moved < 0)
		return -errno;
	close(*fd);
	*fd = moved;
	return 0;
}

int fd_move_to(int *fd, int number, int cloexec)
{
	if (*fd == number)
		return fd_set_cloexec(number, cloexec);
	if (dup3(*fd, number, cloexec ? O_CLOEXEC : 0) < 0)
		return -errno;
	close(*fd);
	*fd = number;
	return 0;
}

/* Kernels before 5.9: the numbers in /proc/self/fd, read anew after each close because closing
 * moves the directory's position. */
static int close_listed(unsigned int first, unsigned int last)
{
	bool again = true;

	while (again) {
		_cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
		struct dirent *entry;

		if (!dir)
			return -errno;
		again = false;
		while ((entry = readdir(dir))) {
			unsigned long fd = strtoul(entry->d_name, NULL, 10);

			if (entry->d_name[0] == '.' || fd < first || fd > last ||
			    fd == (unsigned long)dirfd(dir))
				continue;
			close((int)fd);
			again = true;
		}
	}
	return 0;
}

int fd_close_range(unsigned int first, unsigned int last)
{
	if (first > last)
		return 0;
	if (syscall(SYS_close_range, first, last, 0) == 0)
		return 0;
	return errno == ENOSYS ? close_listed(first, last) : -errno;
}

int fd_set_cloexec(int fd, int on)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return -errno;
	return fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC) < 0 ? -errno : 0;
}

int fd_set_nonblock(int fd, int on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	return fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}
