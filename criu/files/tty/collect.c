// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump: which terminal is it, and what are its settings? Read through a duplicate of the
 * descriptor. Which session it controls is told by the tasks (fields 7 and 8 of /proc/PID/stat),
 * because the kernel answers that to nobody outside of the session.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "cr.h"
#include "options.h"
#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "files/tty/tty.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

/* Numbers of Documentation/admin-guide/devices.txt. */
enum {
	MAJOR_TTY = 4,
	MAJOR_TTYAUX = 5,
	MAJOR_PTY_MASTER = 128,
	MAJOR_PTY_SLAVE = 136,
	MAJOR_USB_SERIAL = 188,
	MAJOR_LOW_DENSITY_SERIAL = 204,
	PTY_MAJORS = 8,
};

/* The format's numbers for terminals that have none of their own. */
enum {
	INDEX_CONSOLE = 1002,
	INDEX_VT = 1004,
	INDEX_CTTY = 1006,
	INDEX_SERIAL = 1010,
	INDEX_EXTERNAL = 1013
};
#define C_CC_WORDS 19

struct tty_class {
	TtyType type;
	bool is_master;
	uint32_t index; /* pseudo-terminals: asked for later */
};

static bool classify(dev_t rdev, struct tty_class *ret)
{
	unsigned ma = major(rdev), mi = minor(rdev);

	if ((ma == MAJOR_TTYAUX && mi == 2) ||
	    (ma >= MAJOR_PTY_MASTER && ma < MAJOR_PTY_MASTER + PTY_MAJORS))
		*ret = (struct tty_class){TTY_TYPE__PTY, true, 0};
	else if (ma >= MAJOR_PTY_SLAVE && ma < MAJOR_PTY_SLAVE + PTY_MAJORS)
		*ret = (struct tty_class){TTY_TYPE__PTY, false, (ma - MAJOR_PTY_SLAVE) * 256 + mi};
	else if (ma == MAJOR_TTYAUX && mi == 0)
		*ret = (struct tty_class){TTY_TYPE__CTTY, false, INDEX_CTTY};
	else if (ma == MAJOR_TTYAUX && mi == 1)
		*ret = (struct tty_class){TTY_TYPE__CONSOLE, false, INDEX_CONSOLE};
	else if (ma == MAJOR_TTY && mi >= 1 && mi <= 63)
		*ret = (struct tty_class){TTY_TYPE__VT, false, INDEX_VT};
	else if (ma == MAJOR_USB_SERIAL || ma == MAJOR_LOW_DENSITY_SERIAL)
		*ret = (struct tty_class){TTY_TYPE__SERIAL, false, INDEX_SERIAL};
	else
		return false;
	return true;
}

bool tty_match(const struct fd_facts *f)
{
	struct tty_class class;

	return S_ISCHR(f->st.st_mode) && !(f->flags & O_PATH) && classify(f->st.st_rdev, &class);
}

/* --external tty[RDEV:DEV], numbers in hexadecimal */
static bool is_external(struct cr *cr, const struct fd_facts *f)
{
	char id[64];

	snprintf(id, sizeof(id), "%" PRIx64 ":%" PRIx64, (uint64_t)f->st.st_rdev,
		 (uint64_t)f->st.st_dev);
	return external_match(cr, "tty", id);
}

/* The 32 bytes of the kernel's array lie in the first words. */
static TermiosEntry *termios_entry(const struct termios *t)
{
	TermiosEntry *e = xmalloc(sizeof(*e));

	termios_entry__init(e);
	e->c_iflag = t->c_iflag;
	e->c_oflag = t->c_oflag;
	e->c_cflag = t->c_cflag;
	e->c_lflag = t->c_lflag;
	e->c_line = t->c_line;
	e->n_c_cc = C_CC_WORDS;
	e->c_cc = xcalloc(C_CC_WORDS, sizeof(*e->c_cc));
	memcpy(e->c_cc, t->c_cc, MIN(sizeof(t->c_cc), C_CC_WORDS * sizeof(*e->c_cc)));
	return e;
}

static int collect_settings(struct cr *cr, TtyInfoEntry *e, int fd)
{
	struct winsize size;
	struct termios t;
	WinsizeEntry *w;

	if (ioctl(fd, TCGETS, &t) < 0) {
		/* The other side hung up: there is nothing to keep. */
		if (errno == EIO)
			return 0;
		return log_err(cr, -errno, "tty %u: get its settings", e->id);
	}
	e->termios = termios_entry(&t);
	memset(&t, 0, sizeof(t));
	if (ioctl(fd, TIOCGLCKTRMIOS, &t) < 0 || ioctl(fd, TIOCGWINSZ, &size) < 0)
		return log_err(cr, -errno, "tty %u: get its window size and locked settings",
			       e->id);
	e->termios_locked = termios_entry(&t);
	w = e->winsize = xmalloc(sizeof(*w));
	winsize_entry__init(w);
	w->ws_row = size.ws_row;
	w->ws_col = size.ws_col;
	w->ws_xpixel = size.ws_xpixel;
	w->ws_ypixel = size.ws_ypixel;
	return 0;
}

static int collect_pty(struct cr *cr, struct tty_info *info, int fd, bool is_master, uint32_t index)
{
	TtyInfoEntry *e = info->entry;
	int locked = 0, packet = 0;

	if (is_master && (ioctl(fd, TIOCGPTLCK, &locked) < 0 || ioctl(fd, TIOCGPKT, &packet) < 0))
		return log_err(cr, -errno, "tty %u: get the modes of the master", e->id);
	e->locked = locked;
	e->packet_mode = packet;
	e->pty = xmalloc(sizeof(*e->pty));
	tty_pty_entry__init(e->pty);
	e->pty->index = index;
	return 0;
}

/* How the kernel packs a device number for user space (new_encode_dev). */
static uint32_t encoded_dev(dev_t dev)
{
	return (minor(dev) & 0xff) | major(dev) << 8 | (minor(dev) & ~0xffu) << 12;
}

/* The session that the terminal controls and its foreground group, as the tree sees them. */
static int collect_session(struct cr *cr, struct tty_info *info, const struct fd_facts *f,
			   uint32_t rdev)
{
	struct task *task;

	tree_for_each_task (task, cr->tree) {
		const struct proc_stat *stat = &task->dump->stat;
		const struct task *group;

		if (!task_is_alive(task) || (uint32_t)stat->tty_nr != rdev)
			continue;
		if (info->entry->type == TTY_TYPE__CTTY && task != f->task)
			continue;
		group = tree_find_host(cr->tree, stat->tpgid);
		info->entry->sid = task->sid;
		info->entry->pgrp = stat->tpgid > 0 ? stat->tpgid : 0;
		if (group)
			info->entry->pgrp = group->pid;
		break;
	}
	if (!info->entry->sid || cr->opts->shell_job || tree_find(cr->tree, info->entry->sid))
		return 0;
	log_refuse(cr, -ENOTSUP,
		   "pid %d: fd %d (%s): is the terminal of session %u, whose leader is not in the "
		   "tree",
		   f->task->host_pid, f->fd, f->link, info->entry->sid);
	log_remedy(cr, "use --shell-job, on restore too");
	return -ENOTSUP;
}

static int collect_info(struct cr *cr, struct tty_file *tty, const struct tty_class *class,
			uint32_t index, int fd)
{
	const struct fd_facts *f = &tty->file.facts;
	struct tty_info *info = tty->info;
	TtyInfoEntry *e = info->entry;
	uint32_t rdev = encoded_dev(f->st.st_rdev);
	int exclusive = 0, err;

	e->type = class->type;
	e->rdev = f->st.st_rdev;
	e->has_dev = e->has_uid = e->has_gid = true;
	e->dev = f->st.st_dev;
	e->uid = f->st.st_uid;
	e->gid = f->st.st_gid;
	info->is_master = class->is_master;
	if (class->type == TTY_TYPE__EXT_TTY)
		return collect_settings(cr, e, fd);
	if (ioctl(fd, TIOCGEXCL, &exclusive) < 0 && errno != EIO)
		return log_err(cr, -errno, "pid %d: fd %d (%s): is it exclusive?",
			       f->task->host_pid, f->fd, f->link);
	e->exclusive = exclusive;
	err = collect_settings(cr, e, fd);
	if (!err && class->type == TTY_TYPE__PTY)
		err = collect_pty(cr, info, fd, class->is_master, index);
	if (err)
		return err;
	if (class->type == TTY_TYPE__PTY)
		rdev = encoded_dev(makedev(MAJOR_PTY_SLAVE + index / 256, index % 256));
	if (class->type == TTY_TYPE__CTTY)
		rdev = f->task->dump->stat.tty_nr;
	return collect_session(cr, info, f, rdev);
}

/* A slave whose master is not in the tree: somebody else's terminal. */
static int check_alone(struct cr *cr, struct tty_file *tty)
{
	const struct fd_facts *f = &tty->file.facts;
	struct file *file;

	if (!tty_is_pty(tty->info) || tty->info->is_master || cr->opts->shell_job)
		return 0;
	list_for_each_entry (file, &cr->files->all, all) {
		_cleanup_close_ int fd = -1;
		struct tty_class class;
		unsigned index;

		if (file->kind != tty->file.kind || !classify(file->facts.st.st_rdev, &class) ||
		    !class.is_master)
			continue;
		if (file_borrow_fd(cr, file, &fd) == 0 && ioctl(fd, TIOCGPTN, &index) == 0 &&
		    index == tty->info->entry->pty->index)
			return 0;
	}
	log_refuse(cr, -ENOTSUP,
		   "pid %d: fd %d: the other end of the terminal %s is not in the tree",
		   f->task->host_pid, f->fd, f->link);
	log_remedy(cr,
		   "use --shell-job, on restore too, or name it with --external tty[%" PRIx64
		   ":%" PRIx64 "]",
		   (uint64_t)f->st.st_rdev, (uint64_t)f->st.st_dev);
	return -ENOTSUP;
}

/* External terminals are numbered in the order in which they are met. */
static uint32_t external_index(struct cr *cr, const struct fd_facts *f)
{
	uint32_t index = INDEX_EXTERNAL;
	struct tty_info *info;

	list_for_each_entry (info, &ttys_of(cr)->all, node) {
		if (info->entry->type != TTY_TYPE__EXT_TTY)
			continue;
		if (info->entry->rdev == f->st.st_rdev && info->entry->dev == f->st.st_dev)
			return info->entry->id >> 1;
		index++;
	}
	return index;
}

int tty_collect(struct cr *cr, struct file *file)
{
	struct tty_file *tty = (struct tty_file *)file;
	const struct fd_facts *f = &file->facts;
	_cleanup_close_ int fd = -1;
	struct tty_class class;
	uint32_t index, id;
	int err;

	err = file_borrow_fd(cr, file, &fd);
	if (err)
		return err;
	classify(f->st.st_rdev, &class);
	index = class.index;
	if (is_external(cr, f)) {
		class = (struct tty_class){TTY_TYPE__EXT_TTY, false, 0};
		index = external_index(cr, f);
	} else if (class.is_master && ioctl(fd, TIOCGPTN, &index) < 0) {
		return log_err(cr, -errno, "pid %d: fd %d (%s): get its number", f->task->host_pid,
			       f->fd, f->link);
	}

	id = index << 1 | class.is_master;
	tty->info = tty_info_find(cr, id);
	if (!tty->info) {
		tty->info = tty_info_new(cr, id);
		tty->info->first = tty;
		err = collect_info(cr, tty, &class, index, fd);
		if (!err)
			err = check_alone(cr, tty);
		if (err)
			return err;
		tty_pair(cr);
	}
	if (class.type == TTY_TYPE__EXT_TTY)
		return 0;
	tty->has_regf = true;
	return files_add_path_of(cr, file, file->flags, 0, &tty->regf_id);
}
