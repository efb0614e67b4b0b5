// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fifos: pipes with a name. Saved: the inode number and an entry of kind reg with path and flags;
 * the bytes as for pipes. Restored by opening the path; the first description of an inode opens it
 * for reading and writing too and keeps that until the blob starts, so that no open waits for
 * another end and no byte is lost. Needs: the first description. Tests: test/cr/fifo-*.c
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/pipe.h"
#include "images/lib/image.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"

static bool fifo_match(const struct fd_facts *f)
{
	return S_ISFIFO(f->st.st_mode) && f->link[0] == '/' && !(f->flags & O_PATH);
}

static int fifo_collect(struct cr *cr, struct file *file)
{
	struct pipe_end *end = (struct pipe_end *)file;

	end->pipe_id = file->facts.st.st_ino;
	return files_add_path_of(cr, file, file->flags, 0, &end->regf_id);
}

static int fifo_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	struct pipe_end *end = (struct pipe_end *)file;
	FifoEntry *e = entry->fifo = xmalloc(sizeof(*e));

	fifo_entry__init(e);
	e->id = file->id;
	e->pipe_id = end->pipe_id;
	e->has_regf_id = true;
	e->regf_id = end->regf_id;
	return pipe_dump_data(cr, end, IMAGE_FIFO_DATA);
}

static int fifo_load(struct cr *cr, struct file *file)
{
	struct pipe_end *end = (struct pipe_end *)file;
	const FifoEntry *e = file->entry->fifo;

	if (!e)
		return file_refuse_entry(cr, file);
	end->pipe_id = e->pipe_id;
	end->regf_id = e->has_regf_id ? e->regf_id : e->id;
	return 0;
}

static int fifo_link(struct cr *cr, struct file *file)
{
	struct pipe_end *end = (struct pipe_end *)file;
	const struct file *reg = file_find(cr, end->regf_id);

	if (!reg || reg->kind != &file_kind_reg)
		return log_refuse(cr, -EBADMSG,
				  "files.img: fifo %#x: its path, file %#x, is not there", file->id,
				  end->regf_id);
	file->flags = reg->flags;
	file->fown = xmemdup(reg->fown, sizeof(*reg->fown));
	pipe_link(cr, end);
	return 0;
}

static int fifo_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	struct pipe_end *end = (struct pipe_end *)file;
	struct reg_file *reg = (struct reg_file *)file_find(cr, end->regf_id);
	_cleanup_close_ int both = -1;
	int err;

	if (end->master == end) {
		err = reg_open(cr, reg, O_RDWR, &both);
		if (err)
			return err;
		err = pipe_fill(cr, end->pipe_id, IMAGE_FIFO_DATA, both);
		if (err)
			return err;
		err = file_keep_extra(cr, file, NULL, TAKE_FD(both));
		if (err)
			return err;
	}
	return reg_open(cr, reg, file->flags, ret_fd);
}

const struct file_kind file_kind_fifo = {
	.name = "fifo",
	.type = FD_TYPES__FIFO,
	.size = sizeof(struct pipe_end),
	.match = fifo_match,
	.collect = fifo_collect,
	.dump = fifo_dump,
	.load = fifo_load,
	.link = fifo_link,
	.restore = fifo_restore,
};
