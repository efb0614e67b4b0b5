// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore of shared memory objects, in the coordinator, before the first fork: so each task finds
 * the object under the number its descriptor has here, and opens it anew as its files and mappings
 * were opened. Shared anonymous memory is made by mmap(2), opened through map_files, to look the
 * same from outside as it did; memfds by memfd_create(2). Seals would forbid the writing and
 * mapping that restore itself does, so they come when all tasks have mapped their memory
 * (mem_finish()).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "files/files.h"
#include "images/lib/image.h"
#include "mem/fill.h"
#include "mem/mem-priv.h"
#include "mem/objects.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/str.h"

#include "images/fdinfo.pb-c.h"
#include "images/memfd.pb-c.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif
#define PARALLEL_MIN (32ull << 20)
/* The kernel refuses longer names. */
#define NAME_LENGTH 249

static const char *inode_fault(const struct cr *cr, const MemfdInodeEntry *e)
{
	uint32_t code = e->hugetlb_flag >> MFD_HUGE_SHIFT & 63;

	if (!e->inode_id || e->inode_id > UINT32_MAX || mem_object_find(cr, e->inode_id))
		return "its number is 0, too large, or there twice";
	if (e->size > INT64_MAX - MEM_PAGE)
		return "it is too large";
	if (strlen(e->name) > NAME_LENGTH)
		return "its name is too long";
	if (e->hugetlb_flag & ~(MFD_HUGETLB | 63u << MFD_HUGE_SHIFT) ||
	    (e->hugetlb_flag && code && code < 12))
		return "its size of huge pages is none";
	return NULL;
}

static int load_inode(struct cr *cr, const MemfdInodeEntry *e)
{
	const char *fault = inode_fault(cr, e);
	struct mem_object *object;

	if (fault)
		return log_refuse(cr, -EBADMSG, "memfd.img: inode %" PRIu64 " (%s): %s",
				  e->inode_id, e->name, fault);
	object = mem_object_new(cr);
	object->inode_id = e->inode_id;
	object->shmid = e->shmid;
	object->name = xstrdup(e->name);
	object->uid = e->uid;
	object->gid = e->gid;
	object->mode = e->has_mode ? e->mode : S_IFREG | 0777;
	object->seals = e->seals;
	object->size = e->size;
	object->hugetlb_flag = e->has_hugetlb_flag ? e->hugetlb_flag : 0;
	return 0;
}

int mem_load_memfd(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	MemfdInodeEntry *e;
	int err;

	err = image_open(cr->images, IMAGE_MEMFD_INODE, 0, &img);
	while (!err && (err = image_read(img, &e)) > 0) {
		err = load_inode(cr, e);
		image_message_free(e);
		if (err)
			return err;
	}
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

bool mem_memfd_exists(struct cr *cr, uint32_t inode_id)
{
	return mem_object_find(cr, inode_id);
}

void mem_object_note(struct cr *cr, uint64_t shmid, uint64_t end)
{
	struct mem_object *object;

	pthread_mutex_lock(&cr->mem->lock);
	object = mem_object_find_shmid(cr, shmid);
	if (!object) {
		object = mem_object_new(cr);
		object->shmid = shmid;
		object->name = xstrdup("/dev/zero");
		object->mode = S_IFREG | 0777;
		object->uid = getuid();
		object->gid = getgid();
		object->seals = F_SEAL_SEAL;
	}
	/* Its size was not saved: as far as somebody maps it. */
	if (!object->inode_id)
		object->size = MAX(object->size, end);
	pthread_mutex_unlock(&cr->mem->lock);
}

/* --- making them --- */

static int make_anonymous(const struct mem_object *object)
{
	size_t size = round_up(object->size, MEM_PAGE);
	int flags = MAP_SHARED | MAP_ANONYMOUS | (object->is_reserved ? 0 : MAP_NORESERVE);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	char name[80];
	int fd;

	if (p == MAP_FAILED)
		return -errno;
	snprintf(name, sizeof(name), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
		 (unsigned long)p + size);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	munmap(p, size);
	return fd;
}

static int make_memfd(const struct mem_object *object)
{
	uint32_t flags = MFD_CLOEXEC | object->hugetlb_flag |
			 (object->seals == F_SEAL_SEAL ? 0 : MFD_ALLOW_SEALING);
	int fd = memfd_create(object->name, flags | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(object->name, flags);
	return fd < 0 ? -errno : fd;
}

static bool is_anonymous(const struct mem_object *object)
{
	return str_equal(object->name, "/dev/zero") && !object->hugetlb_flag && object->size;
}

static int make_object(struct cr *cr, struct mem_object *object)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int err;

	if (is_anonymous(object))
		fd = make_anonymous(object);
	/* Nobody may open map_files without CAP_CHECKPOINT_RESTORE: then a memfd has to do. */
	if (fd < 0)
		fd = make_memfd(object);
	if (fd < 0)
		return log_err(cr, fd, "shared memory %s (%" PRIu64 "): create", object->name,
			       object->shmid);
	if (fstat(fd, &st) < 0 ||
	    ((uint64_t)st.st_size != object->size && ftruncate(fd, (off_t)object->size) < 0))
		return log_err(cr, -errno,
			       "shared memory %s (%" PRIu64 "): make it %" PRIu64 " bytes long",
			       object->name, object->shmid, object->size);
	if ((st.st_uid != object->uid || st.st_gid != object->gid) &&
	    fchown(fd, object->uid, object->gid) < 0)
		return log_err(cr, -errno, "shared memory %s (%" PRIu64 "): set its owner",
			       object->name, object->shmid);
	if (st.st_mode != object->mode && fchmod(fd, object->mode & 07777) < 0)
		return log_err(cr, -errno, "shared memory %s (%" PRIu64 "): set its mode",
			       object->name, object->shmid);
	err = fd_move_above(&fd, files_first_free_fd(cr));
	if (err)
		return log_err(cr, err, "shared memory %s: move its descriptor", object->name);
	object->fd = TAKE_FD(fd);
	return 0;
}

/* Through a mapping: huge pages cannot be written in another way. */
static int fill_object(struct cr *cr, struct mem_object *object)
{
	const struct content *content = &object->content;
	uint64_t size = round_up(object->size, MEM_PAGE);
	struct fill_pieces pieces = {0};
	char what[80];
	void *p;
	int err;

	if (!content->n)
		return 0;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, object->fd, 0);
	if (p == MAP_FAILED)
		return log_err(cr, -errno, "shared memory %s (%" PRIu64 "): map", object->name,
			       object->shmid);
	snprintf(what, sizeof(what), "shared memory %.40s (%" PRIu64 ")", object->name,
		 object->shmid);
	fill_add(&pieces, content, 0, size, (uintptr_t)p, false);
	err = fill_run(cr, content, &pieces, pieces.size >= PARALLEL_MIN, what);
	fill_release(&pieces);
	munmap(p, size);
	return err;
}

/* Memory is accounted for if one of the mappings asks for that. */
static void note_reservations(struct cr *cr)
{
	struct task *task;

	tree_for_each_task (task, cr->tree) {
		for (unsigned int i = 0; task->mm && i < task->mm->n_vmas; i++) {
			const struct vma *vma = &task->mm->vmas[i];
			struct mem_object *object = NULL;

			if (vma->flags & MAP_NORESERVE)
				continue;
			if (vma->status & VMA_ANON_SHARED)
				object = mem_object_find_shmid(cr, vma->shmid);
			else if (vma->status & VMA_AREA_MEMFD &&
				 file_find(cr, vma->shmid)->entry->memfd)
				object = mem_object_find(
					cr, file_find(cr, vma->shmid)->entry->memfd->inode_id);
			if (object)
				object->is_reserved = true;
		}
	}
}

int mem_objects_restore(struct cr *cr)
{
	const struct mem_objects *objects = cr->mem->objects;
	int err;

	for (size_t i = 0; i < objects->n; i++) {
		struct mem_object *object = objects->items[i];

		err = content_load(cr, IMAGE_SHMEM_PAGEMAP, object->shmid,
				   round_up(object->size, MEM_PAGE), true, &object->content);
		if (err)
			return err;
	}
	note_reservations(cr);
	for (size_t i = 0; i < objects->n; i++) {
		err = make_object(cr, objects->items[i]);
		if (!err)
			err = fill_object(cr, objects->items[i]);
		if (err)
			return err;
	}
	/* Threads do not survive the forks that follow. */
	if (objects->n)
		pool_stop(cr->pool);
	return 0;
}

int mem_memfd_open(struct cr *cr, uint32_t inode_id, uint32_t flags, int *ret_fd)
{
	const struct mem_object *object = mem_object_find(cr, inode_id);
	char self[64];
	int fd;

	if (!object || object->fd < 0)
		return log_refuse(cr, -EBADMSG, "shared memory %u: there is no such object",
				  inode_id);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", object->fd);
	fd = open(self, (int)(flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC);
	if (fd < 0)
		return log_err(cr, -errno, "shared memory %s (%" PRIu64 "): open", object->name,
			       object->shmid);
	*ret_fd = fd;
	return 0;
}

int mem_finish(struct cr *cr)
{
	const struct mem_objects *objects = cr->mem->objects;

	for (size_t i = 0; i < objects->n; i++) {
		struct mem_object *object = objects->items[i];

		if (object->seals && object->seals != F_SEAL_SEAL &&
		    fcntl(object->fd, F_ADD_SEALS, object->seals) < 0)
			return log_err(cr, -errno, "shared memory %s (%" PRIu64 "): set seals %#x",
				       object->name, object->shmid, object->seals);
		if (object->fd >= 0)
			close(object->fd);
		object->fd = -1;
	}
	return 0;
}
