// SPDX-License-Identifier: LGPL-2.1-only
/* One line for the caller's log function. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "compel/lib/session-priv.h"

int session_say(const struct compel_session *s, enum compel_level level, int err,
		const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	if (!s->options.log)
		return err;
	n = snprintf(text, sizeof(text), "pid %d: ", s->pid);
	va_start(args, format);
	n += vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
	if (err < 0 && n < (int)sizeof(text))
		snprintf(text + n, sizeof(text) - n, ": %s", strerror(-err));
	s->options.log(s->options.log_opaque, level, text);
	return err;
}
