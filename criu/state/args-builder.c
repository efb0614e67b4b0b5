// SPDX-License-Identifier: GPL-2.0-only
/*
 * The block of arguments as it grows: struct task_args at its start, behind it whatever was put
 * there, each thing aligned to 16 bytes. Nothing in it is an address, so that growing (which moves
 * it) and copying it into the blob's area need no corrections.
 */
#include "state/args-builder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "util/alloc.h"

struct args_builder {
	char *block;
	size_t size, capacity;
};

static size_t args_extend(struct args_builder *b, size_t size)
{
	size_t offset = round_up(b->size, 16);

	/* References have 32 bits; a million mappings take 24 MiB. */
	assert(offset + size < UINT32_MAX);
	b->block = array_grow(b->block, &b->capacity, offset + size, 1);
	memset(b->block + b->size, 0, offset + size - b->size);
	b->size = offset + size;
	return offset;
}

struct args_builder *args_new(size_t n_threads)
{
	struct args_builder *b = xcalloc(1, sizeof(*b));
	size_t offset;

	args_extend(b, sizeof(struct task_args));
	offset = args_extend(b, n_threads * sizeof(struct thread_args));
	args_task(b)->threads = (struct args_ref){offset, n_threads};
	return b;
}

void args_free(struct args_builder *b)
{
	if (!b)
		return;
	free(b->block);
	free(b);
}

struct task_args *args_task(struct args_builder *b)
{
	return (struct task_args *)b->block;
}

void *args_items(struct args_builder *b, struct args_ref ref)
{
	return b->block + ref.offset;
}

struct thread_args *args_thread(struct args_builder *b, size_t index)
{
	struct args_ref ref = args_task(b)->threads;

	assert(index < ref.n);
	return (struct thread_args *)args_items(b, ref) + index;
}

struct args_ref args_put(struct args_builder *b, const void *items, size_t item_size, size_t n)
{
	struct args_ref ref = {0, n};

	if (!n)
		return ref;
	ref.offset = args_extend(b, item_size * n);
	memcpy(args_items(b, ref), items, item_size * n);
	return ref;
}

size_t args_size(const struct args_builder *b)
{
	return b->size;
}
