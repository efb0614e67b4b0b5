// SPDX-License-Identifier: GPL-2.0-only
/*
 * epoll: a set of (file, descriptor number, events, data). Saved: the set, from fdinfo. A target is
 * known to the kernel by the number it had when it was added, which may have been closed or reused
 * since, or be another task's: then the description is found with kcmp(2) KCMP_EPOLL_TFD. Restored
 * when all descriptors of the owner are in place. Ready events that were not fetched show up again,
 * because adding a target looks at it. Needs: nothing before. Tests: test/cr/epoll-*.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "kernel/kcmp.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"

struct epoll {
	struct file file;
	EventpollTfdEntry *targets; /* dump */
	EventpollTfdEntry **list;
	size_t n_targets;
};

static bool epoll_match(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:[eventpoll]") == 0;
}

/* Finds the file that a target leads to, among all descriptions of the tree. 0 if there is none. */
static int find_target(struct cr *cr, const struct file *file, int tfd, uint32_t toff,
		       uint32_t *ret_id)
{
	struct file *other;

	list_for_each_entry (other, &cr->files->all, all) {
		const struct fd_facts *f = &other->facts;
		int order;

		if (f->fd < 0)
			continue;
		order = kcmp_epoll_target(f->task->host_pid, f->fd, file->facts.task->host_pid,
					  file->facts.fd, tfd, toff);
		if (order == 0) {
			*ret_id = other->id;
			return 0;
		}
		if (order < 0)
			return order;
	}
	return -ENOENT;
}

/* How many targets before this one have the same number: the kernel tells them apart by that. */
static uint32_t target_offset(const struct epoll *ep, size_t index)
{
	uint32_t n = 0;

	for (size_t i = 0; i < index; i++)
		n += ep->targets[i].tfd == ep->targets[index].tfd;
	return n;
}

static int resolve_target(struct cr *cr, struct epoll *ep, size_t index)
{
	const struct fd_facts *f = &ep->file.facts;
	EventpollTfdEntry *e = &ep->targets[index];
	uint32_t toff = target_offset(ep, index);
	uint32_t id;
	int err;

	/* The common case: the number still leads there. */
	if (files_id_of_fd(cr, f->task, e->tfd) &&
	    kcmp_epoll_target(f->task->host_pid, e->tfd, f->task->host_pid, f->fd, e->tfd, toff) ==
		    0)
		return 0;
	err = find_target(cr, &ep->file, e->tfd, toff, &id);
	if (err)
		return log_err(cr, err,
			       "pid %d: fd %d: the target that epoll knows as %u is open nowhere "
			       "in the tree",
			       f->task->host_pid, f->fd, e->tfd);
	e->has_file_id = true;
	e->file_id = id;
	return 0;
}

static int epoll_collect(struct cr *cr, struct file *file)
{
	struct epoll *ep = (struct epoll *)file;
	const struct fdinfo *info = file->facts.info;

	ep->targets = xcalloc(info->n_items, sizeof(*ep->targets));
	ep->list = xcalloc(info->n_items, sizeof(*ep->list));
	for (size_t i = 0; i < info->n_items; i++) {
		const struct fdinfo_epoll *t = &info->items[i].epoll;
		EventpollTfdEntry *e = &ep->targets[ep->n_targets];

		if (info->items[i].kind != FDINFO_EPOLL_TARGET)
			continue;
		eventpoll_tfd_entry__init(e);
		e->tfd = t->tfd;
		e->events = t->events;
		e->data = t->data;
		if (t->has_inode) {
			e->has_dev = e->has_inode = e->has_pos = true;
			e->dev = t->sdev;
			e->inode = t->ino;
			e->pos = t->pos;
		}
		ep->list[ep->n_targets++] = e;
	}
	return 0;
}

static int epoll_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	struct epoll *ep = (struct epoll *)file;
	EventpollFileEntry *e = entry->epfd = xmalloc(sizeof(*e));

	eventpoll_file_entry__init(e);
	for (size_t i = 0; i < ep->n_targets; i++) {
		int err = resolve_target(cr, ep, i);

		if (err)
			return err;
	}
	e->id = file->id;
	e->flags = file->flags;
	e->fown = file->fown;
	e->n_tfd = ep->n_targets;
	e->tfd = ep->list;
	return 0;
}

static int epoll_load(struct cr *cr, struct file *file)
{
	const EventpollFileEntry *e = file->entry->epfd;

	if (!e)
		return file_refuse_entry(cr, file);
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	return 0;
}

static int epoll_link(struct cr *cr, struct file *file)
{
	const EventpollFileEntry *e = file->entry->epfd;

	for (size_t i = 0; i < e->n_tfd; i++)
		if (e->tfd[i]->has_file_id && !file_find(cr, e->tfd[i]->file_id))
			return log_refuse(
				cr, -EBADMSG,
				"files.img: epoll %#x: target %u is file %#x, which is not there",
				file->id, e->tfd[i]->tfd, e->tfd[i]->file_id);
	return 0;
}

static int epoll_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return log_err(cr, -errno, "epoll %#x: create", file->id);
	*ret_fd = fd;
	return 0;
}

/*
 * A target that the owner has no descriptor of (any more): it is taken from whoever has it, for as
 * long as it takes to add it, at the number it was added with where that is free.
 */
static int add_foreign(struct cr *cr, struct file *file, int epfd, const EventpollTfdEntry *e,
		       struct epoll_event *event)
{
	struct file *target = file_find(cr, e->file_id);
	_cleanup_close_ int fd = -1, at = -1;
	int err;

	err = file_take(cr, target, &fd);
	if (err)
		return err;
	if (fd != (int)e->tfd && fcntl(e->tfd, F_GETFD) < 0)
		at = dup3(fd, e->tfd, O_CLOEXEC);
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, at >= 0 ? at : fd, event) < 0)
		return log_err(cr, -errno, "epoll %#x: add file %#x", file->id, e->file_id);
	return 0;
}

static int epoll_finish(struct cr *cr, struct task *task, struct file *file, int fd)
{
	const EventpollFileEntry *e = file->entry->epfd;

	for (size_t i = 0; i < e->n_tfd; i++) {
		struct epoll_event event = {.events = e->tfd[i]->events,
					    .data.u64 = e->tfd[i]->data};

		if (e->tfd[i]->has_file_id) {
			int err = add_foreign(cr, file, fd, e->tfd[i], &event);

			if (err)
				return err;
		} else if (epoll_ctl(fd, EPOLL_CTL_ADD, e->tfd[i]->tfd, &event) < 0) {
			return log_err(cr, -errno, "epoll %#x: add fd %u", file->id,
				       e->tfd[i]->tfd);
		}
	}
	return 0;
}

static void epoll_free(struct file *file)
{
	struct epoll *ep = (struct epoll *)file;

	free(ep->targets);
	free(ep->list);
}

const struct file_kind file_kind_epoll = {
	.name = "epoll",
	.type = FD_TYPES__EVENTPOLL,
	.size = sizeof(struct epoll),
	.match = epoll_match,
	.collect = epoll_collect,
	.dump = epoll_dump,
	.load = epoll_load,
	.link = epoll_link,
	.restore = epoll_restore,
	.finish = epoll_finish,
	.free = epoll_free,
};
