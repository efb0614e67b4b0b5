// SPDX-License-Identifier: GPL-2.0-only
/* Paths as text: nothing here looks at the file system, so nothing follows links. */
#include "util/path.h"

#include <string.h>

#include "util/alloc.h"
#include "util/str.h"

bool path_strip_deleted(char *path)
{
	static const char mark[] = " (deleted)";
	size_t len = strlen(path);

	if (len <= strlen(mark) || !str_ends_with(path, mark))
		return false;
	path[len - strlen(mark)] = '\0';
	return true;
}

char *path_join(const char *dir, const char *name)
{
	size_t len = strlen(dir);

	if (!*dir || str_equal(dir, "."))
		return xstrdup(name);
	while (len && dir[len - 1] == '/')
		len--;
	while (*name == '/')
		name++;
	return xasprintf("%.*s/%s", (int)len, dir, name);
}

const char *path_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	while (len && dir[len - 1] == '/')
		len--;
	if (len == 0 && *dir == '\0')
		return NULL;
	if (strncmp(path, dir, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	if (len == 0 && *path != '/')
		return NULL;
	path += len;
	while (*path == '/')
		path++;
	return path;
}

bool path_is_under(const char *path, const char *dir)
{
	return path_below(path, dir) != NULL;
}

const char *path_relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path ? path : ".";
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

size_t path_unescape(char *path)
{
	char *to = strchr(path, '\\');
	const char *from = to;

	if (!to)
		return strlen(path);
	while (*from) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && is_octal(from[2]) &&
		    is_octal(from[3])) {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 |
				       (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return (size_t)(to - path);
}

void path_squeeze(char *path)
{
	char *to = path;
	const char *from = path;

	while (*from) {
		if (from[0] == '/' &&
		    (from[1] == '/' || (from[1] == '.' && (from[2] == '/' || !from[2])))) {
			from += from[1] == '/' ? 1 : 2;
			/* "/." alone is the root, not nothing. */
			if (!*from && to == path)
				*to++ = '/';
			continue;
		}
		*to++ = *from++;
	}
	while (to > path + 1 && to[-1] == '/')
		to--;
	*to = '\0';
}
