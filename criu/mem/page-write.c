// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffers between reading and writing pages. There are a few for each thread, so that reading can
 * go on while one thread writes what all have read; they are few enough to stay in the last-level
 * cache. A thread that waits for a buffer holds none, and one that writes takes none, so there is
 * always one to come.
 */
#include "mem/page-write.h"

#include <stdlib.h>

#include "images/lib/image.h"
#include "mem/page-read.h"
#include "util/alloc.h"
#include "util/fd.h"

#define BUFFERS_PER_THREAD 4

struct page_buffers {
	pthread_mutex_t lock; /* of writers, too */
	pthread_cond_t given;
	struct page_buffer *free;
	struct page_buffer *items;
	size_t n, n_used; /* of items, these have memory */
};

struct page_buffers *page_buffers_new(size_t n_threads)
{
	struct page_buffers *buffers = xcalloc(1, sizeof(*buffers));

	pthread_mutex_init(&buffers->lock, NULL);
	pthread_cond_init(&buffers->given, NULL);
	buffers->n = n_threads * BUFFERS_PER_THREAD;
	buffers->items = xcalloc(buffers->n, sizeof(*buffers->items));
	return buffers;
}

void page_buffers_free(struct page_buffers *buffers)
{
	for (size_t i = 0; i < buffers->n_used; i++)
		free(buffers->items[i].data);
	free(buffers->items);
	pthread_mutex_destroy(&buffers->lock);
	pthread_cond_destroy(&buffers->given);
	free(buffers);
}

struct page_buffer *page_buffers_take(struct page_buffers *buffers)
{
	struct page_buffer *buffer;

	pthread_mutex_lock(&buffers->lock);
	/* One that was used last is warm; a new one is made only where all are in use. */
	while (!buffers->free && buffers->n_used == buffers->n)
		pthread_cond_wait(&buffers->given, &buffers->lock);
	buffer = buffers->free;
	if (buffer) {
		buffers->free = buffer->next;
	} else {
		buffer = &buffers->items[buffers->n_used++];
		buffer->data = xmalloc(PAGE_BUFFER_SIZE);
	}
	pthread_mutex_unlock(&buffers->lock);
	buffer->next = NULL;
	return buffer;
}

/* With the lock held. */
static void give(struct page_buffers *buffers, struct page_buffer *buffer)
{
	buffer->next = buffers->free;
	buffers->free = buffer;
	pthread_cond_signal(&buffers->given);
}

void page_buffers_give(struct page_buffers *buffers, struct page_buffer *buffer)
{
	pthread_mutex_lock(&buffers->lock);
	give(buffers, buffer);
	pthread_mutex_unlock(&buffers->lock);
}

static void append(struct page_writer *writer, struct page_buffer *buffer)
{
	if (writer->last)
		writer->last->next = buffer;
	else
		writer->first = buffer;
	writer->last = buffer;
}

static struct page_buffer *take_first(struct page_writer *writer)
{
	struct page_buffer *buffer = writer->first;

	if (buffer) {
		writer->first = buffer->next;
		if (!writer->first)
			writer->last = NULL;
	}
	return buffer;
}

int page_writer_put(struct page_buffers *buffers, struct page_writer *writer, struct image *img,
		    struct page_buffer *buffer, uint64_t *ret_written)
{
	int err = 0;

	*ret_written = 0;
	pthread_mutex_lock(&buffers->lock);
	append(writer, buffer);
	if (writer->is_busy) {
		pthread_mutex_unlock(&buffers->lock);
		return 0;
	}
	writer->is_busy = true;
	while ((buffer = take_first(writer))) {
		/* After an error the rest is taken back unwritten. */
		if (!writer->err) {
			pthread_mutex_unlock(&buffers->lock);
			err = pwrite_all(image_fd(img), buffer->data, buffer->size,
					 (off_t)buffer->offset);
			pthread_mutex_lock(&buffers->lock);
			writer->err = err;
			*ret_written += err ? 0 : buffer->size;
		}
		give(buffers, buffer);
	}
	writer->is_busy = false;
	pthread_mutex_unlock(&buffers->lock);
	return err;
}
