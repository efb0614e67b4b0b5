// SPDX-License-Identifier: GPL-2.0-only
/*
 * signalfd: reads pending signals of whoever reads it. Saved: the mask (from fdinfo). The signals
 * themselves are pending signals of the tasks. Needs: nothing. Tests: test/cr/signalfd-*.c
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "cr.h"
#include "files/files-priv.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"

static bool signalfd_match(const struct fd_facts *f)
{
	return f->info && (f->info->has & FDINFO_SIGNALFD);
}

static int signalfd_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	SignalfdEntry *e = entry->sgfd = xmalloc(sizeof(*e));

	signalfd_entry__init(e);
	e->id = file->id;
	e->flags = file->flags;
	e->fown = file->fown;
	e->sigmask = file->facts.info->sigmask;
	return 0;
}

static int signalfd_load(struct cr *cr, struct file *file)
{
	const SignalfdEntry *e = file->entry->sgfd;

	if (!e)
		return file_refuse_entry(cr, file);
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	return 0;
}

static int signalfd_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	uint64_t kernel_mask = file->entry->sgfd->sigmask;
	sigset_t mask;
	int fd;

	/* The C library's set is longer than the kernel's, and begins with it. */
	sigemptyset(&mask);
	memcpy(&mask, &kernel_mask, sizeof(kernel_mask));
	fd = signalfd(-1, &mask, SFD_CLOEXEC);
	if (fd < 0)
		return log_err(cr, -errno, "signalfd %#x: create", file->id);
	*ret_fd = fd;
	return 0;
}

const struct file_kind file_kind_signalfd = {
	.name = "signalfd",
	.type = FD_TYPES__SIGNALFD,
	.size = sizeof(struct file),
	.match = signalfd_match,
	.dump = signalfd_dump,
	.load = signalfd_load,
	.restore = signalfd_restore,
};
