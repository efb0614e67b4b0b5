// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors and mappings of shared memory objects: memfds, and what backs shared anonymous
 * mappings. The objects themselves, with their names, sizes, seals and contents, are mem/'s
 * (memfd.img); here is one entry for each open file description of one, and one for those that are
 * mapped without. Restored by opening the object anew. Needs: nothing. Tests: test/cr/memfd-*.c
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "files/kinds.h"
#include "kernel/kcmp.h"
#include "mem/mem.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"
#include "images/fown.pb-c.h"
#include "images/memfd.pb-c.h"

struct memfd {
	struct file file;
	uint32_t inode_id;
};

static bool memfd_match(const struct fd_facts *f)
{
	return !(f->flags & O_PATH) && mem_memfd_match(f->link, &f->st);
}

static int memfd_collect(struct cr *cr, struct file *file)
{
	_cleanup_close_ int fd = -1;
	int err;

	err = file_borrow_fd(cr, file, &fd);
	if (err)
		return err;
	return mem_memfd_add(cr, fd, file->facts.link, &((struct memfd *)file)->inode_id);
}

int memfd_add_mapping(struct cr *cr, const struct fd_facts *facts, uint32_t *ret_id)
{
	struct files *files = cr->files;
	uint64_t key = hash_pair(facts->st.st_dev, facts->st.st_ino);
	struct memfd *memfd = hash_get(&files->mapped_memfds, key);
	_cleanup_close_ int fd = -1;
	char path[64];
	int err;

	if (memfd) {
		*ret_id = memfd->file.id;
		return 0;
	}
	memfd = (struct memfd *)file_new(files, &file_kind_memfd, kcmp_ids_take(files->kcmp));
	memfd->file.facts.task = facts->task;
	memfd->file.facts.fd = memfd->file.facts.path_fd = -1;
	memfd->file.fown = xmalloc(sizeof(*memfd->file.fown));
	fown_entry__init(memfd->file.fown);
	hash_put(&files->mapped_memfds, key, memfd);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", facts->path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return log_err(cr, -errno, "pid %d: open the shared memory %s",
			       facts->task->host_pid, facts->link);
	err = mem_memfd_add(cr, fd, facts->link, &memfd->inode_id);
	if (err)
		return err;
	*ret_id = memfd->file.id;
	return 0;
}

static int memfd_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	MemfdFileEntry *e = entry->memfd = xmalloc(sizeof(*e));

	memfd_file_entry__init(e);
	e->id = file->id;
	e->flags = file->flags;
	e->pos = file->pos;
	e->fown = file->fown;
	e->inode_id = ((struct memfd *)file)->inode_id;
	return 0;
}

static int memfd_load(struct cr *cr, struct file *file)
{
	const MemfdFileEntry *e = file->entry->memfd;

	if (!e)
		return file_refuse_entry(cr, file);
	if (!mem_memfd_exists(cr, e->inode_id))
		return log_refuse(cr, -EBADMSG,
				  "files.img: memfd %#x: inode %u is not in memfd.img", file->id,
				  e->inode_id);
	file->flags = e->flags;
	file->pos = e->pos;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	return 0;
}

static int memfd_open(struct cr *cr, struct file *file, uint32_t flags, int *ret_fd)
{
	return mem_memfd_open(cr, file->entry->memfd->inode_id, flags, ret_fd);
}

static int memfd_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int err;

	err = memfd_open(cr, file, file->flags, &fd);
	if (err)
		return err;
	if (file->pos && lseek(fd, file->pos, SEEK_SET) < 0)
		return log_err(cr, -errno, "memfd %#x: set its position", file->id);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

const struct file_kind file_kind_memfd = {
	.name = "memfd",
	.type = FD_TYPES__MEMFD,
	.size = sizeof(struct memfd),
	.match = memfd_match,
	.collect = memfd_collect,
	.dump = memfd_dump,
	.load = memfd_load,
	.restore = memfd_restore,
	.open = memfd_open,
};
