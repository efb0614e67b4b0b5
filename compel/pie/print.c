// SPDX-License-Identifier: LGPL-2.1-only
/*
 * Formatted text for blobs: integers, characters and strings, into a buffer or with one write to a
 * descriptor. No floating point, for blobs do not touch those registers.
 */
#include <stdbool.h>
#include <stdint.h>

#include "compel/pie/print.h"
#include "compel/pie/string.h"
#include "compel/pie/syscall.h"

struct out {
	char *to;
	size_t room, length;
};

struct spec {
	bool left, zero, alternate;
	int width;
	int longs; /* 2: ll; 1: l, z, p; 0: int; -1: h; -2: hh */
};

static void put(struct out *out, char c)
{
	if (out->length + 1 < out->room)
		out->to[out->length] = c;
	out->length++;
}

static void put_padded(struct out *out, const char *text, size_t length, const struct spec *spec)
{
	int pad = spec->width - (int)length;

	for (; !spec->left && pad > 0; pad--)
		put(out, ' ');
	for (size_t i = 0; i < length; i++)
		put(out, text[i]);
	for (; pad > 0; pad--)
		put(out, ' ');
}

static void put_number(struct out *out, uint64_t value, bool is_negative, unsigned int base,
		       struct spec spec)
{
	char text[64 + 3];
	char *at = text + sizeof(text);
	char *last = at;
	size_t prefix = is_negative + (spec.alternate && base == 16 ? 2 : 0);

	do
		*--at = "0123456789abcdef"[value % base];
	while (value /= base);
	while (spec.zero && !spec.left && at > text + 3 && (int)(last - at + prefix) < spec.width)
		*--at = '0';
	if (prefix >= 2) {
		*--at = 'x';
		*--at = '0';
	}
	if (is_negative)
		*--at = '-';
	put_padded(out, at, last - at, &spec);
}

static const char *read_spec(const char *f, struct spec *spec)
{
	*spec = (struct spec){0};
	for (;; f++) {
		if (*f == '-')
			spec->left = true;
		else if (*f == '0')
			spec->zero = true;
		else if (*f == '#')
			spec->alternate = true;
		else
			break;
	}
	for (; *f >= '0' && *f <= '9'; f++)
		spec->width = spec->width * 10 + *f - '0';
	for (;; f++) {
		if (*f == 'l')
			spec->longs++;
		else if (*f == 'z')
			spec->longs = 1;
		else if (*f == 'h')
			spec->longs--;
		else
			return f;
	}
}

static uint64_t narrow(uint64_t value, int longs)
{
	if (longs > 0)
		return value;
	if (longs == 0)
		return (uint32_t)value;
	return longs == -1 ? (uint16_t)value : (uint8_t)value;
}

static int64_t narrow_signed(int64_t value, int longs)
{
	if (longs > 0)
		return value;
	if (longs == 0)
		return (int32_t)value;
	return longs == -1 ? (int16_t)value : (int8_t)value;
}

int pie_vsnprintf(char *to, size_t room, const char *f, va_list args)
{
	struct out out = {to, room, 0};
	struct spec spec;

	for (; *f; f++) {
		if (*f != '%') {
			put(&out, *f);
			continue;
		}
		f = read_spec(f + 1, &spec);
		if (*f == 's') {
			const char *text = va_arg(args, const char *);

			text = text ? text : "(null)";
			put_padded(&out, text, strlen(text), &spec);
		} else if (*f == 'c') {
			char c = va_arg(args, int);

			put_padded(&out, &c, 1, &spec);
		} else if (*f == 'd' || *f == 'i') {
			int64_t wide = spec.longs > 0 ? va_arg(args, long) : va_arg(args, int);
			int64_t value = narrow_signed(wide, spec.longs);
			bool is_negative = value < 0;

			put_number(&out, is_negative ? -(uint64_t)value : (uint64_t)value,
				   is_negative, 10, spec);
		} else if (*f == 'u' || *f == 'x' || *f == 'o') {
			uint64_t wide = spec.longs > 0 ? va_arg(args, unsigned long)
						       : va_arg(args, unsigned int);

			put_number(&out, narrow(wide, spec.longs), false,
				   *f == 'u'   ? 10
				   : *f == 'x' ? 16
					       : 8,
				   spec);
		} else if (*f == 'p') {
			spec.alternate = true;
			put_number(&out, (uintptr_t)va_arg(args, void *), false, 16, spec);
		} else if (*f == '%') {
			put(&out, '%');
		} else {
			break;
		}
	}
	if (room)
		to[out.length < room ? out.length : room - 1] = 0;
	return out.length;
}

int pie_snprintf(char *to, size_t room, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = pie_vsnprintf(to, room, format, args);
	va_end(args);
	return length;
}

void pie_dprintf(int fd, const char *format, ...)
{
	char text[512];
	va_list args;
	int length;

	va_start(args, format);
	length = pie_vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (length >= (int)sizeof(text))
		length = sizeof(text) - 1;
	sys(write, fd, text, length);
}
