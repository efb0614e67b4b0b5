// SPDX-License-Identifier: GPL-2.0-only
/*
 * eventfd: a 64-bit counter behind an anonymous inode. Saved: the counter and whether it counts as
 * a semaphore (from fdinfo; Linux before 6.5 does not tell); flags and owner are the engine's. Not
 * saved: who sleeps on it. Needs: nothing. Tests: test/cr/eventfd-*.c
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "kernel/features.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"

struct eventfd {
	struct file file;
	uint64_t counter;
	bool is_semaphore;
};

static bool eventfd_match(const struct fd_facts *f)
{
	return f->info && (f->info->has & FDINFO_EVENTFD);
}

/* Once for all of them, as most are none. */
static void warn_of_semaphores(struct cr *cr, const struct file *file)
{
	if (cr->files->has_warned_eventfd || feature_has(cr->features, FEATURE_EVENTFD_SEMAPHORE))
		return;
	cr->files->has_warned_eventfd = true;
	log_warn(cr,
		 "eventfd %#x: this kernel (before 6.5) does not tell whether it counts as a "
		 "semaphore; eventfds that do are restored as plain counters",
		 file->id);
}

static int eventfd_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	EventfdFileEntry *e = entry->efd = xmalloc(sizeof(*e));

	eventfd_file_entry__init(e);
	e->id = file->id;
	e->flags = file->flags;
	e->fown = file->fown;
	e->counter = file->facts.info->eventfd_count;
	e->has_semaphore = e->semaphore = file->facts.info->has & FDINFO_SEMAPHORE;
	if (!e->semaphore)
		warn_of_semaphores(cr, file);
	return 0;
}

static int eventfd_load(struct cr *cr, struct file *file)
{
	struct eventfd *efd = (struct eventfd *)file;
	const EventfdFileEntry *e = file->entry->efd;

	if (!e)
		return file_refuse_entry(cr, file);
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	efd->counter = e->counter;
	efd->is_semaphore = e->has_semaphore && e->semaphore;
	return 0;
}

static int eventfd_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	struct eventfd *efd = (struct eventfd *)file;
	_cleanup_close_ int fd = -1;

	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (efd->is_semaphore ? EFD_SEMAPHORE : 0));
	if (fd < 0)
		return log_err(cr, -errno, "eventfd %#x: create", file->id);
	/* eventfd(2) takes 32 bits, the counter has 64: set it by a write. */
	if (efd->counter && write(fd, &efd->counter, sizeof(efd->counter)) < 0)
		return log_err(cr, -errno, "eventfd %#x: set the counter", file->id);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

const struct file_kind file_kind_eventfd = {
	.name = "eventfd",
	.type = FD_TYPES__EVENTFD,
	.size = sizeof(struct eventfd),
	.match = eventfd_match,
	.dump = eventfd_dump,
	.load = eventfd_load,
	.restore = eventfd_restore,
};
