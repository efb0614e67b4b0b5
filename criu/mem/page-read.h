/* SPDX-License-Identifier: GPL-2.0-only */
/* Dump: reading pages of a task or of a shared memory object into a buffer. */
#ifndef CRIU_MEM_PAGE_READ_H
#define CRIU_MEM_PAGE_READ_H

#include <stddef.h>
#include <stdint.h>

#include "mem/pages.h"
#include "mem/vma-status.h"

struct cr;
struct task;
struct mem_object;

/* What is read at a time, and how many pieces that can consist of. */
#define PAGE_BUFFER_SIZE (256 * 1024)
#define PAGE_MAX_PIECES  (PAGE_BUFFER_SIZE / MEM_PAGE)

struct page_reader {
	const struct task *task; /* one of the two */
	const struct mem_object *object;
	int pagemap_fd, mem_fd; /* of a task; -1 until it is open */
};

/* Page map entries of a stretch of a task's memory (proc_pid_pagemap(5)); zeroed: of none. Each
 * thread has its own. */
#define PAGE_WINDOW 512

struct page_window {
	uint64_t start, end;
	uint64_t entries[PAGE_WINDOW];
};

int page_reader_open(struct cr *cr, struct page_reader *reader);
void page_reader_close(struct page_reader *reader);

/* Reads n pieces, PAGE_BUFFER_SIZE bytes of pages at most, one after the other into buffer. Several
 * threads may. 0 or -errno, logged. */
int page_reader_read(struct cr *cr, const struct page_reader *reader, struct page_window *window,
		     char *buffer, const struct pages_piece *pieces, size_t n);

#endif
