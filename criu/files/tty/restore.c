// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore of terminals. Masters are opened until the kernel gives the number that the slave's name
 * has; slaves by name, when their master is there. The leader of a session makes a terminal its
 * controlling terminal before anybody opens /dev/tty. Settings and unread bytes come last, from the
 * coordinator, when all ends are open and before anything runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cr.h"
#include "options.h"
#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "files/kinds.h"
#include "files/tty/tty.h"
#include "images/lib/image.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/arena.h"
#include "util/fd.h"
#include "util/futex.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"

#define MAX_PTY_TRIES 4096

int tty_load(struct cr *cr, struct file *file)
{
	struct tty_file *tty = (struct tty_file *)file;
	const TtyFileEntry *e = file->entry->tty;

	if (!e)
		return file_refuse_entry(cr, file);
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	tty->info_id = e->tty_info_id;
	tty->has_regf = e->has_regf_id;
	tty->regf_id = e->regf_id;
	return 0;
}

static int check_info(struct cr *cr, const TtyInfoEntry *e)
{
	if ((e->type == TTY_TYPE__PTY) != (e->pty != NULL))
		return log_refuse(cr, -EBADMSG,
				  "tty-info.img: terminal %u: type %d does not go with its number",
				  e->id, e->type);
	if (e->termios && (e->termios->n_c_cc < NCCS / 4 || !e->winsize))
		return log_refuse(cr, -EBADMSG, "tty-info.img: terminal %u: settings are not whole",
				  e->id);
	return 0;
}

static int load_infos(struct cr *cr)
{
	_cleanup_image_ struct image *infos = NULL, *datas = NULL;
	TtyInfoEntry *e;
	TtyDataEntry *data;
	int err;

	err = image_open(cr->images, IMAGE_TTY_INFO, 0, &infos);
	while (!err && (err = image_read(infos, &e)) > 0) {
		struct tty_info *info = tty_info_new(cr, e->id);

		image_message_free(info->entry);
		info->entry = e;
		err = check_info(cr, e);
		if (err)
			return err;
	}
	if (!err)
		err = image_open(cr->images, IMAGE_TTY_DATA, 0, &datas);
	while (!err && (err = image_read(datas, &data)) > 0) {
		struct tty_info *info = tty_info_find(cr, data->tty_id);

		if (!info || info->data) {
			err = log_refuse(cr, -EBADMSG,
					 "tty-data.img: terminal %u: not in tty-info.img, or twice",
					 data->tty_id);
			image_message_free(data);
			return err;
		}
		info->data = data;
		err = 0;
	}
	if (err < 0)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	tty_pair(cr);
	return 0;
}

static struct tty_file *find_first(struct cr *cr, uint32_t info_id)
{
	struct file *file;

	list_for_each_entry (file, &cr->files->all, all)
		if (file->kind == &file_kind_tty && ((struct tty_file *)file)->info_id == info_id &&
		    !list_is_empty(&file->holders))
			return (struct tty_file *)file;
	return NULL;
}

/* Before anything else uses it: the tool's own terminal, moved out of the way of the tree's
 * descriptors. */
static int take_own(struct cr *cr, const struct tty_file *tty)
{
	struct ttys *ttys = ttys_of(cr);

	if (ttys->own >= 0)
		return 0;
	if (!cr->opts->shell_job) {
		log_refuse(cr, -ENOTTY, "terminal %u: its other end was not in the tree",
			   tty->info_id);
		log_remedy(cr, "use --shell-job to give the tree the terminal that criu has as "
			       "standard input");
		return -ENOTTY;
	}
	if (!isatty(STDIN_FILENO))
		return log_refuse(
			cr, -ENOTTY,
			"terminal %u: --shell-job needs a terminal as standard input of criu",
			tty->info_id);
	ttys->own = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, cr->files->first_free_fd);
	return ttys->own < 0 ? log_err(cr, -errno, "standard input: duplicate") : 0;
}

static int inherited(struct cr *cr, const TtyInfoEntry *e)
{
	char key[64];

	snprintf(key, sizeof(key), "tty[%x:%x]", e->rdev, e->dev);
	return files_inherited(cr, key);
}

int tty_link(struct cr *cr, struct file *file)
{
	struct tty_file *tty = (struct tty_file *)file;
	struct tty_info *info, *other;
	struct tty_file *master;
	struct file *reg;
	int err;

	if (list_is_empty(&ttys_of(cr)->all)) {
		err = load_infos(cr);
		if (err)
			return err;
	}
	info = tty->info = tty_info_find(cr, tty->info_id);
	if (!info)
		return log_refuse(cr, -EBADMSG,
				  "files.img: terminal %#x: %u is not in tty-info.img", file->id,
				  tty->info_id);
	if (!info->first)
		info->first = tty;
	reg = tty->has_regf ? file_find(cr, tty->regf_id) : NULL;
	if (reg && reg->kind == &file_kind_reg && tty_is_pty(info))
		((struct reg_file *)reg)->need_not_be = true;
	if (inherited(cr, info->entry) >= 0)
		return 0;
	if (info->entry->type == TTY_TYPE__EXT_TTY) {
		log_refuse(cr, -ENOTTY, "terminal %u: is external", tty->info_id);
		log_remedy(cr, "pass it with --inherit-fd 'fd[N]:tty[%x:%x]'", info->entry->rdev,
			   info->entry->dev);
		return -ENOTTY;
	}
	if (tty_is_pty(info) && !info->is_master) {
		if (!info->peer)
			return take_own(cr, tty);
		master = find_first(cr, info->peer->entry->id);
		if (master)
			file_add_need(file, &master->file);
	}
	/* The session's leader waits for the master too, and whoever opens /dev/tty for the leader.
	 */
	list_for_each_entry (other, &ttys_of(cr)->all, node) {
		if (info->entry->type != TTY_TYPE__CTTY || !other->is_master || !other->peer ||
		    other->peer->entry->sid != info->entry->sid)
			continue;
		master = find_first(cr, other->entry->id);
		if (master)
			file_add_need(file, &master->file);
	}
	return 0;
}

int tty_prepare(struct cr *cr, struct file *file)
{
	struct ttys *ttys = ttys_of(cr);

	if (ttys->shared)
		return 0;
	ttys->shared = arena_alloc(cr->files->arena,
				   sizeof(*ttys->shared) + cr->tree->n_tasks * sizeof(pid_t));
	return ttys->shared ? 0
			    : log_err(cr, -ENOMEM, "terminals: memory to share between the tasks");
}

/* Opens masters until one has the number; those before it are closed only then, or the kernel would
 * give them again. Two tasks at once would take each other's numbers: see open_master. */
static int find_master(struct cr *cr, const struct tty_info *info, uint32_t flags, int *ret_fd)
{
	int tried[MAX_PTY_TRIES], n = 0, found = -1, err = 0, unlock = 0;
	unsigned index;

	while (found < 0 && n < MAX_PTY_TRIES) {
		int fd = open("/dev/ptmx",
			      (flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY | O_CLOEXEC);

		if (fd < 0 || ioctl(fd, TIOCGPTN, &index) < 0) {
			err = log_err(cr, -errno, "/dev/ptmx: open to get terminal %u",
				      info->entry->pty->index);
			if (fd >= 0)
				close(fd);
			break;
		}
		if (index == info->entry->pty->index)
			found = fd;
		else
			tried[n++] = fd;
		if (index > info->entry->pty->index)
			break;
	}
	while (n)
		close(tried[--n]);
	if (err)
		return err;
	if (found < 0) {
		log_refuse(cr, -EBUSY, "/dev/pts/%u: somebody else has this terminal",
			   info->entry->pty->index);
		log_remedy(cr,
			   "restore when it is free, or in a mount namespace with its own devpts");
		return -EBUSY;
	}
	if (ioctl(found, TIOCSPTLCK, &unlock) < 0) {
		err = log_err(cr, -errno, "/dev/pts/%u: unlock", info->entry->pty->index);
		close(found);
		return err;
	}
	*ret_fd = found;
	return 0;
}

static int open_master(struct cr *cr, const struct tty_info *info, uint32_t flags, int *ret_fd)
{
	struct futex *is_opening = &ttys_of(cr)->shared->is_opening;
	int err;

	while (__atomic_exchange_n(&is_opening->word, 1, __ATOMIC_ACQUIRE)) {
		if (futex_get(&cr->files->shared->failed))
			return -ECANCELED;
		futex_wait(is_opening, 1, 100);
	}
	err = find_master(cr, info, flags, ret_fd);
	futex_set(is_opening, 0);
	return err;
}

static bool has_session(const struct ttys_shared *shared, pid_t sid)
{
	uint32_t n = futex_get(&shared->n_sessions);

	for (uint32_t i = 0; i < n; i++)
		if (shared->sid[i] == sid)
			return true;
	return false;
}

/* In the leader of a session: gives it its controlling terminal. */
static int take_control(struct cr *cr, struct task *task, const struct tty_info *info, int fd)
{
	struct ttys_shared *shared = ttys_of(cr)->shared;
	pid_t pgrp = info->peer->entry->pgrp; /* the master always knows */
	sigset_t block, before;
	int err = 0;

	if (ioctl(fd, TIOCSCTTY, 0) < 0)
		return log_err(cr, -errno,
			       "terminal %u: make it the controlling terminal of session %d",
			       info->entry->id, task->sid);
	/* A group that is not in the foreground would be stopped for this. */
	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	sigprocmask(SIG_BLOCK, &block, &before);
	if (pgrp && tree_find(cr->tree, pgrp) && ioctl(fd, TIOCSPGRP, &pgrp) < 0)
		err = log_err(cr, -errno, "terminal %u: make %d its foreground group",
			      info->entry->id, pgrp);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (err)
		return err;
	shared->sid[__atomic_fetch_add(&shared->n, 1, __ATOMIC_ACQ_REL)] = task->sid;
	futex_add_wake(&shared->n_sessions, 1);
	return 0;
}

static int open_slave(struct cr *cr, const struct tty_info *info, uint32_t flags, int *ret_fd)
{
	char path[64];
	int fd;

	if (info->peer)
		snprintf(path, sizeof(path), "/dev/pts/%u", info->entry->pty->index);
	else
		snprintf(path, sizeof(path), "/proc/self/fd/%d", ttys_of(cr)->own);
	fd = open(path, flags | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return log_err(cr, -errno, "%s: open terminal %u", path, info->entry->id);
	*ret_fd = fd;
	return 0;
}

/*
 * Called by the engine for each task before it opens anything: a leader of a session takes its
 * terminal. Waits for nothing but the master, which waits for nothing.
 */
int tty_restore_session(struct cr *cr, struct task *task)
{
	struct tty_info *info;

	if (task->sid != task->pid || !cr->files->ttys)
		return 0;
	list_for_each_entry (info, &ttys_of(cr)->all, node) {
		_cleanup_close_ int fd = -1;
		struct tty_file *master;
		int err;

		if (!tty_is_pty(info) || info->is_master || !info->peer ||
		    (pid_t)info->peer->entry->sid != task->sid)
			continue;
		master = find_first(cr, info->peer->entry->id);
		if (!master)
			continue;
		/* The task may hold the master itself: then that is opened here already, and stays
		 * for its own turn. */
		err = file_make_early(cr, task, &master->file);
		if (!err)
			err = open_slave(cr, info, O_RDWR, &fd);
		if (!err)
			err = take_control(cr, task, info, fd);
		return err;
	}
	return 0;
}

static int open_controlling(struct cr *cr, struct task *task, const struct file *file, int *ret_fd)
{
	struct ttys_shared *shared = ttys_of(cr)->shared;
	int fd;

	/* Outside of the tree (--shell-job) the session has had its terminal all along. */
	while (tree_find(cr->tree, task->sid) && !has_session(shared, task->sid)) {
		uint32_t n = futex_get(&shared->n_sessions);

		if (futex_get(&cr->files->shared->failed))
			return -ECANCELED;
		futex_wait(&shared->n_sessions, n, 1000);
	}
	fd = open("/dev/tty", file->flags | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return log_err(cr, -errno, "/dev/tty: open in session %d", task->sid);
	*ret_fd = fd;
	return 0;
}

int tty_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	struct tty_file *tty = (struct tty_file *)file;
	const struct tty_info *info = tty->info;
	struct file *reg;
	char path[64];
	int fd = inherited(cr, info->entry);

	if (fd >= 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		fd = open(path, file->flags | O_NOCTTY | O_CLOEXEC);
		if (fd < 0)
			return log_err(cr, -errno, "terminal %u: open the inherited one",
				       info->entry->id);
		*ret_fd = fd;
		return 0;
	}
	if (info->entry->type == TTY_TYPE__CTTY)
		return open_controlling(cr, task, file, ret_fd);
	if (tty_is_pty(info))
		return info->is_master ? open_master(cr, info, file->flags, ret_fd)
				       : open_slave(cr, info, file->flags, ret_fd);
	reg = file_find(cr, tty->has_regf ? tty->regf_id : file->id);
	if (!reg || reg->kind != &file_kind_reg)
		return log_refuse(cr, -EBADMSG, "files.img: terminal %#x: its path is not there",
				  file->id);
	return reg_open(cr, (struct reg_file *)reg, file->flags | O_NOCTTY, ret_fd);
}

static void from_entry(struct termios *t, const TermiosEntry *e)
{
	memset(t, 0, sizeof(*t));
	t->c_iflag = e->c_iflag;
	t->c_oflag = e->c_oflag;
	t->c_cflag = e->c_cflag;
	t->c_lflag = e->c_lflag;
	t->c_line = e->c_line;
	memcpy(t->c_cc, e->c_cc, MIN(sizeof(t->c_cc), e->n_c_cc * sizeof(*e->c_cc)));
}

/* Bytes that were unread at this end (fd) are written at the other. */
static int put_unread(struct cr *cr, const struct tty_info *info, int fd, int other)
{
	const TtyInfoEntry *e = info->entry->termios ? info->entry : info->peer->entry;
	struct termios t;
	int err;

	if (!info->data || !info->data->data.len || !e->termios)
		return 0;
	from_entry(&t, e->termios);
	err = tty_put_unread(fd, other, info->is_master, &t, (const char *)info->data->data.data,
			     (int)info->data->data.len);
	return err ? log_err(cr, err, "terminal %u: put back what was unread", info->entry->id) : 0;
}

static int set_settings(struct cr *cr, const TtyInfoEntry *e, int fd)
{
	struct winsize size;
	struct termios t;

	if (!e->termios)
		return 0;
	size = (struct winsize){e->winsize->ws_row, e->winsize->ws_col, e->winsize->ws_xpixel,
				e->winsize->ws_ypixel};
	from_entry(&t, e->termios);
	if (ioctl(fd, TCSETS, &t) < 0 || ioctl(fd, TIOCSWINSZ, &size) < 0)
		return log_err(cr, -errno, "terminal %u: settings and window size", e->id);
	if (!e->termios_locked)
		return 0;
	from_entry(&t, e->termios_locked);
	if (ioctl(fd, TIOCSLCKTRMIOS, &t) < 0)
		return log_err(cr, -errno, "terminal %u: locked settings", e->id);
	return 0;
}

static int set_modes(struct cr *cr, const struct tty_info *info, int fd)
{
	int on = 1;

	if (info->entry->exclusive && ioctl(fd, TIOCEXCL) < 0)
		return log_err(cr, -errno, "terminal %u: make it exclusive", info->entry->id);
	if (info->is_master && ((info->entry->packet_mode && ioctl(fd, TIOCPKT, &on) < 0) ||
				(info->entry->locked && ioctl(fd, TIOCSPTLCK, &on) < 0)))
		return log_err(cr, -errno, "terminal %u: modes of the master", info->entry->id);
	return 0;
}

/* A pair is done at once, by its master: a slave that is exclusive or locked cannot be opened any
 * more. */
static int resume_pair(struct cr *cr, struct tty_info *master, int fd)
{
	struct tty_info *slave = master->peer;
	_cleanup_close_ int slave_fd = -1;
	int err;

	err = open_slave(cr, slave, O_RDWR, &slave_fd);
	if (!err)
		err = put_unread(cr, slave, slave_fd, fd);
	if (!err)
		err = put_unread(cr, master, fd, slave_fd);
	if (!err)
		err = set_settings(cr, slave->entry->termios ? slave->entry : master->entry,
				   slave_fd);
	if (!err)
		err = set_modes(cr, slave, slave_fd);
	if (!err)
		err = set_modes(cr, master, fd);
	slave->is_done = true;
	return err;
}

/* The job had the foreground of its shell's terminal; it gets that of ours. */
static int resume_own(struct cr *cr, const struct tty_info *info, int fd)
{
	pid_t pgrp = info->entry->pgrp;

	if (!pgrp || !tree_find(cr->tree, pgrp))
		return set_settings(cr, info->entry, fd);
	if (ioctl(fd, TIOCSPGRP, &pgrp) < 0)
		log_warn(cr, "terminal %u: could not make %d its foreground group: %m",
			 info->entry->id, pgrp);
	return set_settings(cr, info->entry, fd);
}

int tty_resume(struct cr *cr, struct file *file, int fd)
{
	struct tty_info *info = ((struct tty_file *)file)->info;
	sigset_t block, before;
	int err;

	if (info->is_done || info->entry->type == TTY_TYPE__CTTY || inherited(cr, info->entry) >= 0)
		return 0;
	if (tty_is_pty(info) && !info->is_master && info->peer && info->peer->first)
		return 0;
	info->is_done = true;
	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	sigprocmask(SIG_BLOCK, &block, &before);
	if (info->is_master && info->peer)
		err = resume_pair(cr, info, fd);
	else if (tty_is_pty(info) && !info->is_master)
		err = resume_own(cr, info, fd);
	else
		err = set_settings(cr, info->entry, fd);
	if (!err && info->is_master && !info->peer)
		err = set_modes(cr, info, fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err;
}
