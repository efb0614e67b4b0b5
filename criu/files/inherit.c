// SPDX-License-Identifier: GPL-2.0-only
/*
 * --inherit-fd: descriptors that whoever started the tool gives to the tree in place of files named
 * by a key ("pipe:[123]", "tty[8801:2]", "file[1:2f]", a path without its first slash). They are
 * moved out of the tree's numbers when files are loaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cr.h"
#include "files/files-priv.h"
#include "options.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/hash.h"
#include "util/log.h"

struct inherited {
	int fd;
	bool is_met;
};

int inherit_load(struct cr *cr)
{
	const struct option_inherits *all = &cr->opts->inherit_fd;
	struct inherited *given = cr->files->given = xcalloc(all->n + 1, sizeof(*given));

	for (size_t i = 0; i < all->n; i++) {
		const struct option_inherit *item = &all->items[i];
		int fd;

		if (item->is_debug) {
			int err = write_all(item->fd, item->key, strlen(item->key));

			if (err)
				return log_err(cr, err, "--inherit-fd debug[%d]: write", item->fd);
			continue;
		}
		fd = fcntl(item->fd, F_DUPFD_CLOEXEC, cr->files->first_free_fd);
		if (fd < 0)
			return log_err(cr, -errno, "--inherit-fd fd[%d]:%s", item->fd, item->key);
		given[i].fd = fd;
		hash_put(&cr->files->inherited, hash_str(item->key), &given[i]);
	}
	return 0;
}

int files_inherited(struct cr *cr, const char *key)
{
	struct inherited *given = hash_get(&cr->files->inherited, hash_str(key));

	if (!given)
		return -ENOENT;
	given->is_met = true;
	return given->fd;
}

void inherit_warn_unmatched(struct cr *cr)
{
	const struct option_inherits *all = &cr->opts->inherit_fd;

	for (size_t i = 0; i < all->n; i++)
		if (!all->items[i].is_debug && !cr->files->given[i].is_met)
			log_warn(cr, "--inherit-fd fd[%d]:%s: no file of the images is that one",
				 all->items[i].fd, all->items[i].key);
}
