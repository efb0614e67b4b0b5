/* SPDX-License-Identifier: GPL-2.0-only */
/* Text: prefixes, strict numbers, a growing buffer. */
#ifndef CRIU_UTIL_STR_H
#define CRIU_UTIL_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool str_equal(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* The text behind prefix, or NULL if s does not begin with it. */
const char *str_after(const char *s, const char *prefix);
bool str_starts_with(const char *s, const char *prefix);
bool str_ends_with(const char *s, const char *suffix);
/* NULL and "" are the same here. */
bool str_is_empty(const char *s);

/*
 * The whole of s as a number in base (0: C's prefixes): no blanks, no sign for unsigned, nothing
 * behind. 0, -EINVAL if it is no number, -ERANGE if it lies outside min..max.
 */
int str_to_u64(const char *s, int base, uint64_t max, uint64_t *ret);
int str_to_i64(const char *s, int base, int64_t min, int64_t max, int64_t *ret);
/* Bytes with an optional K, M, G or T (powers of 1024). */
int str_to_size(const char *s, uint64_t *ret);

/* Text that grows; zeroed is empty, data is NULL until something was added, else it ends with a
 * zero byte. */
struct str_buf {
	char *data;
	size_t len, capacity;
};

void str_buf_add(struct str_buf *b, const char *s);
void str_buf_add_bytes(struct str_buf *b, const char *s, size_t n);
void str_buf_addf(struct str_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void str_buf_release(struct str_buf *b);

#endif
