/* SPDX-License-Identifier: GPL-2.0-only */
/* Text of paths, without looking at the file system. */
#ifndef CRIU_UTIL_PATH_H
#define CRIU_UTIL_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Cuts the " (deleted)" that the kernel puts behind the name of an unlinked file; true if it was
 * there. */
bool path_strip_deleted(char *path);
/* dir and name with one slash between; "" and "." as dir give name. The caller frees it. */
char *path_join(const char *dir, const char *name);
/* Is path dir itself or below it? Whole components; both without "." and ".."; "/" holds every
 * absolute path. */
bool path_is_under(const char *path, const char *dir);
/* What remains of path (which is under dir) when dir is taken away: no leading slash, "" for dir
 * itself. NULL if it is not under it. */
const char *path_below(const char *path, const char *dir);
/* path without leading slashes, "." if nothing remains: for openat() relative to a root. */
const char *path_relative(const char *path);
/* Last component: points into path. */
const char *path_base(const char *path);
/* Undoes the \ooo escapes of mountinfo and maps in place; returns the new length. */
size_t path_unescape(char *path);
/* Removes "//", "/./" and trailing slashes in place, resolves nothing. */
void path_squeeze(char *path);

#endif
