// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks on files: POSIX record locks (of a descriptor table), OFD locks, flock(2) and leases (of a
 * description). Saved with
 * --file-locks, from the lock lines of fdinfo, one entry a lock; without it a held lock is refused,
 * because the tree would come back without it. Not saved: who waits for one; the waiting call is
 * made again. Restored by the task that had it, when all its descriptors are in place. Needs:
 * nobody else took the lock meanwhile. Tests: test/cr/lock-*.c
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "cr.h"
#include "options.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "kernel/locks.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/file-lock.pb-c.h"

/* The format's numbers: file_lock_entry.flag, and the bit of type for a lease that is being broken.
 */
enum { FLAG_POSIX = 1, FLAG_FLOCK = 2, FLAG_OFD = 4, FLAG_LEASE = 8 };
#define TYPE_BREAKING 4

static const char *flag_name(uint32_t flag)
{
	switch (flag) {
	case FLAG_POSIX:
		return "POSIX lock";
	case FLAG_FLOCK:
		return "flock";
	case FLAG_OFD:
		return "OFD lock";
	default:
		return "lease";
	}
}

static uint32_t flag_of(const struct lock_facts *lock)
{
	switch (lock->kind) {
	case LOCK_POSIX:
		return FLAG_POSIX;
	case LOCK_FLOCK:
		return FLAG_FLOCK;
	case LOCK_OFD:
		return FLAG_OFD;
	case LOCK_LEASE:
		return FLAG_LEASE;
	default:
		return 0;
	}
}

/* Locks of a description are shown at each of its descriptors; the first holder speaks for all. */
static bool is_told_before(const struct file_holder *holder, uint32_t flag)
{
	return flag != FLAG_POSIX &&
	       list_first_entry(&holder->file->holders, struct file_holder, node) != holder;
}

/* A POSIX lock is shown at each descriptor of the file it was taken through, but only once for a
 * table. */
static bool is_told_in_table(const struct file_holder *holder, uint32_t flag)
{
	struct file_holder *other;

	if (flag != FLAG_POSIX)
		return false;
	list_for_each_entry (other, &holder->file->holders, node)
		if (other->task == holder->task)
			return other != holder;
	return false;
}

static bool is_told(const struct file_holder *holder, const struct lock_facts *lock)
{
	uint32_t flag = flag_of(lock);

	return lock->is_blocked || is_told_before(holder, flag) || is_told_in_table(holder, flag);
}

static int check_held(struct cr *cr, const struct file_holder *holder,
		      const struct lock_facts *lock)
{
	const struct fd_facts *f = &holder->file->facts;
	uint32_t flag = flag_of(lock);

	if (!flag || lock->is_mandatory)
		return log_refuse(cr, -ENOTSUP,
				  "pid %d: fd %d (%s): a lock of a kind that cannot be saved",
				  holder->task->host_pid, holder->fd, f->link);
	if (!cr->opts->file_locks) {
		log_refuse(cr, -ENOLCK, "pid %d: fd %d (%s): a %s is held on it",
			   holder->task->host_pid, holder->fd, f->link, flag_name(flag));
		log_remedy(cr, "use --file-locks, on restore too");
		return -ENOLCK;
	}
	return 0;
}

static int dump_lock(struct cr *cr, const struct file_holder *holder, const struct lock_facts *lock)
{
	FileLockEntry e = FILE_LOCK_ENTRY__INIT;
	struct image *img;
	int err;

	e.flag = flag_of(lock);
	e.type = lock->access == LOCK_FOR_READ    ? F_RDLCK
		 : lock->access == LOCK_FOR_WRITE ? F_WRLCK
						  : F_UNLCK;
	if (lock->kind == LOCK_LEASE && lock->lease == LOCK_LEASE_BREAKING)
		e.type |= TYPE_BREAKING;
	e.pid = holder->task->pid;
	e.fd = holder->fd;
	e.start = lock->start;
	e.len = lock->end == UINT64_MAX ? 0 : lock->end - lock->start + 1;
	err = files_image(cr, IMAGE_FILE_LOCKS, &img);
	if (err)
		return err;
	err = image_write(img, &e.base);
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

typedef int (*lock_visitor)(struct cr *cr, const struct file_holder *holder,
			    const struct lock_facts *lock);

static int visit_locks(struct cr *cr, lock_visitor visit)
{
	for (size_t t = 0; t < cr->files->n_tables; t++) {
		const struct fd_table *table = cr->files->tables[t];

		for (size_t i = 0; i < table->n_fds; i++) {
			const struct fdinfo *info = table->facts[i].info;

			for (size_t k = 0; k < info->n_items; k++) {
				const struct lock_facts *lock = &info->items[k].lock;
				int err = 0;

				if (info->items[k].kind == FDINFO_LOCK &&
				    !is_told(&table->fds[i], lock))
					err = visit(cr, &table->fds[i], lock);
				if (err)
					return err;
			}
		}
	}
	return 0;
}

int locks_collect(struct cr *cr)
{
	return visit_locks(cr, check_held);
}

int locks_dump(struct cr *cr)
{
	return visit_locks(cr, dump_lock);
}

static int check_lock(struct cr *cr, const FileLockEntry *e)
{
	const struct task *task = tree_find(cr->tree, e->pid);

	if (!task || !task->fds || !files_id_of_fd(cr, task, e->fd))
		return log_refuse(cr, -EBADMSG,
				  "filelocks.img: %s of task %d: it has no descriptor %d",
				  flag_name(e->flag), e->pid, e->fd);
	if (e->start < 0 || e->len < 0 ||
	    (e->flag != FLAG_POSIX && e->flag != FLAG_FLOCK && e->flag != FLAG_OFD &&
	     e->flag != FLAG_LEASE))
		return log_refuse(cr, -EBADMSG,
				  "filelocks.img: task %d, fd %d: flag %u or range out of bounds",
				  e->pid, e->fd, e->flag);
	return 0;
}

int locks_load(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	struct files *files = cr->files;
	FileLockEntry *e;
	int err;

	err = image_open(cr->images, IMAGE_FILE_LOCKS, 0, &img);
	while (!err && (err = image_read(img, &e)) > 0) {
		files->locks = array_grow(files->locks, &files->locks_capacity, files->n_locks + 1,
					  sizeof(*files->locks));
		files->locks[files->n_locks++] = e;
		err = check_lock(cr, e);
		if (err)
			return err;
	}
	if (err < 0)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	if (files->n_locks && !cr->opts->file_locks) {
		log_refuse(cr, -ENOLCK, "filelocks.img: the tree held %zu file locks",
			   files->n_locks);
		log_remedy(cr, "use --file-locks");
		return -ENOLCK;
	}
	return 0;
}

static int take_lock(const FileLockEntry *e)
{
	int type = e->type & ~TYPE_BREAKING;
	struct flock range = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = e->start,
		.l_len = e->len,
	};

	switch (e->flag) {
	case FLAG_POSIX:
		return fcntl(e->fd, F_SETLK, &range);
	case FLAG_OFD:
		return fcntl(e->fd, F_OFD_SETLK, &range);
	case FLAG_FLOCK:
		return flock(e->fd, (type == F_RDLCK   ? LOCK_SH
				     : type == F_WRLCK ? LOCK_EX
						       : LOCK_UN) |
					    LOCK_NB);
	default:
		return fcntl(e->fd, F_SETLEASE, type);
	}
}

int locks_restore_table(struct cr *cr, const struct fd_table *table)
{
	struct files *files = cr->files;

	for (size_t i = 0; i < files->n_locks; i++) {
		const FileLockEntry *e = files->locks[i];

		if (tree_find(cr->tree, e->pid)->fds != table)
			continue;
		if (take_lock(e) < 0)
			return log_err(cr, -errno,
				       "task %d: fd %d: take its %s from %" PRId64 " again", e->pid,
				       e->fd, flag_name(e->flag), e->start);
	}
	return 0;
}
