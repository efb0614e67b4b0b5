// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ghosts: files that have no name any more but are open, mapped or somebody's working directory.
 * Saved: the inode with owner, mode, times and contents; holes stay holes. One image an inode,
 * however many descriptions lead to it. Restored: next to the old name, as <name>.cr.<id>.ghost, by
 * the coordinator before there are tasks; to open it a task links it to the old name for a moment,
 * so that /proc shows that; at the end the names go away.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "options.h"
#include "run.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/extents.h"
#include "util/futex.h"
#include "util/hash.h"
#include "util/log.h"
#include "util/path.h"

#include "images/ghost-file.pb-c.h"

/* Files from this size on are saved by chunks, without their holes. */
#define CHUNKS_FROM 12288

struct ghost {
	struct list node;
	uint32_t id;
	/* dump */
	struct stat st;
	int fd; /* ours, readable; -1 for what has no contents */
	char *symlink;
	/* restore */
	GhostFileEntry *entry;
	char *name;      /* the old name */
	char *temporary; /* where it lies until the end; NULL before it was created */
	int undo_id;
};

struct ghosts {
	struct list all;
	struct hash by_inode, by_id;
	struct list folders; /* of struct made_folder: what was missing above the names, innermost
				first */
	uint32_t n;
};

struct made_folder {
	struct list node;
	char *name;
	int undo_id;
};

static struct ghosts *ghosts_of(struct cr *cr)
{
	if (!cr->files->ghosts) {
		cr->files->ghosts = xcalloc(1, sizeof(*cr->files->ghosts));
		list_init(&cr->files->ghosts->all);
		list_init(&cr->files->ghosts->folders);
	}
	return cr->files->ghosts;
}

static struct ghost *ghost_new(struct ghosts *ghosts, uint32_t id)
{
	struct ghost *ghost = xcalloc(1, sizeof(*ghost));

	ghost->id = id;
	ghost->fd = -1;
	list_add_tail(&ghosts->all, &ghost->node);
	hash_put(&ghosts->by_id, id, ghost);
	ghosts->n++;
	return ghost;
}

uint32_t ghost_id(const struct ghost *ghost)
{
	return ghost->id;
}

static uint32_t kernel_dev(dev_t dev)
{
	return major(dev) << 20 | minor(dev);
}

/* Opens what the ghost's contents are read from. The file has no name, so nobody waits for a lease
 * on it to break. */
static int open_contents(struct cr *cr, const struct reg_file *reg, struct ghost *ghost)
{
	const struct fd_facts *f = &reg->file.facts;
	char path[64];

	if (f->fd >= 0)
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", f->task->host_pid, f->fd);
	else
		snprintf(path, sizeof(path), "/proc/self/fd/%d", f->path_fd);
	if (S_ISLNK(f->st.st_mode)) {
		char target[PATH_MAX];
		_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
		ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);

		if (n < 0)
			return log_err(cr, -errno, "%s: read the removed link", reg->name);
		target[n] = '\0';
		ghost->symlink = xstrdup(target);
		return 0;
	}
	if (!S_ISREG(f->st.st_mode))
		return 0;
	ghost->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (ghost->fd < 0)
		return log_err(cr, -errno, "%s: open the removed file to read it", reg->name);
	return 0;
}

int ghost_collect(struct cr *cr, struct reg_file *reg, struct ghost **ret)
{
	struct ghosts *ghosts = ghosts_of(cr);
	const struct stat *st = &reg->file.facts.st;
	uint64_t key = hash_pair(st->st_dev, st->st_ino);
	struct ghost *ghost = hash_get(&ghosts->by_inode, key);
	uint64_t bytes = (uint64_t)st->st_blocks * 512;
	int err;

	if (ghost) {
		*ret = ghost;
		return 0;
	}
	if (S_ISREG(st->st_mode) && bytes > cr->opts->ghost_limit) {
		log_refuse(cr, -EFBIG,
			   "%s: was removed and has %" PRIu64
			   " bytes, the limit for such files is %" PRIu64,
			   reg->name, bytes, cr->opts->ghost_limit);
		log_remedy(cr, "raise it with --ghost-limit %" PRIu64 "M", (bytes >> 20) + 1);
		return -EFBIG;
	}
	if (S_ISSOCK(st->st_mode))
		return log_refuse(cr, -ENOTSUP, "%s: a removed socket cannot be saved by its path",
				  reg->name);
	ghost = ghost_new(ghosts, ghosts->n + 1);
	ghost->st = *st;
	hash_put(&ghosts->by_inode, key, ghost);
	err = open_contents(cr, reg, ghost);
	if (err)
		return err;
	*ret = ghost;
	return 0;
}

static int dump_chunks(struct cr *cr, struct image *img, struct ghost *ghost)
{
	struct extents extents = {ghost->fd, ghost->st.st_size, cr->opts->ghost_fiemap};
	off_t start, end = 0;
	int ret;

	while ((ret = extents_next(&extents, end, &start, &end)) > 0) {
		GhostChunkEntry e = GHOST_CHUNK_ENTRY__INIT;

		if (lseek(ghost->fd, start, SEEK_SET) < 0)
			return -errno;
		e.off = start;
		e.len = end - start;
		ret = image_write(img, &e.base);
		if (!ret)
			ret = image_copy_from(img, ghost->fd, e.len, NULL);
		if (ret)
			return ret;
	}
	if (cr->opts->ghost_fiemap && !extents.fiemap)
		log_debug(cr,
			  "ghost %#x: its file system has no map of extents, holes are found "
			  "by lseek",
			  ghost->id);
	return ret;
}

static int ghost_dump(struct cr *cr, struct ghost *ghost)
{
	const struct stat *st = &ghost->st;
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	Timeval atim = TIMEVAL__INIT, mtim = TIMEVAL__INIT;
	_cleanup_image_ struct image *img = NULL;
	int err;

	e.uid = st->st_uid;
	e.gid = st->st_gid;
	e.mode = st->st_mode;
	e.has_dev = e.has_ino = true;
	e.dev = kernel_dev(st->st_dev);
	e.ino = st->st_ino;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		e.has_rdev = true;
		e.rdev = st->st_rdev;
	}
	atim.tv_sec = st->st_atim.tv_sec;
	atim.tv_usec = st->st_atim.tv_nsec / 1000;
	mtim.tv_sec = st->st_mtim.tv_sec;
	mtim.tv_usec = st->st_mtim.tv_nsec / 1000;
	e.atim = &atim;
	e.mtim = &mtim;
	e.symlnk_target = ghost->symlink;
	if (S_ISREG(st->st_mode) && st->st_size >= CHUNKS_FROM) {
		e.has_chunks = e.has_size = true;
		e.chunks = true;
		e.size = st->st_size;
	}

	err = image_create(cr->images, IMAGE_GHOST_FILE, ghost->id, &img);
	if (!err)
		err = image_write(img, &e.base);
	if (!err && ghost->fd >= 0)
		err = e.chunks ? dump_chunks(cr, img, ghost)
			       : image_copy_from(img, ghost->fd, st->st_size, NULL);
	if (!err)
		err = image_close(TAKE_PTR(img));
	return err ? log_refuse(cr, err, "ghost-file-%x.img: %s", ghost->id,
				image_last_error(cr->images))
		   : 0;
}

int ghost_dump_all(struct cr *cr)
{
	struct ghosts *ghosts = ghosts_of(cr);
	struct ghost *ghost;

	list_for_each_entry (ghost, &ghosts->all, node) {
		int err = ghost_dump(cr, ghost);

		if (err)
			return err;
	}
	return 0;
}

int ghost_load(struct cr *cr, uint32_t id, const char *name, struct ghost **ret)
{
	struct ghosts *ghosts = ghosts_of(cr);
	struct ghost *ghost = hash_get(&ghosts->by_id, id);
	int err;

	if (ghost) {
		*ret = ghost;
		return 0;
	}
	ghost = ghost_new(ghosts, id);
	ghost->name = xstrdup(name);
	err = image_read_one(cr->images, IMAGE_GHOST_FILE, id, &ghost->entry);
	if (err < 0)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	if (S_ISLNK(ghost->entry->mode) && !ghost->entry->symlnk_target)
		return log_refuse(cr, -EBADMSG, "ghost-file-%x.img: a symbolic link without target",
				  id);
	if (ghost->entry->has_dev && ghost->entry->has_ino)
		hash_put(&ghosts->by_inode, hash_pair(ghost->entry->dev, ghost->entry->ino), ghost);
	*ret = ghost;
	return 0;
}

/* Folders that have gone since are made again for the time of the restore. */
static int make_folders(struct cr *cr, const char *name)
{
	_cleanup_free_ char *path = xstrdup(name);

	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct made_folder *made;
		int undo_id;

		*slash = '\0';
		if (access(path, F_OK) < 0) {
			undo_id = undo_add_remove(cr, AT_FDCWD, path);
			if (undo_id < 0)
				return undo_id;
			if (mkdir(path, 0755) < 0)
				return log_err(cr, -errno, "%s: make the folder for a removed file",
					       path);
			made = xcalloc(1, sizeof(*made));
			made->name = xstrdup(path);
			made->undo_id = undo_id;
			list_add(&ghosts_of(cr)->folders, &made->node);
		}
		*slash = '/';
	}
	return 0;
}

static int fill_ghost(struct image *img, const GhostFileEntry *e, int fd)
{
	GhostChunkEntry *chunk;
	int err;

	if (!(e->has_chunks && e->chunks))
		return image_copy_to(img, fd, IMAGE_TO_EOF, NULL);
	if (ftruncate(fd, e->size) < 0)
		return -errno;
	while ((err = image_read_as(img, &ghost_chunk_entry__descriptor, &chunk)) > 0) {
		uint64_t off = chunk->off, len = chunk->len;

		image_message_free(chunk);
		if (len > e->size || off > e->size - len)
			return image_refuse(img, -EBADMSG, "chunk lies outside of the file");
		if (lseek(fd, off, SEEK_SET) < 0)
			return -errno;
		err = image_copy_to(img, fd, len, NULL);
		if (err)
			return err;
	}
	return err;
}

static int create_regular(struct cr *cr, struct ghost *ghost, const char *path)
{
	_cleanup_image_ struct image *img = NULL;
	_cleanup_close_ int fd = -1;
	GhostFileEntry *e = NULL;
	int err;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return log_err(cr, -errno, "%s: create the removed file again", path);
	err = image_open(cr->images, IMAGE_GHOST_FILE, ghost->id, &img);
	if (!err)
		err = image_read(img, &e);
	if (err >= 0)
		err = fill_ghost(img, ghost->entry, fd);
	image_message_free(e);
	return err < 0 ? log_refuse(cr, err, "%s: fill it: %s", path, image_last_error(cr->images))
		       : 0;
}

static int set_attributes(struct cr *cr, const GhostFileEntry *e, const char *path)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (fchownat(AT_FDCWD, path, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return log_err(cr, -errno, "%s: give it to %u:%u", path, e->uid, e->gid);
	if (!S_ISLNK(e->mode) && chmod(path, e->mode & 07777) < 0)
		return log_err(cr, -errno, "%s: set mode %#o", path, e->mode & 07777);
	if (e->atim)
		times[0] = (struct timespec){e->atim->tv_sec, e->atim->tv_usec * 1000};
	if (e->mtim)
		times[1] = (struct timespec){e->mtim->tv_sec, e->mtim->tv_usec * 1000};
	if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		return log_err(cr, -errno, "%s: set its times", path);
	return 0;
}

static int ghost_create(struct cr *cr, struct ghost *ghost)
{
	const GhostFileEntry *e = ghost->entry;
	_cleanup_free_ char *path = xasprintf("%s.cr.%x.ghost", ghost->name, ghost->id);
	int err;

	err = make_folders(cr, ghost->name);
	if (err)
		return err;
	/* Folders cannot be linked to the old name, so they are made there, if nothing else is
	 * there now. */
	if (S_ISDIR(e->mode) && access(ghost->name, F_OK) < 0) {
		free(path);
		path = xstrdup(ghost->name);
	}
	/* Not ours, so it must not get into the undo journal. */
	if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		log_refuse(cr, -EEXIST, "%s: is needed for a removed file, and is there already",
			   path);
		log_remedy(cr, "remove it if an earlier restore left it (criu recover)");
		return -EEXIST;
	}
	ghost->undo_id = undo_add_remove(cr, AT_FDCWD, path);
	if (ghost->undo_id < 0)
		return ghost->undo_id;
	switch (e->mode & S_IFMT) {
	case S_IFREG:
		err = create_regular(cr, ghost, path);
		break;
	case S_IFDIR:
		err = mkdir(path, 0700) < 0
			      ? log_err(cr, -errno, "%s: make the removed folder again", path)
			      : 0;
		break;
	case S_IFLNK:
		err = symlink(e->symlnk_target, path) < 0
			      ? log_err(cr, -errno, "%s: make the removed link again", path)
			      : 0;
		break;
	case S_IFIFO:
	case S_IFCHR:
	case S_IFBLK:
		err = mknod(path, e->mode, e->has_rdev ? e->rdev : 0) < 0
			      ? log_err(cr, -errno, "%s: make the removed node again", path)
			      : 0;
		break;
	default:
		err = log_refuse(cr, -EBADMSG, "ghost-file-%x.img: mode %#o is no kind of file",
				 ghost->id, e->mode);
	}
	if (err)
		return err;
	ghost->temporary = TAKE_PTR(path);
	return set_attributes(cr, e, ghost->temporary);
}

int ghost_create_all(struct cr *cr)
{
	struct ghosts *ghosts = ghosts_of(cr);
	struct ghost *ghost;

	list_for_each_entry (ghost, &ghosts->all, node) {
		int err = ghost_create(cr, ghost);

		if (err)
			return err;
	}
	return 0;
}

const char *ghost_temporary(const struct ghost *ghost)
{
	return ghost->temporary;
}

static void lock(struct futex *f)
{
	while (__atomic_exchange_n(&f->word, 1, __ATOMIC_ACQUIRE))
		futex_wait(f, 1, 100);
}

static void unlock(struct futex *f)
{
	futex_set(f, 0);
}

int open_under_name(struct cr *cr, const char *temporary, const char *name, uint32_t flags,
		    int *ret_fd)
{
	struct futex *names = &cr->files->shared->name_lock;
	bool is_linked;
	int fd, err = 0;

	lock(names);
	/* Where something else has the old name now, only what /proc shows differs. */
	is_linked = linkat(AT_FDCWD, temporary, AT_FDCWD, name, 0) == 0;
	if (is_linked)
		err = fault_hit(cr, "task-name");
	fd = err ? -1 : open(is_linked ? name : temporary, flags | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && !err)
		err = log_err(cr, -errno, "%s: open the removed file with flags %#o", name, flags);
	if (is_linked)
		unlink(name);
	unlock(names);
	if (!err)
		*ret_fd = fd;
	return err;
}

int ghost_open(struct cr *cr, struct ghost *ghost, const char *name, uint32_t flags, int *ret_fd)
{
	int fd;

	if (!S_ISDIR(ghost->entry->mode))
		return open_under_name(cr, ghost->temporary, name, flags, ret_fd);
	fd = open(ghost->temporary, flags | O_CLOEXEC);
	if (fd < 0)
		return log_err(cr, -errno, "%s: open the removed folder", name);
	*ret_fd = fd;
	return 0;
}

int ghost_remove_all(struct cr *cr)
{
	struct ghosts *ghosts = ghosts_of(cr);
	struct made_folder *made;
	struct ghost *ghost;
	int first = 0;

	list_for_each_entry (ghost, &ghosts->all, node) {
		if (!ghost->temporary)
			continue;
		if (remove(ghost->temporary) < 0 && !first)
			first = log_err(cr, -errno, "%s: take the name away again",
					ghost->temporary);
		else
			undo_forget(cr, ghost->undo_id);
	}
	list_for_each_entry (made, &ghosts->folders, node) {
		if (rmdir(made->name) < 0 && !first)
			first = log_err(cr, -errno, "%s: take the folder away again", made->name);
		else
			undo_forget(cr, made->undo_id);
	}
	return first;
}

struct ghost *ghost_of_inode(struct cr *cr, uint32_t dev, uint64_t ino)
{
	return hash_get(&ghosts_of(cr)->by_inode, hash_pair(dev, ino));
}

void ghosts_free(struct ghosts *ghosts)
{
	struct made_folder *made, *next_made;
	struct ghost *ghost, *next;

	if (!ghosts)
		return;
	list_for_each_entry_safe (ghost, next, &ghosts->all, node) {
		close_at(&ghost->fd);
		image_message_free(ghost->entry);
		free(ghost->symlink);
		free(ghost->name);
		free(ghost->temporary);
		free(ghost);
	}
	list_for_each_entry_safe (made, next_made, &ghosts->folders, node) {
		free(made->name);
		free(made);
	}
	hash_release(&ghosts->by_inode);
	hash_release(&ghosts->by_id);
	free(ghosts);
}
