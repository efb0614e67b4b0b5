/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * String functions of the standard for blobs. The compiler calls the first four by itself. The ones
 * for large sizes use the processor's string instructions, which need no vector registers.
 */
#ifndef COMPEL_PIE_STRING_H
#define COMPEL_PIE_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);
void *memchr(const void *in, int byte, size_t length);

size_t strlen(const char *text);
size_t strnlen(const char *text, size_t most);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t most);
char *strchr(const char *text, int letter);
char *strrchr(const char *text, int letter);

/* Copies what fits of from into to[room], always terminated if room > 0. Returns the length of
 * from. */
size_t strlcpy(char *to, const char *from, size_t room);

#endif
