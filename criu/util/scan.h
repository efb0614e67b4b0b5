/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading text of known shape out of a buffer that need not end with a zero byte. A cursor
 *remembers that something did not fit: after the first misfit every call is a no-op, so a parser
 *reads straight through and asks scan_ok() at its end.
 *
 *	struct scan s = scan_of(text, length);
 *	pid = scan_i32(&s, 10); scan_char(&s, ' '); ...
 *	return scan_ok(&s) ? 0 : -EBADMSG;
 */
#ifndef CRIU_UTIL_SCAN_H
#define CRIU_UTIL_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scan {
	const char *at, *end;
	bool failed;
};

static inline struct scan scan_of(const char *text, size_t length)
{
	return (struct scan){.at = text, .end = text + length};
}

static inline bool scan_ok(const struct scan *s)
{
	return !s->failed;
}

static inline bool scan_at_end(const struct scan *s)
{
	return s->failed || s->at == s->end;
}

static inline void scan_fail(struct scan *s)
{
	s->failed = true;
	s->at = s->end;
}

/* The next line without its newline, as a cursor of its own; s moves behind it. False at the end of
 * the text. */
bool scan_line(struct scan *s, struct scan *ret_line);
/* A number in base 8, 10 or 16, at least one digit, no sign (the i-forms take '-'), without blanks
 * before it, in range. */
uint64_t scan_u64(struct scan *s, unsigned int base);
uint32_t scan_u32(struct scan *s, unsigned int base);
int64_t scan_i64(struct scan *s, unsigned int base);
int32_t scan_i32(struct scan *s, unsigned int base);
/* This character, which must come next. */
void scan_char(struct scan *s, char c);
/* This text, which must come next. */
void scan_text(struct scan *s, const char *text);
/* Takes text if it comes next; false leaves s as it is. */
bool scan_try(struct scan *s, const char *text);
bool scan_try_char(struct scan *s, char c);
/* Any number of blanks and tabs, also none. */
void scan_blanks(struct scan *s);
/* Up to the next stop character (not taken) or the end of the text; the word may be empty. Returns
 * its start, length in *ret_len. */
const char *scan_until(struct scan *s, char stop, size_t *ret_len);
/* What is left must be nothing but a newline, or nothing. */
void scan_end(struct scan *s);

#endif
