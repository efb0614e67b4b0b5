// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies by mapping the buffer, a window at a time, and having the kernel read or write the file
 * from there: there is no memory between. It is the kernel that touches the mapping, so a page that
 * cannot be had is an error (EFAULT) and not a signal. Buffers that the CPU cannot reach (no large
 * BAR, no CPU access) cannot be copied this way: mapping them fails.
 */
#include "copy.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW (16ULL << 20)

static int move(const struct copier *copier, void *at, const struct copy_item *item, uint64_t done,
		size_t size)
{
	off_t pos = (off_t)(item->pos + done);
	ssize_t n = copier->is_restore ? pread(item->file, at, size, pos)
				       : pwrite(item->file, at, size, pos);

	return n < 0 ? (errno == EINTR ? 0 : -errno) : n == 0 ? -ENODATA : (int)n;
}

static int copy_window(struct copier *copier, const struct copy_lane *lane,
		       const struct copy_item *item, uint64_t done, size_t size)
{
	char *window = driver.map(lane->node, item->offset + done, size, copier->is_restore);
	size_t at = 0;
	int n = 0;

	if (!window)
		return copier_fail(copier, -errno, "map the buffer", lane->minor, item->pos + done);
	while (at < size && n >= 0) {
		n = move(copier, window + at, item, done + at, size - at);
		at += n > 0 ? (size_t)n : 0;
	}
	munmap(window, size);
	if (n >= 0)
		return 0;
	return copier_fail(copier, n, copier->is_restore ? "read the image" : "write the image",
			   lane->minor, item->pos + done + at);
}

int copy_by_map(struct copier *copier, const struct copy_lane *lane)
{
	uint64_t limit = copier->limit < WINDOW ? copier->limit : WINDOW;
	int err = 0;

	for (size_t i = 0; !err && i < lane->n_items; i++) {
		const struct copy_item *item = &lane->items[i];

		for (uint64_t done = 0; !err && done < item->size;) {
			uint64_t left = item->size - done;
			size_t size = left < limit ? left : limit;

			if (copier_is_stopping(copier))
				return -ECANCELED;
			err = copy_window(copier, lane, item, done, size);
			done += size;
		}
	}
	return err;
}
