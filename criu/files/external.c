// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the options say about files of the tree that belong to somebody outside: --external file[..]
 * and tty[..] on dump, --irmap-scan-path, --inherit-fd on restore. All of them name something by
 * numbers that are easily mistyped or out of date; CRIU 4.2 lets pass what matches nothing, and so
 * do we, but with a warning each. Tests: test/test_options.py
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cr.h"
#include "files/files-priv.h"
#include "options.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

bool external_match(struct cr *cr, const char *type, const char *id)
{
	const struct option_externals *all = &cr->opts->external;
	bool is_there = false;

	for (size_t i = 0; i < all->n; i++) {
		if (!str_equal(all->items[i].type, type) || !str_equal(all->items[i].id, id))
			continue;
		if (!cr->files->has_external)
			cr->files->has_external = xcalloc(all->n, sizeof(bool));
		cr->files->has_external[i] = true;
		is_there = true;
	}
	return is_there;
}

void external_warn_unmatched(struct cr *cr)
{
	const struct option_externals *all = &cr->opts->external;

	for (size_t i = 0; i < all->n; i++)
		if (!cr->files->has_external || !cr->files->has_external[i])
			log_warn(cr, "--external %s: no open file of the tree is that one",
				 all->items[i].text);
}

void irmap_warn_paths(struct cr *cr)
{
	const struct option_strings *paths = &cr->opts->irmap_scan_path;
	struct stat st;

	for (size_t i = 0; i < paths->n; i++)
		if (stat(paths->items[i], &st) < 0)
			log_warn(cr, "--irmap-scan-path %s: cannot be looked through: %s",
				 paths->items[i], strerrordesc_np(errno));
}
