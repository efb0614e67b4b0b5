// SPDX-License-Identifier: GPL-2.0-only
/*
 * Terminals: pseudo-terminals (a master and a slave end with a line discipline between them),
 * consoles, serial lines, and /dev/tty, which leads to the controlling terminal of a session.
 * Saved: for each description path and flags, for each end (tty-info.img) settings, window size,
 * locks, session and foreground process group, and for pairs in the tree what was not read yet
 * (tty-data.img). A terminal whose other end is outside of the tree is accepted with --shell-job;
 * on restore the tool's own terminal takes its place. Needs: tasks, sessions and process groups;
 * slaves need their master. Tests: test/cr/tty-*.c, test/test_terminal.py
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/kinds.h"
#include "files/tty/tty.h"
#include "images/lib/image.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"

struct ttys *ttys_of(struct cr *cr)
{
	struct ttys *ttys = cr->files->ttys;

	if (!ttys) {
		ttys = cr->files->ttys = xcalloc(1, sizeof(*ttys));
		list_init(&ttys->all);
		ttys->own = -1;
	}
	return ttys;
}

struct tty_info *tty_info_find(struct cr *cr, uint32_t id)
{
	struct tty_info *info;

	list_for_each_entry (info, &ttys_of(cr)->all, node)
		if (info->entry->id == id)
			return info;
	return NULL;
}

struct tty_info *tty_info_new(struct cr *cr, uint32_t id)
{
	struct tty_info *info = xcalloc(1, sizeof(*info));

	info->entry = xmalloc(sizeof(*info->entry));
	tty_info_entry__init(info->entry);
	info->entry->id = id;
	list_add_tail(&ttys_of(cr)->all, &info->node);
	return info;
}

void tty_pair(struct cr *cr)
{
	struct tty_info *a, *b;

	list_for_each_entry (a, &ttys_of(cr)->all, node) {
		if (!tty_is_pty(a))
			continue;
		a->is_master = a->entry->id & 1;
		list_for_each_entry (b, &ttys_of(cr)->all, node)
			if (tty_is_pty(b) && b->entry->id == (a->entry->id ^ 1))
				a->peer = b;
	}
}

static int tty_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	struct tty_file *tty = (struct tty_file *)file;
	TtyFileEntry *e = entry->tty = xmalloc(sizeof(*e));

	tty_file_entry__init(e);
	e->id = file->id;
	e->tty_info_id = tty->info->entry->id;
	e->flags = file->flags;
	e->fown = file->fown;
	e->has_regf_id = tty->has_regf;
	e->regf_id = tty->regf_id;
	return 0;
}

static int dump_data(struct cr *cr, struct tty_info *info)
{
	TtyDataEntry e = TTY_DATA_ENTRY__INIT;
	_cleanup_close_ int fd = -1, other = -1;
	_cleanup_free_ char *buf = NULL;
	struct image *img;
	int err, n = 0;

	err = file_borrow_fd(cr, &info->first->file, &fd);
	if (!err)
		err = file_borrow_fd(cr, &info->peer->first->file, &other);
	if (!err)
		err = tty_take_unread(cr, info, fd, other, &buf, &n);
	if (err || !n)
		return err;
	e.tty_id = info->entry->id;
	e.data.data = (uint8_t *)buf;
	e.data.len = n;
	err = files_image(cr, IMAGE_TTY_DATA, &img);
	if (err)
		return err;
	err = image_write(img, &e.base);
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

/* Once for each end: by its first description. */
static int tty_finish_dump(struct cr *cr, struct file *file)
{
	struct tty_file *tty = (struct tty_file *)file;
	struct image *img;
	int err;

	if (tty->info->first != tty)
		return 0;
	err = files_image(cr, IMAGE_TTY_INFO, &img);
	if (err)
		return err;
	err = image_write(img, &tty->info->entry->base);
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	/* In packet mode a read of the master tells of more than bytes. */
	if (!tty->info->peer || !tty->info->entry->termios ||
	    (tty->info->is_master && tty->info->entry->packet_mode))
		return 0;
	return dump_data(cr, tty->info);
}

void ttys_free(struct ttys *ttys)
{
	struct tty_info *info, *next;

	if (!ttys)
		return;
	list_for_each_entry_safe (info, next, &ttys->all, node) {
		image_message_free(info->entry);
		image_message_free(info->data);
		free(info);
	}
	free(ttys);
}

const struct file_kind file_kind_tty = {
	.name = "tty",
	.type = FD_TYPES__TTY,
	.size = sizeof(struct tty_file),
	.match = tty_match,
	.collect = tty_collect,
	.dump = tty_dump,
	.finish_dump = tty_finish_dump,
	.load = tty_load,
	.link = tty_link,
	.prepare = tty_prepare,
	.restore = tty_restore,
	.resume = tty_resume,
};
