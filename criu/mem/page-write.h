/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dump: writing pages files. One thread writes to a file at a time, whichever comes first; what
 * others have read meanwhile they leave to it and read on. The kernel lets only one write to a file
 * at a time anyway, and waiting for that would keep CPUs busy.
 */
#ifndef CRIU_MEM_PAGE_WRITE_H
#define CRIU_MEM_PAGE_WRITE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image;

struct page_buffer {
	struct page_buffer *next;
	uint64_t offset, size; /* in the pages file */
	char *data;            /* PAGE_BUFFER_SIZE bytes */
};

/* Buffers for a number of threads, each of which holds one at a time. */
struct page_buffers;

struct page_buffers *page_buffers_new(size_t n_threads);
void page_buffers_free(struct page_buffers *buffers);
/* Waits until there is one. */
struct page_buffer *page_buffers_take(struct page_buffers *buffers);
void page_buffers_give(struct page_buffers *buffers, struct page_buffer *buffer);

/* A pages file being written; zeroed. */
struct page_writer {
	bool is_busy; /* some thread writes */
	int err;      /* the first that writing met */
	struct page_buffer *first, *last;
};

/*
 * Writes the buffer to img, or leaves it to the thread that writes there now; then that one gives
 * it back. *ret_written is how many bytes this thread has written, of whichever buffers. Returns
 * the error that this thread met, without a message, or 0.
 */
int page_writer_put(struct page_buffers *buffers, struct page_writer *writer, struct image *img,
		    struct page_buffer *buffer, uint64_t *ret_written);

#endif
