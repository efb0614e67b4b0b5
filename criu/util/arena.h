/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that all processes of a restore share, at the same address: mapped before they are forked,
 * given out piece by piece and never given back before the whole is. Any process may take from it
 * at any time.
 */
#ifndef CRIU_UTIL_ARENA_H
#define CRIU_UTIL_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena;

/* Address space for size bytes; pages cost nothing until used. NULL if there is none. */
struct arena *arena_new(size_t size);
/* Unmaps it in this process; NULL is fine. */
void arena_free(struct arena *arena);
/* Zeroed memory, aligned to 16 bytes (or align, a power of two up to the page size); NULL when the
 * arena is used up. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_alloc_aligned(struct arena *arena, size_t size, size_t align);
char *arena_strdup(struct arena *arena, const char *s);
bool arena_contains(const struct arena *arena, const void *p);
/* Whole mapping: for the restorer, which must keep it until the last stage. */
void arena_extent(const struct arena *arena, void **ret_start, size_t *ret_size);

#endif
