/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Formatted text for blobs: %s %c %d %i %u %x %o %p %%, with the lengths h hh l ll z, a width and
 * the flags '-', '0', '#'.
 */
#ifndef COMPEL_PIE_PRINT_H
#define COMPEL_PIE_PRINT_H

#include <stdarg.h>
#include <stddef.h>

/* As the standard's: writes at most room bytes, always terminated if room > 0; returns the length
 * it would have had. */
int pie_vsnprintf(char *to, size_t room, const char *format, va_list args);
int pie_snprintf(char *to, size_t room, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* One write(2) to fd of at most 512 bytes; errors are ignored. */
void pie_dprintf(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
