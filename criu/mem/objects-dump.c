// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump of shared memory objects. The kernel keeps memfds, shared anonymous mappings and /dev/zero
 * mapped shared as files of an internal tmpfs or hugetlbfs; one is opened through a descriptor of a
 * task or its map_files, and read with pread(2), so the task is not touched. Saved: name, owner,
 * mode, size, seals, size of huge pages, and the parts that are no holes (pages that are swapped
 * out are none). System V segments are files of that kind, too, but belong to the IPC namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/lib/image.h"
#include "mem/mem-priv.h"
#include "mem/objects.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/path.h"
#include "util/str.h"

#include "images/memfd.pb-c.h"

/* What plain shared memory answers to F_GET_SEALS, too: no more seals. */
#define SEALS_NONE F_SEAL_SEAL

/* By prctl(2), shared anonymous memory may be shown under another name; the object's own stays. */
static char *object_name(const char *link)
{
	const char *memfd_name = str_after(link, "/memfd:");
	const char *own_name = str_starts_with(link, "/anon_hugepage") ? link : "/dev/zero";
	char *name = xstrdup(memfd_name ? memfd_name : own_name);

	path_strip_deleted(name);
	return name;
}

/* Inode numbers are of the filesystem; tmpfs and hugetlbfs may give the same one. */
static uint64_t free_shmid(struct cr *cr, ino_t ino)
{
	uint32_t shmid = ino;

	while (!shmid || mem_object_find_shmid(cr, shmid))
		shmid++;
	return shmid;
}

static int fill_object(struct cr *cr, struct mem_object *object, const char *link)
{
	struct statfs fs;
	int seals;

	if (fstatfs(object->fd, &fs) < 0)
		return log_err(cr, -errno, "shared memory %s: statfs", link);
	if (fs.f_type == HUGETLBFS_MAGIC)
		object->hugetlb_flag = MFD_HUGETLB | (uint32_t)__builtin_ctzl(fs.f_bsize)
							     << MFD_HUGE_SHIFT;
	seals = fcntl(object->fd, F_GET_SEALS);
	object->seals = seals < 0 ? SEALS_NONE : seals;
	object->name = object_name(link);
	return 0;
}

static struct mem_object *find_inode(const struct cr *cr, const struct stat *st)
{
	const struct mem_objects *objects = cr->mem->objects;

	for (size_t i = 0; i < objects->n; i++)
		if (objects->items[i]->ino == st->st_ino && objects->items[i]->dev == st->st_dev)
			return objects->items[i];
	return NULL;
}

static int add_object(struct cr *cr, int fd, const char *link, uint32_t *ret_inode_id)
{
	struct mem_object *object;
	char self[64];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return log_err(cr, -errno, "shared memory %s: stat", link);
	object = find_inode(cr, &st);
	if (!object) {
		uint64_t shmid = free_shmid(cr, st.st_ino);

		object = mem_object_new(cr);
		*object = (struct mem_object){
			.inode_id = cr->mem->objects->n,
			.shmid = shmid,
			.uid = st.st_uid,
			.gid = st.st_gid,
			.mode = st.st_mode,
			.size = st.st_size,
			.dev = st.st_dev,
			.ino = st.st_ino,
		};
		/* The descriptor may be write-only, or a path only. */
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		object->fd = open(self, O_RDONLY | O_CLOEXEC);
		if (object->fd < 0)
			return log_err(cr, -errno, "shared memory %s: open", link);
		*ret_inode_id = object->inode_id;
		return fill_object(cr, object, link);
	}
	*ret_inode_id = object->inode_id;
	return 0;
}

int mem_memfd_add(struct cr *cr, int fd, const char *link, uint32_t *ret_inode_id)
{
	int err;

	pthread_mutex_lock(&cr->mem->lock);
	err = add_object(cr, fd, link, ret_inode_id);
	pthread_mutex_unlock(&cr->mem->lock);
	return err;
}

int mem_object_scan(struct cr *cr, struct mem_object *object)
{
	uint64_t end = round_up(object->size, MEM_PAGE);
	off_t at = 0;

	/* hugetlbfs has no SEEK_DATA of its own: to it all is data. */
	while ((uint64_t)at < object->size) {
		off_t data = lseek(object->fd, at, SEEK_DATA);
		off_t hole;

		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? data : lseek(object->fd, data, SEEK_HOLE);
		if (hole < 0)
			return log_err(cr, -errno, "shared memory %s (%" PRIu64 "): find its data",
				       object->name, object->shmid);
		at = round_up(hole, MEM_PAGE);
		pages_add(&object->pages, round_down(data, MEM_PAGE), MIN((uint64_t)at, end),
			  PE_PRESENT);
	}
	return 0;
}

int mem_dump_memfd(struct cr *cr)
{
	const struct mem_objects *objects = cr->mem->objects;
	_cleanup_image_ struct image *img = NULL;
	int err;

	err = image_create(cr->images, IMAGE_MEMFD_INODE, 0, &img);
	for (size_t i = 0; !err && i < objects->n; i++) {
		const struct mem_object *object = objects->items[i];
		MemfdInodeEntry e = MEMFD_INODE_ENTRY__INIT;

		e.name = object->name;
		e.uid = object->uid;
		e.gid = object->gid;
		e.size = object->size;
		e.shmid = object->shmid;
		e.seals = object->seals;
		e.inode_id = object->inode_id;
		e.has_hugetlb_flag = object->hugetlb_flag != 0;
		e.hugetlb_flag = object->hugetlb_flag;
		e.has_mode = true;
		e.mode = object->mode;
		err = image_write(img, &e.base);
	}
	if (!err)
		err = image_close(TAKE_PTR(img));
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	return 0;
}
