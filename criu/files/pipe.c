// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pipes: an inode of pipefs with bytes in it, and open file descriptions that read, write or both.
 * Saved: for each description the inode number and flags, for each inode its bytes and capacity
 * (pipe-data.c). Restored: the first description of an inode makes the pipe and keeps both ends
 * open until the blob starts; the others are opened through /proc/PID/fd. A pipe whose other end is
 * outside of the tree comes back with that end closed, unless --inherit-fd gives another. Needs:
 * the first description. Tests: test/cr/pipe-*.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/pipe.h"
#include "images/lib/image.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

#include "images/fdinfo.pb-c.h"

static bool pipe_match(const struct fd_facts *f)
{
	return str_starts_with(f->link, "pipe:[");
}

static int pipe_collect(struct cr *cr, struct file *file)
{
	const struct fd_facts *f = &file->facts;

	((struct pipe_end *)file)->pipe_id = f->st.st_ino;
	if (f->flags & O_DIRECT)
		return log_refuse(cr, -ENOTSUP,
				  "pid %d: fd %d: a pipe in packet mode (O_DIRECT) cannot be saved",
				  f->task->host_pid, f->fd);
	return 0;
}

static int pipe_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	PipeEntry *e = entry->pipe = xmalloc(sizeof(*e));

	pipe_entry__init(e);
	e->id = file->id;
	e->pipe_id = ((struct pipe_end *)file)->pipe_id;
	e->flags = file->flags;
	e->fown = file->fown;
	return pipe_dump_data(cr, (struct pipe_end *)file, IMAGE_PIPES_DATA);
}

static int pipe_load(struct cr *cr, struct file *file)
{
	const PipeEntry *e = file->entry->pipe;

	if (!e)
		return file_refuse_entry(cr, file);
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	((struct pipe_end *)file)->pipe_id = e->pipe_id;
	return 0;
}

static int pipe_inherited(struct cr *cr, const struct pipe_end *end)
{
	char key[32];

	snprintf(key, sizeof(key), "pipe:[%u]", end->pipe_id);
	return files_inherited(cr, key);
}

/* May it be the other end that the pipe(2) of its master gives? What open(2) gives is large. */
static bool may_be_other(const struct pipe_end *end)
{
	uint32_t flags = end->file.flags, master_flags = end->master->file.flags;

	return end->master != end && !((flags | master_flags) & O_LARGEFILE_BIT) &&
	       (flags & O_ACCMODE) != O_RDWR && (flags & O_ACCMODE) != (master_flags & O_ACCMODE);
}

static int pipe_link_file(struct cr *cr, struct file *file)
{
	struct pipe_end *end = (struct pipe_end *)file;

	pipe_link(cr, end);
	if (may_be_other(end) && !end->master->other)
		end->master->other = end;
	/* It is asked for in the task; that it will be is known here. */
	(void)pipe_inherited(cr, end);
	return 0;
}

static int open_end(struct cr *cr, const struct file *file, const char *path, int *ret_fd)
{
	int fd = open(path, (file->flags & O_ACCMODE) | O_CLOEXEC);

	if (fd < 0)
		return log_err(cr, -errno, "pipe %#x: open another end of it", file->id);
	*ret_fd = fd;
	return 0;
}

static int make_pipe(struct cr *cr, struct pipe_end *end, int *ret_fd)
{
	struct file *other = end->other ? &end->other->file : NULL;
	_cleanup_close_ int in = -1, out = -1;
	char path[64];
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return log_err(cr, -errno, "pipe %#x: create", end->file.id);
	out = ends[0];
	in = ends[1];
	err = pipe_fill(cr, end->pipe_id, IMAGE_PIPES_DATA, in);
	if (err)
		return err;
	switch (end->file.flags & O_ACCMODE) {
	case O_RDONLY:
		*ret_fd = TAKE_FD(out);
		return file_keep_extra(cr, &end->file, other, TAKE_FD(in));
	case O_WRONLY:
		*ret_fd = TAKE_FD(in);
		return file_keep_extra(cr, &end->file, other, TAKE_FD(out));
	default:
		snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
		return open_end(cr, &end->file, path, ret_fd);
	}
}

static int pipe_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	struct pipe_end *end = (struct pipe_end *)file;
	char text[64];
	int fd;

	fd = pipe_inherited(cr, end);
	if (fd >= 0) {
		snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
		return open_end(cr, file, text, ret_fd);
	}
	if (end->master == end)
		return make_pipe(cr, end, ret_fd);
	if (end->master->other == end)
		return file_take_extra(cr, &end->master->file, file, ret_fd);
	fd = file_shared_path(&end->master->file, false, text, sizeof(text));
	if (fd < 0)
		return log_err(cr, fd, "pipe %#x: its first end %#x is not there", file->id,
			       end->master->file.id);
	return open_end(cr, file, text, ret_fd);
}

const struct file_kind file_kind_pipe = {
	.name = "pipe",
	.type = FD_TYPES__PIPE,
	.size = sizeof(struct pipe_end),
	.match = pipe_match,
	.collect = pipe_collect,
	.dump = pipe_dump,
	.load = pipe_load,
	.link = pipe_link_file,
	.restore = pipe_restore,
};
