// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a file has data and where it has holes. FIEMAP answers from the map of the file on disk;
 * what is still on its way there is written out first (FIEMAP_FLAG_SYNC), or file systems could
 * leave it out. A stretch that is allocated but was never written counts as data: it reads as
 * zeros, and its space is part of the file. A map reaches to the end of the last block, and the
 * caller wants bytes of the file only.
 */
#include "util/extents.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "compel/base/bits.h"

/* How much of the map one call asks for. */
#define BATCH 64

union map {
	struct fiemap head;
	char room[sizeof(struct fiemap) + BATCH * sizeof(struct fiemap_extent)];
};

static int ask(const struct extents *e, off_t from, union map *map)
{
	memset(&map->head, 0, sizeof(map->head));
	map->head.fm_start = from;
	map->head.fm_length = e->size - from;
	map->head.fm_flags = FIEMAP_FLAG_SYNC;
	map->head.fm_extent_count = BATCH;
	return ioctl(e->fd, FS_IOC_FIEMAP, map) < 0 ? -errno : 0;
}

static bool has_no_map(int err)
{
	return err == -EOPNOTSUPP || err == -ENOTTY || err == -EINVAL || err == -EBADR;
}

/* Extents that touch are one stretch, also across two calls. */
static int next_by_map(const struct extents *e, off_t from, off_t *ret_start, off_t *ret_end)
{
	off_t start = -1, end = from;
	union map map;

	for (;;) {
		int err = ask(e, end, &map);

		if (err < 0)
			return err;
		for (uint32_t i = 0; i < map.head.fm_mapped_extents; i++) {
			const struct fiemap_extent *x = &map.head.fm_extents[i];

			if (start >= 0 && (off_t)x->fe_logical > end)
				goto out;
			if (start < 0)
				start = MAX(from, (off_t)x->fe_logical);
			end = MAX(end, (off_t)(x->fe_logical + x->fe_length));
			if (x->fe_flags & FIEMAP_EXTENT_LAST)
				goto out;
		}
		if (map.head.fm_mapped_extents < BATCH || end >= e->size)
			break;
	}
out:
	if (start < 0 || start >= e->size)
		return 0;
	*ret_start = start;
	*ret_end = MIN(end, e->size);
	return 1;
}

static int next_by_seek(const struct extents *e, off_t from, off_t *ret_start, off_t *ret_end)
{
	off_t start = lseek(e->fd, from, SEEK_DATA), end;

	if (start < 0)
		return errno == ENXIO ? 0 : -errno;
	if (start >= e->size)
		return 0;
	end = lseek(e->fd, start, SEEK_HOLE);
	if (end < 0)
		return -errno;
	*ret_start = start;
	*ret_end = MIN(end, e->size);
	return 1;
}

int extents_next(struct extents *e, off_t from, off_t *ret_start, off_t *ret_end)
{
	if (from >= e->size)
		return 0;
	if (e->fiemap) {
		int ret = next_by_map(e, from, ret_start, ret_end);

		if (ret >= 0 || !has_no_map(ret))
			return ret;
		e->fiemap = false;
	}
	return next_by_seek(e, from, ret_start, ret_end);
}
