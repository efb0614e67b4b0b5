// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes in pipes and fifos (pipes-data.img, fifo-data.img) and their capacity. Read without
 * taking them out: tee(2) duplicates them into a pipe of ours of the same capacity. Saved once for
 * each inode, where some end in the tree can be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/pipe.h"
#include "images/lib/image.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"

#include "images/pipe-data.pb-c.h"

/* Duplicates n bytes of the pipe behind fd into ours and reads them. */
static int copy_bytes(struct cr *cr, const struct file *file, int fd, int size, char *buf, int n)
{
	_cleanup_close_ int in = -1, out = -1;
	int ends[2];
	ssize_t got;

	if (!n)
		return 0;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return log_err(cr, -errno, "pipe %#x: make a pipe to copy it to", file->id);
	out = ends[0];
	in = ends[1];
	if (fcntl(in, F_SETPIPE_SZ, size) < 0)
		return log_err(cr, -errno, "pipe %#x: give the copy %d bytes of room", file->id,
			       size);
	got = tee(fd, in, n, SPLICE_F_NONBLOCK);
	if (got != n)
		return log_err(cr, got < 0 ? -errno : -EIO, "pipe %#x: copy its %d bytes", file->id,
			       n);
	got = read_exact(out, buf, n);
	return got ? log_err(cr, got, "pipe %#x: read the copy", file->id) : 0;
}

static bool is_first_readable(struct cr *cr, struct pipe_end *end)
{
	struct file *file;

	list_for_each_entry (file, &cr->files->all, all) {
		if (file->kind == end->file.kind && (file->flags & O_ACCMODE) != O_WRONLY &&
		    !(file->flags & O_PATH) && ((struct pipe_end *)file)->pipe_id == end->pipe_id)
			return file == &end->file;
	}
	return false;
}

int pipe_dump_data(struct cr *cr, struct pipe_end *end, int image_kind)
{
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;
	_cleanup_free_ char *buf = NULL;
	_cleanup_close_ int fd = -1;
	struct image *img;
	int err, n, size;

	if (!is_first_readable(cr, end))
		return 0;
	err = file_borrow_fd(cr, &end->file, &fd);
	if (err)
		return err;
	size = fcntl(fd, F_GETPIPE_SZ);
	if (size < 0 || ioctl(fd, FIONREAD, &n) < 0)
		return log_err(cr, -errno, "pipe %#x: ask for its size", end->file.id);
	buf = xmalloc(n);
	err = copy_bytes(cr, &end->file, fd, size, buf, n);
	if (err)
		return err;
	e.pipe_id = end->pipe_id;
	e.bytes = n;
	e.has_size = true;
	e.size = size;
	err = files_image(cr, image_kind, &img);
	if (err)
		return err;
	err = image_write_entry(img, &e.base, buf, n);
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

static uint64_t master_key(const struct pipe_end *end)
{
	return (uint64_t)(end->file.kind == &file_kind_fifo) << 32 | end->pipe_id;
}

/* All at once, for there may be very many. Ends that nobody has a descriptor of are never made. */
static void find_masters(struct files *files)
{
	struct file *file;

	list_for_each_entry (file, &files->all, all) {
		struct pipe_end *end = (struct pipe_end *)file, *master;

		if ((file->kind != &file_kind_pipe && file->kind != &file_kind_fifo) ||
		    list_is_empty(&file->holders))
			continue;
		/* The ends that pipe(2) gave lack O_LARGEFILE, which open(2) always sets: one of
		 * them makes the pipe. */
		master = hash_get(&files->pipe_masters, master_key(end));
		if (!master || (!end->regf_id && (master->file.flags & O_LARGEFILE_BIT) &&
				!(file->flags & O_LARGEFILE_BIT)))
			hash_put(&files->pipe_masters, master_key(end), end);
	}
	files->has_pipe_masters = true;
}

void pipe_link(struct cr *cr, struct pipe_end *end)
{
	struct pipe_end *master;

	if (!cr->files->has_pipe_masters)
		find_masters(cr->files);
	master = hash_get(&cr->files->pipe_masters, master_key(end));
	end->master = master ? master : end;
	if (end->master != end)
		file_add_need(&end->file, &end->master->file);
}

static int set_size(struct cr *cr, const PipeDataEntry *e, int fd)
{
	if (e->has_size && fcntl(fd, F_SETPIPE_SZ, e->size) < 0)
		return log_err(cr, -errno, "pipe %u: give it %u bytes of room", e->pipe_id,
			       e->size);
	return 0;
}

static int fill_from(struct cr *cr, struct image *img, const PipeDataEntry *e, int fd)
{
	_cleanup_free_ char *buf = xmalloc(e->bytes);
	int err;

	err = image_read_payload(img, buf, e->bytes);
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	err = set_size(cr, e, fd);
	if (err)
		return err;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return log_err(cr, -errno, "pipe %u: make it not block", e->pipe_id);
	err = write_all(fd, buf, e->bytes);
	if (err)
		return log_err(cr, err, "pipe %u: put its %u bytes back", e->pipe_id, e->bytes);
	if (fcntl(fd, F_SETFL, 0) < 0)
		return log_err(cr, -errno, "pipe %u: make it block again", e->pipe_id);
	return 0;
}

int pipe_fill(struct cr *cr, uint32_t pipe_id, int image_kind, int fd)
{
	const PipeDataEntry *first = queues_first(cr, image_kind, pipe_id);
	_cleanup_image_ struct image *img = NULL;
	PipeDataEntry *e;
	int err;

	if (!first)
		return 0;
	if (!first->bytes)
		return set_size(cr, first, fd);
	err = image_open(cr->images, image_kind, 0, &img);
	while (!err && (err = image_read(img, &e)) > 0) {
		bool is_it = e->pipe_id == pipe_id;

		if (is_it)
			err = fill_from(cr, img, e, fd);
		else
			err = image_skip_payload(img, e->bytes);
		image_message_free(e);
		if (is_it)
			return err;
	}
	return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}
