// SPDX-License-Identifier: LGPL-2.1-only
/*
 * String functions for blobs. Built with -ffreestanding, so that the compiler does not make a loop
 * here into a call of the very function it is in.
 */
#include <stdint.h>

#include "compel/pie/string.h"

#if defined(__x86_64__)
void *memcpy(void *to, const void *from, size_t length)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(length) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t length)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(length) : "a"(byte) : "memory");
	return to;
}
#else
#error "memcpy and memset for this architecture are not there yet"
#endif

void *memmove(void *to, const void *from, size_t length)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	if (t <= f || t >= f + length)
		return memcpy(to, from, length);
	while (length--)
		t[length] = f[length];
	return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
	const unsigned char *x = a, *y = b;

	for (; length; length--, x++, y++) {
		if (*x != *y)
			return *x - *y;
	}
	return 0;
}

void *memchr(const void *in, int byte, size_t length)
{
	const unsigned char *at = in;

	for (; length; length--, at++) {
		if (*at == (unsigned char)byte)
			return (void *)at;
	}
	return NULL;
}

size_t strnlen(const char *text, size_t most)
{
	size_t n = 0;

	while (n < most && text[n])
		n++;
	return n;
}

size_t strlen(const char *text)
{
	return strnlen(text, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t most)
{
	for (; most; most--, a++, b++) {
		if (*a != *b)
			return (unsigned char)*a - (unsigned char)*b;
		if (!*a)
			break;
	}
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *text, int letter)
{
	for (;; text++) {
		if (*text == (char)letter)
			return (char *)text;
		if (!*text)
			return NULL;
	}
}

char *strrchr(const char *text, int letter)
{
	const char *found = NULL;

	for (;; text++) {
		if (*text == (char)letter)
			found = text;
		if (!*text)
			return (char *)found;
	}
}

size_t strlcpy(char *to, const char *from, size_t room)
{
	size_t length = strlen(from);

	if (room) {
		size_t n = length < room ? length : room - 1;

		memcpy(to, from, n);
		to[n] = 0;
	}
	return length;
}
