// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocation that cannot fail for its callers. A dump or restore that runs out of memory cannot go
 * on, and thousands of checks for it would never be tested; what matters is that the tasks are left
 * as they were. So the one handler of the process undoes what was done (the guardian does it, if
 * the process cannot) and ends it. The handler is the only state here: which one it is belongs to
 * the process, as malloc's arena does, not to a run.
 */
#include "util/alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	void (*handler)(void *arg, size_t size);
	void *arg;
} on_failure;

void alloc_set_handler(void (*handler)(void *arg, size_t size), void *arg)
{
	on_failure.handler = handler;
	on_failure.arg = arg;
}

static void __attribute__((noreturn)) fail(size_t size)
{
	if (on_failure.handler)
		on_failure.handler(on_failure.arg, size);
	abort();
}

static size_t product(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		fail(SIZE_MAX);
	return bytes;
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		fail(size);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	size_t bytes = product(n, size);
	void *p = calloc(1, bytes ? bytes : 1);

	if (!p)
		fail(bytes);
	return p;
}

void *xrealloc(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (!p)
		fail(size);
	return p;
}

void *xreallocarray(void *p, size_t n, size_t size)
{
	return xrealloc(p, product(n, size));
}

char *xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

char *xstrndup(const char *s, size_t max)
{
	size_t len = strnlen(s, max);
	char *copy = xmalloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

void *xmemdup(const void *p, size_t size)
{
	void *copy = xmalloc(size);

	if (size)
		memcpy(copy, p, size);
	return copy;
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		fail(0);
	return text;
}

void *array_grow(void *items, size_t *capacity, size_t need, size_t item_size)
{
	size_t want = *capacity + *capacity / 2;

	if (items && need <= *capacity)
		return items;
	if (want < need)
		want = need;
	if (want < 8)
		want = 8;
	items = xreallocarray(items, want, item_size);
	*capacity = want;
	return items;
}
