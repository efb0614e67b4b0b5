// SPDX-License-Identifier: GPL-2.0-only
/*
 * One shared anonymous mapping with its bookkeeping at its start. Giving out is one atomic
 * addition, so that it needs no lock that a killed process could keep. A request that does not fit
 * leaves the counter beyond the end; everything after it fails as well.
 */
#include "util/arena.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "compel/base/bits.h"

struct arena {
	size_t size; /* of the whole mapping */
	size_t used;
};

struct arena *arena_new(size_t size)
{
	struct arena *arena;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = round_up(size + round_up(sizeof(*arena), 64), 4096);
	arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
		     -1, 0);
	if (arena == MAP_FAILED)
		return NULL;
	arena->size = size;
	arena->used = round_up(sizeof(*arena), 64);
	return arena;
}

void arena_free(struct arena *arena)
{
	if (arena)
		munmap(arena, arena->size);
}

void *arena_alloc_aligned(struct arena *arena, size_t size, size_t align)
{
	size_t at, start, need;

	if (!is_power_of_two(align) || align > 4096 || size > arena->size)
		return NULL;
	/* Enough for the worst alignment: where the piece begins is known only once it is ours. */
	need = round_up(size, 16) + (align > 16 ? align - 16 : 0);
	at = __atomic_fetch_add(&arena->used, need, __ATOMIC_RELAXED);
	if (at > arena->size || need > arena->size - at) {
		/* Far beyond the end, so that repeated failures cannot make the counter wrap. */
		__atomic_store_n(&arena->used, arena->size + 1, __ATOMIC_RELAXED);
		return NULL;
	}
	start = round_up(at, align < 16 ? 16 : align);
	return (char *)arena + start;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return arena_alloc_aligned(arena, size, 16);
}

char *arena_strdup(struct arena *arena, const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = arena_alloc(arena, size);

	return copy ? memcpy(copy, s, size) : NULL;
}

bool arena_contains(const struct arena *arena, const void *p)
{
	uintptr_t start = (uintptr_t)arena, at = (uintptr_t)p;

	return at >= start && at - start < arena->size;
}

void arena_extent(const struct arena *arena, void **ret_start, size_t *ret_size)
{
	*ret_start = (void *)arena;
	*ret_size = arena->size;
}
