// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unix sockets without a name: pairs made by socketpair(2) with both ends in the tree, ends whose
 * other end is closed, and sockets that were never connected. Saved: type, options, which
 * directions are shut, and what was sent and not received (sk-queue.c). Sockets with names, that
 * listen, or whose peer is outside of the tree are refused. Restored: the end that comes first
 * makes the pair, fills both queues and keeps the other end for whoever owns it. Needs: the maker
 * of its pair. Tests: test/cr/unix-*.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/kinds.h"
#include "sockets/sk-opts.h"
#include "sockets/unix.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

#include "images/core.pb-c.h"
#include "images/fdinfo.pb-c.h"
#include "images/sk-unix.pb-c.h"

/* The kernel's states, as sock_diag tells them. */
enum { STATE_ESTABLISHED = 1, STATE_CLOSE = 7 };

static struct unix_socket *find_socket(struct cr *cr, uint32_t ino)
{
	return hash_get(&cr->files->unix_by_ino, ino);
}

/* The first of an inode number counts. */
static void set_ino(struct cr *cr, struct unix_socket *sk, uint32_t ino)
{
	sk->ino = ino;
	if (!find_socket(cr, ino))
		hash_put(&cr->files->unix_by_ino, ino, sk);
}

/*
 * Which family a socket is of cannot be told by its link, so the kind takes all sockets and
 * refuses, in collect, what it cannot keep.
 */
static bool unix_match(const struct fd_facts *f)
{
	return str_starts_with(f->link, "socket:[");
}

static int refuse(struct cr *cr, const struct file *file, const char *what)
{
	log_refuse(cr, -ENOTSUP, "pid %d: fd %d (%s): %s cannot be saved",
		   file->facts.task->host_pid, file->facts.fd, file->facts.link, what);
	log_remedy(cr, "close the socket before the dump");
	return -ENOTSUP;
}

static int check_family(struct cr *cr, const struct file *file, int fd)
{
	int family = 0;
	socklen_t n = sizeof(family);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) < 0)
		return log_err(cr, -errno, "pid %d: fd %d: get the family of the socket",
			       file->facts.task->host_pid, file->facts.fd);
	switch (family) {
	case AF_UNIX:
		return 0;
	case AF_INET:
	case AF_INET6:
		return refuse(cr, file, "an internet socket");
	case AF_NETLINK:
		return refuse(cr, file, "a netlink socket");
	case AF_PACKET:
		return refuse(cr, file, "a packet socket");
	default:
		return refuse(cr, file, "a socket of this family");
	}
}

static int check_facts(struct cr *cr, const struct unix_socket *sk)
{
	const struct unix_facts *f = &sk->facts;

	if (f->name_length)
		return refuse(cr, &sk->file, "a unix socket with a name");
	if (f->state != STATE_ESTABLISHED && f->state != STATE_CLOSE)
		return refuse(cr, &sk->file, "a unix socket that listens or is being connected");
	return 0;
}

static int unix_collect(struct cr *cr, struct file *file)
{
	struct unix_socket *sk = (struct unix_socket *)file;
	const struct unix_facts *facts;
	_cleanup_close_ int fd = -1;
	int err;

	err = file_borrow_fd(cr, file, &fd);
	if (!err)
		err = check_family(cr, file, fd);
	if (err)
		return err;
	if (!cr->files->unix_sockets) {
		cr->files->unix_sockets = xcalloc(1, sizeof(*cr->files->unix_sockets));
		err = unix_diag_read(cr->files->unix_sockets);
		if (err) {
			log_err(cr, err, "unix sockets: list them (sock_diag)");
			if (err == -ENOENT)
				log_remedy(cr,
					   "load the kernel module unix_diag (CONFIG_UNIX_DIAG)");
			return err;
		}
	}
	set_ino(cr, sk, file->facts.st.st_ino);
	facts = unix_list_find(cr->files->unix_sockets, sk->ino);
	if (!facts)
		return refuse(cr, file, "a unix socket of another network namespace");
	sk->facts = *facts;
	err = check_facts(cr, sk);
	return err ? err : sk_opts_collect(cr, file, fd, &sk->opts);
}

static int unix_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	struct unix_socket *sk = (struct unix_socket *)file;
	UnixSkEntry *e;

	if (sk->facts.peer && !find_socket(cr, sk->facts.peer))
		return refuse(cr, file, "a unix socket whose peer is outside of the tree");
	e = entry->usk = xmalloc(sizeof(*e));
	unix_sk_entry__init(e);
	e->id = file->id;
	e->ino = sk->ino;
	e->type = sk->facts.type;
	e->state = sk->facts.state;
	e->flags = file->flags;
	e->backlog = sk->facts.wqueue;
	e->peer = sk->facts.peer;
	e->fown = file->fown;
	e->opts = sk->opts;
	e->has_ns_id = true;
	e->ns_id = file->facts.task->ids->net_ns_id;
	if (sk->facts.shutdown) {
		e->has_shutdown = true;
		e->shutdown = sk->facts.shutdown;
	}
	return sk_queue_dump(cr, file, sk->facts.type);
}

static int unix_load(struct cr *cr, struct file *file)
{
	struct unix_socket *sk = (struct unix_socket *)file;
	const UnixSkEntry *e = file->entry->usk;

	if (!e)
		return file_refuse_entry(cr, file);
	if (e->name.len || e->uflags || (e->state != STATE_ESTABLISHED && e->state != STATE_CLOSE))
		return log_refuse(cr, -ENOTSUP,
				  "files.img: unix socket %#x: has a name, listens or is external, "
				  "which this criu cannot restore",
				  file->id);
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	set_ino(cr, sk, e->ino);
	return 0;
}

static int unix_link(struct cr *cr, struct file *file)
{
	struct unix_socket *sk = (struct unix_socket *)file;
	const UnixSkEntry *e = file->entry->usk;

	if (!e->peer)
		return 0;
	sk->peer = find_socket(cr, e->peer);
	if (!sk->peer || sk->peer->file.entry->usk->peer != sk->ino)
		return log_refuse(
			cr, -EBADMSG,
			"files.img: unix socket %#x: its peer %u is not there or has another",
			file->id, e->peer);
	if (sk->peer->file.entry->usk->type != e->type)
		return log_refuse(cr, -EBADMSG,
				  "files.img: unix socket %#x: field type: is %u, that of its peer "
				  "%#x is %u",
				  file->id, e->type, sk->peer->file.id,
				  sk->peer->file.entry->usk->type);
	/* The one that stands first makes both. */
	sk->is_maker = !sk->peer->is_maker;
	if (!sk->is_maker)
		file_add_need(file, &sk->peer->file);
	return 0;
}

/*
 * Sets the options of a socket that was just made. What such a one has depends on the system, but
 * is the same for all of a type: it is read once, not for each of what may be thousands.
 */
static int set_options(struct cr *cr, const struct file *file, int fd)
{
	const UnixSkEntry *e = file->entry->usk;
	SkOptsEntry *fresh = hash_get(&cr->files->fresh_unix, (uint64_t)e->type + 1);
	int err;

	if (!fresh) {
		err = sk_opts_collect(cr, file, fd, &fresh);
		if (err) {
			sk_opts_free(fresh);
			return err;
		}
		hash_put(&cr->files->fresh_unix, (uint64_t)e->type + 1, fresh);
	}
	return sk_opts_restore(cr, file, e->opts, fresh, fd);
}

void unix_free_fresh(struct files *files)
{
	SkOptsEntry *opts;

	for (size_t pos = 0; (opts = hash_next(&files->fresh_unix, &pos, NULL));)
		sk_opts_free(opts);
	hash_release(&files->fresh_unix);
}

static int shut_down(struct cr *cr, const struct file *file, int fd)
{
	const UnixSkEntry *e = file->entry->usk;

	/* The numbers of shutdown(2) are one less. */
	if (e->has_shutdown && e->shutdown && shutdown(fd, e->shutdown - 1) < 0)
		return log_err(cr, -errno, "unix socket %#x: shut it down", file->id);
	return 0;
}

/* Both queues are filled while both ends are open and nothing is shut. */
static int make_pair(struct cr *cr, struct file *file, int *ret_fd)
{
	struct unix_socket *sk = (struct unix_socket *)file;
	const UnixSkEntry *e = file->entry->usk;
	_cleanup_close_ int fd = -1, other = -1;
	int ends[2], err;

	if (socketpair(AF_UNIX, e->type | SOCK_CLOEXEC, 0, ends) < 0)
		return log_err(cr, -errno, "unix socket %#x: make the pair", file->id);
	fd = ends[0];
	other = ends[1];
	err = set_options(cr, file, fd);
	if (!err && sk->peer)
		err = set_options(cr, &sk->peer->file, other);
	if (!err)
		err = sk_queue_send(cr, file, e->type, other);
	if (!err && sk->peer)
		err = sk_queue_send(cr, &sk->peer->file, e->type, fd);
	if (!err && sk->peer)
		err = shut_down(cr, &sk->peer->file, other);
	if (!err)
		err = shut_down(cr, file, fd);
	if (!err && sk->peer)
		err = file_keep_extra(cr, file, &sk->peer->file, TAKE_FD(other));
	if (!err)
		*ret_fd = TAKE_FD(fd);
	return err;
}

static int unix_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	struct unix_socket *sk = (struct unix_socket *)file;
	const UnixSkEntry *e = file->entry->usk;
	_cleanup_close_ int fd = -1;
	int err;

	if (sk->peer && !sk->is_maker)
		return file_take_extra(cr, &sk->peer->file, file, ret_fd);
	/* An end whose other end is closed is one of a pair, too. */
	if (sk->is_maker || e->state == STATE_ESTABLISHED ||
	    (e->has_shutdown && e->shutdown == SK_SHUTDOWN__BOTH))
		return make_pair(cr, file, ret_fd);
	fd = socket(AF_UNIX, e->type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return log_err(cr, -errno, "unix socket %#x: create", file->id);
	err = set_options(cr, file, fd);
	if (!err)
		err = shut_down(cr, file, fd);
	if (!err)
		*ret_fd = TAKE_FD(fd);
	return err;
}

static void unix_free(struct file *file)
{
	sk_opts_free(((struct unix_socket *)file)->opts);
}

const struct file_kind file_kind_unix = {
	.name = "unix socket",
	.type = FD_TYPES__UNIXSK,
	.size = sizeof(struct unix_socket),
	.match = unix_match,
	.collect = unix_collect,
	.dump = unix_dump,
	.load = unix_load,
	.link = unix_link,
	.restore = unix_restore,
	.free = unix_free,
};
