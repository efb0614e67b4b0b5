/* SPDX-License-Identifier: GPL-2.0-only */
/* What checkpoint (criu.c) and restore (criu-restore.c) share. */
#ifndef KFD_EMU_CRIU_H
#define KFD_EMU_CRIU_H

#include "emu.h"

/* What is read from or written to the caller's private data, in order. */
struct stream {
	struct call *call;
	uint64_t raddr, size, offset;
};

int stream_write(struct stream *stream, const void *data, size_t size);
/* -EINVAL beyond its end. */
int stream_read(struct stream *stream, void *data, size_t size);

/* Of a range in the private data. */
size_t svm_size(const struct process *process);
/* For mmap(2), as the driver tells it. */
uint64_t buffer_offset(const struct device *device, const struct buffer *buffer);

int run_restore(struct call *call);
int run_resume(struct call *call);

#endif
