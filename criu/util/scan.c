// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cursor of scan.h. Numbers are read by hand: the parsers of /proc take thousands of them in
 * each dump, and sscanf() costs about a microsecond a number, accepts blanks and signs, and knows
 * no ranges.
 */
#include "util/scan.h"

#include <string.h>

bool scan_line(struct scan *s, struct scan *ret_line)
{
	const char *newline;

	if (scan_at_end(s))
		return false;
	newline = memchr(s->at, '\n', (size_t)(s->end - s->at));
	*ret_line = (struct scan){.at = s->at, .end = newline ? newline : s->end};
	s->at = newline ? newline + 1 : s->end;
	return true;
}

static inline unsigned int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	c |= 0x20;
	if (c >= 'a' && c <= 'f')
		return (unsigned int)(c - 'a') + 10;
	return 16;
}

uint64_t scan_u64(struct scan *s, unsigned int base)
{
	const char *at = s->at;
	uint64_t value = 0;

	for (; at < s->end; at++) {
		unsigned int digit = digit_of(*at);

		if (digit >= base)
			break;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value)) {
			scan_fail(s);
			return 0;
		}
	}
	if (at == s->at) {
		scan_fail(s);
		return 0;
	}
	s->at = at;
	return value;
}

uint32_t scan_u32(struct scan *s, unsigned int base)
{
	uint64_t value = scan_u64(s, base);

	if (value > UINT32_MAX) {
		scan_fail(s);
		return 0;
	}
	return (uint32_t)value;
}

int64_t scan_i64(struct scan *s, unsigned int base)
{
	bool negative = scan_try_char(s, '-');
	uint64_t value = scan_u64(s, base);

	if (value > (uint64_t)INT64_MAX + negative) {
		scan_fail(s);
		return 0;
	}
	return (int64_t)(negative ? -value : value);
}

int32_t scan_i32(struct scan *s, unsigned int base)
{
	int64_t value = scan_i64(s, base);

	if (value < INT32_MIN || value > INT32_MAX) {
		scan_fail(s);
		return 0;
	}
	return (int32_t)value;
}

void scan_char(struct scan *s, char c)
{
	if (!scan_try_char(s, c))
		scan_fail(s);
}

void scan_text(struct scan *s, const char *text)
{
	if (!scan_try(s, text))
		scan_fail(s);
}

bool scan_try(struct scan *s, const char *text)
{
	size_t len = strlen(text);

	if (s->failed || (size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0)
		return false;
	s->at += len;
	return true;
}

bool scan_try_char(struct scan *s, char c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

void scan_blanks(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
		s->at++;
}

const char *scan_until(struct scan *s, char stop, size_t *ret_len)
{
	const char *start = s->at, *found = NULL;

	if (start < s->end)
		found = memchr(start, stop, (size_t)(s->end - start));
	s->at = found ? found : s->end;
	*ret_len = (size_t)(s->at - start);
	return start;
}

void scan_end(struct scan *s)
{
	scan_try_char(s, '\n');
	if (s->at != s->end)
		scan_fail(s);
}
