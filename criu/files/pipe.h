/* SPDX-License-Identifier: GPL-2.0-only */
/* What pipes and fifos have in common: several descriptions of one inode, and the bytes in it. */
#ifndef CRIU_FILES_PIPE_H
#define CRIU_FILES_PIPE_H

#include "files/files-priv.h"

/* The kernel's bit; the C library has 0 for O_LARGEFILE where files are large anyway. */
#define O_LARGEFILE_BIT 0100000

extern const struct file_kind file_kind_pipe, file_kind_fifo;

/* One end of a pipe or fifo. A kind embeds it first. */
struct pipe_end {
	struct file file;
	uint32_t pipe_id;        /* inode number */
	uint32_t regf_id;        /* fifo: the entry with its path */
	struct pipe_end *master; /* restore: the end that is made first and fills it; itself if it
				    is that one */
	struct pipe_end *other;  /* restore: of a master, the other end that its pipe(2) gives */
};

/* Dump: writes what is in it to the image of kind, once for each pipe_id. */
int pipe_dump_data(struct cr *cr, struct pipe_end *end, int image_kind);
/* Restore: finds the master of end among the loaded ends of the same kind, and names it as a need.
 */
void pipe_link(struct cr *cr, struct pipe_end *end);
/* Restore: sets the size of the pipe behind fd (a write end), and writes the bytes of pipe_id into
 * it. */
int pipe_fill(struct cr *cr, uint32_t pipe_id, int image_kind, int fd);

#endif
