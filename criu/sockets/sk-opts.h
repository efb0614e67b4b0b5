/* SPDX-License-Identifier: GPL-2.0-only */
/* Options that sockets of all families have (socket(7)). */
#ifndef CRIU_SOCKETS_SK_OPTS_H
#define CRIU_SOCKETS_SK_OPTS_H

struct cr;
struct file;
struct SkOptsEntry;

/* Dump: reads the options of the socket behind fd. The caller frees *ret with sk_opts_free(). */
int sk_opts_collect(struct cr *cr, const struct file *file, int fd, struct SkOptsEntry **ret);
void sk_opts_free(struct SkOptsEntry *opts);
/* Restore: sets those that differ from fresh, which are the options that fd has as it was made. */
int sk_opts_restore(struct cr *cr, const struct file *file, const struct SkOptsEntry *opts,
		    const struct SkOptsEntry *fresh, int fd);

#endif
