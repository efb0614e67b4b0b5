// SPDX-License-Identifier: GPL-2.0-only
/*
 * The descriptors of a task, from /proc/PID/fd: the numbers with one getdents(2) for many, then a
 * readlink(2) and a stat(2) through the link for each. Link texts lie one after the other in one
 * buffer.
 */
#include "kernel/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/proc-priv.h"
#include "util/alloc.h"

static int compare_numbers(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int fds_read_numbers(int dir, int **ret, size_t *ret_n)
{
	int err = proc_read_numbers(dir, "fd", ret, ret_n);

	/* The kernel lists them in order; to sort what is in order costs next to nothing. */
	if (err == 0 && *ret_n > 1)
		qsort(*ret, *ret_n, sizeof(**ret), compare_numbers);
	return err;
}

struct texts {
	char *data;
	size_t len, capacity;
};

/* Appends the text of the link; its offset in *ret_offset. */
static int add_link(struct texts *texts, int fd_dir, const char *name, size_t *ret_offset)
{
	/* d_path() has a page for the text, so nothing is longer. */
	const size_t room = PATH_MAX + 1;
	ssize_t len;

	texts->data = array_grow(texts->data, &texts->capacity, texts->len + room, 1);
	len = readlinkat(fd_dir, name, texts->data + texts->len, room);
	if (len < 0)
		return -errno;
	if ((size_t)len == room)
		return -ENAMETOOLONG;
	texts->data[texts->len + (size_t)len] = '\0';
	*ret_offset = texts->len;
	texts->len += (size_t)len + 1;
	return 0;
}

static int read_one(int fd_dir, int fd, struct texts *texts, struct fd_link *ret,
		    size_t *ret_offset)
{
	char name[24], *end = proc_put_decimal(name, (uint64_t)fd);
	int err;

	*end = '\0';
	ret->fd = fd;
	err = add_link(texts, fd_dir, name, ret_offset);
	if (err < 0)
		return err;
	return fstatat(fd_dir, name, &ret->st, AT_NO_AUTOMOUNT) < 0 ? -errno : 0;
}

int fds_read(int dir, struct fd_list *ret)
{
	_cleanup_free_ int *numbers = NULL;
	_cleanup_free_ size_t *offsets = NULL;
	_cleanup_close_ int fd_dir = -1;
	struct fd_list list = {};
	struct texts texts = {};
	size_t n;
	int err = fds_read_numbers(dir, &numbers, &n);

	if (err < 0)
		return err;
	fd_dir = proc_open_file(dir, "fd", O_PATH | O_DIRECTORY);
	if (fd_dir < 0)
		return fd_dir;
	list.items = xcalloc(n, sizeof(*list.items));
	offsets = xcalloc(n, sizeof(*offsets));
	for (size_t i = 0; i < n && err == 0; i++)
		err = read_one(fd_dir, numbers[i], &texts, &list.items[i], &offsets[i]);

	list.texts = texts.data;
	if (err < 0) {
		fd_list_release(&list);
		return err;
	}
	for (size_t i = 0; i < n; i++)
		list.items[i].link = list.texts + offsets[i];
	list.n = n;
	*ret = list;
	return 0;
}

void fd_list_release(struct fd_list *list)
{
	free(list->items);
	free(list->texts);
	*list = (struct fd_list){};
}
