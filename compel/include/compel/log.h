/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What the library has to say. It never prints by itself: a message goes to the function that the
 * caller gives in struct compel_options, once, at the place where the failing call was met.
 */
#ifndef COMPEL_LOG_H
#define COMPEL_LOG_H

enum compel_level {
	COMPEL_ERROR, /* a call of this library returns a negative errno because of this */
	COMPEL_WARN,  /* it goes on, with less than was hoped for */
	COMPEL_DEBUG, /* one line per object */
};

/* text has no newline and lives only during the call. opaque is compel_options.log_opaque. */
typedef void (*compel_log_fn)(void *opaque, enum compel_level level, const char *text);

#endif
