// SPDX-License-Identifier: GPL-2.0-only
/*
 * timerfd: a timer that is read. Saved: clock, time left, interval, expirations not read yet (all
 * from fdinfo). Armed by the coordinator just before the tree runs, so that the time the restore
 * takes does not count; a timer that was set to an absolute time is set to one again, because
 * TFD_TIMER_CANCEL_ON_SET goes with it. Needs: nothing. Tests: test/cr/timerfd-*.c
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>

#include "cr.h"
#include "files/files-priv.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS \
	_IOW('T', 0, uint64_t) /* linux/timerfd.h, which clashes with the C library's */
#endif
#define NSEC_PER_SEC 1000000000ull

static bool timerfd_match(const struct fd_facts *f)
{
	return f->info && (f->info->has & FDINFO_TIMERFD);
}

static int timerfd_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	TimerfdEntry *e = entry->tfd = xmalloc(sizeof(*e));
	const struct fdinfo *info = file->facts.info;

	timerfd_entry__init(e);
	e->id = file->id;
	e->flags = file->flags;
	e->fown = file->fown;
	e->clockid = info->timerfd.clock_id;
	e->ticks = info->timerfd.ticks;
	e->settime_flags = info->timerfd.settime_flags;
	e->vsec = info->timerfd.value_sec;
	e->vnsec = info->timerfd.value_nsec;
	e->isec = info->timerfd.interval_sec;
	e->insec = info->timerfd.interval_nsec;
	return 0;
}

static int timerfd_load(struct cr *cr, struct file *file)
{
	const TimerfdEntry *e = file->entry->tfd;

	if (!e)
		return file_refuse_entry(cr, file);
	if (e->vnsec >= NSEC_PER_SEC || e->insec >= NSEC_PER_SEC)
		return log_refuse(cr, -EBADMSG, "files.img: timerfd %#x: nanoseconds out of range",
				  file->id);
	file->flags = e->flags;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	return 0;
}

static int timerfd_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	int fd = timerfd_create(file->entry->tfd->clockid, TFD_CLOEXEC);

	if (fd < 0)
		return log_err(cr, -errno, "timerfd %#x: create on clock %u", file->id,
			       file->entry->tfd->clockid);
	*ret_fd = fd;
	return 0;
}

static int timerfd_resume(struct cr *cr, struct file *file, int fd)
{
	const TimerfdEntry *e = file->entry->tfd;
	struct itimerspec spec = {
		.it_value = {e->vsec, e->vnsec},
		.it_interval = {e->isec, e->insec},
	};
	int flags = e->settime_flags & (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	uint64_t ticks = e->ticks;
	struct timespec now;

	if (!e->vsec && !e->vnsec && !e->isec && !e->insec && !ticks)
		return 0;
	/* What the image has is the time left, also for absolute timers. */
	if ((flags & TFD_TIMER_ABSTIME) && (e->vsec || e->vnsec)) {
		if (clock_gettime(e->clockid, &now) < 0)
			return log_err(cr, -errno, "timerfd %#x: read clock %u", file->id,
				       e->clockid);
		spec.it_value.tv_sec += now.tv_sec;
		spec.it_value.tv_nsec += now.tv_nsec;
		if (spec.it_value.tv_nsec >= (long)NSEC_PER_SEC) {
			spec.it_value.tv_nsec -= NSEC_PER_SEC;
			spec.it_value.tv_sec++;
		}
	}
	if (timerfd_settime(fd, flags, &spec, NULL) < 0)
		return log_err(cr, -errno, "timerfd %#x: arm", file->id);
	/* Setting it forgot the expirations. */
	if (ticks && ioctl(fd, TFD_IOC_SET_TICKS, &ticks) < 0)
		return log_err(cr, -errno, "timerfd %#x: set its expirations", file->id);
	return 0;
}

const struct file_kind file_kind_timerfd = {
	.name = "timerfd",
	.type = FD_TYPES__TIMERFD,
	.size = sizeof(struct file),
	.match = timerfd_match,
	.dump = timerfd_dump,
	.load = timerfd_load,
	.restore = timerfd_restore,
	.resume = timerfd_resume,
};
