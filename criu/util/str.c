// SPDX-License-Identifier: GPL-2.0-only
/* Text: prefixes, strict numbers, a growing buffer. strtoull() accepts blanks and minus signs,
 * which no option or file of ours may have. */
#include "util/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/alloc.h"

const char *str_after(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(s, prefix, len) == 0 ? s + len : NULL;
}

bool str_starts_with(const char *s, const char *prefix)
{
	return str_after(s, prefix) != NULL;
}

bool str_ends_with(const char *s, const char *suffix)
{
	size_t len = strlen(s), tail = strlen(suffix);

	return len >= tail && memcmp(s + len - tail, suffix, tail) == 0;
}

bool str_is_empty(const char *s)
{
	return !s || !*s;
}

int str_to_u64(const char *s, int base, uint64_t max, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (!isalnum((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	value = strtoull(s, &end, base);
	if (*end || end == s)
		return -EINVAL;
	if (errno == ERANGE || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int str_to_i64(const char *s, int base, int64_t min, int64_t max, int64_t *ret)
{
	long long value;
	char *end;

	if (!isalnum((unsigned char)(*s == '-' ? s[1] : *s)))
		return -EINVAL;
	errno = 0;
	value = strtoll(s, &end, base);
	if (*end || end == s)
		return -EINVAL;
	if (errno == ERANGE || value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int str_to_size(const char *s, uint64_t *ret)
{
	static const char units[] = "KMGT";
	unsigned long long value;
	const char *unit;
	char *end;
	int shift = 0;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	value = strtoull(s, &end, 10);
	if (errno == ERANGE)
		return -ERANGE;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * (int)(unit - units + 1);
	}
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = value << shift;
	return 0;
}

void str_buf_add_bytes(struct str_buf *b, const char *s, size_t n)
{
	b->data = array_grow(b->data, &b->capacity, b->len + n + 1, 1);
	if (n)
		memcpy(b->data + b->len, s, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void str_buf_add(struct str_buf *b, const char *s)
{
	str_buf_add_bytes(b, s, strlen(s));
}

void str_buf_addf(struct str_buf *b, const char *format, ...)
{
	va_list args, again;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n > 0) {
		b->data = array_grow(b->data, &b->capacity, b->len + (size_t)n + 1, 1);
		vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void str_buf_release(struct str_buf *b)
{
	free(b->data);
	*b = (struct str_buf){};
}
