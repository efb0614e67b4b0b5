/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that is always there: these never return NULL. When the system has none left, the handler
 * that the run registered is called (it undoes what was done and ends the process); without one, or
 * if it returns, the process aborts. A size of 0 gives a valid pointer. What they return is
 * released with free().
 */
#ifndef CRIU_UTIL_ALLOC_H
#define CRIU_UTIL_ALLOC_H

#include <stddef.h>

/* Called with arg when an allocation of size bytes failed. One per process; a forked child inherits
 * it. NULL: abort at once. */
void alloc_set_handler(void (*handler)(void *arg, size_t size), void *arg);

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));
/* Zeroed; n * size is checked for overflow, here and below. */
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1, 2)));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull, alloc_size(2)));
void *xreallocarray(void *p, size_t n, size_t size)
	__attribute__((returns_nonnull, alloc_size(2, 3)));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull, nonnull));
char *xstrndup(const char *s, size_t max) __attribute__((malloc, returns_nonnull, nonnull));
void *xmemdup(const void *p, size_t size) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *format, ...)
	__attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/*
 * Makes room for at least need items of item_size bytes in a growing array: returns items, moved if
 *it had to grow (by half of its size at least), and updates *capacity. list->items =
 *array_grow(list->items, &list->capacity, list->n + 1, sizeof(*list->items));
 */
void *array_grow(void *items, size_t *capacity, size_t need, size_t item_size)
	__attribute__((returns_nonnull));

#endif
