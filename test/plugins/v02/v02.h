/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log of the plugins of the old interfaces: one line for each call, one write for each line, to
 * the file that the environment names.
 */
#ifndef V02_H
#define V02_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "line.h"

static __attribute__((unused, format(printf, 3, 4))) void
v02_line(const char *plugin, const char *hook, const char *format, ...)
{
	const char *log = getenv("CRIU_V02_LOG");
	char line[1600];
	va_list args;
	int size;

	if (!log || !*log)
		return;
	size = snprintf(line, sizeof(line), "event=enter plugin=%s hook=%s tid=%d pid=%d ", plugin,
			hook, gettid(), getpid());
	va_start(args, format);
	size += vsnprintf(line + size, sizeof(line) - (size_t)size - 1, format, args);
	va_end(args);
	line_append(log, line, sizeof(line), size);
}

#endif
