// SPDX-License-Identifier: GPL-2.0-only
/*
 * The clocks that count from the start of the machine (CLOCK_MONOTONIC, CLOCK_BOOTTIME) must not
 * jump for a restored task, least of all backwards. So the tree is born in a time namespace whose
 * offsets make them go on from where they were when it was dumped. The namespace is that of the
 * root's children from unshare(2) on, and its offsets can be written until the first process is in
 * it. Without the privilege, or on a kernel without time namespaces, the clocks are those of the
 * machine, with a warning.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cr.h"
#include "engine/restore-priv.h"
#include "images/core.pb-c.h"
#include "images/inventory.pb-c.h"
#include "images/lib/image.h"
#include "images/timens.pb-c.h"
#include "kernel/proc.h"
#include "task/restore.h"
#include "util/fd.h"
#include "util/log.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#define NSEC_PER_SEC 1000000000
/* The kernel takes no clock beyond half of what 64 bits of nanoseconds can hold. */
#define SECONDS_MAX (INT64_MAX / NSEC_PER_SEC / 2)

/* Images of a tree in a time namespace of its own have its number, others 0. */
static uint64_t image_number(const struct cr *cr)
{
	const TaskKobjIdsEntry *ids = cr->tree->root->ids, *own = cr->restore->inventory->root_ids;

	if (!ids->has_time_ns_id || !own->has_time_ns_id || ids->time_ns_id == own->time_ns_id)
		return 0;
	return ids->time_ns_id;
}

int timens_load(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	TimensEntry *e = NULL;
	int err;

	cr->restore->own_timens = -1;
	err = image_open(cr->images, IMAGE_TIMENS, image_number(cr), &img);
	if (err >= 0)
		err = image_read(img, &e);
	if (err < 0)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	if (!e)
		return 0;
	cr->restore->clocks = e;
	if (e->monotonic->tv_sec > SECONDS_MAX || e->boottime->tv_sec > SECONDS_MAX ||
	    e->monotonic->tv_nsec >= NSEC_PER_SEC || e->boottime->tv_nsec >= NSEC_PER_SEC)
		return log_refuse(cr, -EBADMSG, "%s: a clock is out of range",
				  image_file_name(img));
	return 0;
}

/* What must be added to the clock, which own_* has been added to already. */
static void offset_for(const Timespec *then, clockid_t clock, int64_t own_sec, uint32_t own_nsec,
		       int64_t *ret_sec, int64_t *ret_nsec)
{
	struct timespec now;

	clock_gettime(clock, &now);
	*ret_sec = own_sec + (int64_t)then->tv_sec - now.tv_sec;
	*ret_nsec = (int64_t)own_nsec + (int64_t)then->tv_nsec - now.tv_nsec;
	while (*ret_nsec < 0) {
		*ret_nsec += NSEC_PER_SEC;
		*ret_sec -= 1;
	}
	while (*ret_nsec >= NSEC_PER_SEC) {
		*ret_nsec -= NSEC_PER_SEC;
		*ret_sec += 1;
	}
}

static int write_offsets(struct cr *cr)
{
	const TimensEntry *e = cr->restore->clocks;
	_cleanup_close_ int dir = proc_open(getpid());
	struct proc_timens_offsets own;
	int64_t mono_sec, mono_nsec, boot_sec, boot_nsec;
	int err = dir < 0 ? dir : proc_read_timens_offsets(dir, &own);

	if (err < 0)
		return err;
	offset_for(e->monotonic, CLOCK_MONOTONIC, own.monotonic_sec, own.monotonic_nsec, &mono_sec,
		   &mono_nsec);
	offset_for(e->boottime, CLOCK_BOOTTIME, own.boottime_sec, own.boottime_nsec, &boot_sec,
		   &boot_nsec);
	log_debug(cr, "clocks: monotonic %+" PRId64 " s, boottime %+" PRId64 " s", mono_sec,
		  boot_sec);
	return fd_write_filef(dir, "timens_offsets",
			      "monotonic %" PRId64 " %" PRId64 "\nboottime %" PRId64 " %" PRId64
			      "\n",
			      mono_sec, mono_nsec, boot_sec, boot_nsec);
}

int timens_enter(struct cr *cr)
{
	int err = 0;

	if (!cr->restore->clocks)
		return 0;
	cr->restore->own_timens = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	if (cr->restore->own_timens < 0 || unshare(CLONE_NEWTIME) < 0)
		err = -errno;
	if (err == -EPERM || err == -EINVAL || err == -ENOENT) {
		log_warn(cr, "clocks: no time namespace can be made, they will jump: %s",
			 strerror(-err));
		/* There is none to leave. */
		close_at(&cr->restore->own_timens);
		cr->restore->own_timens = -1;
		return 0;
	}
	if (!err)
		err = write_offsets(cr);
	return err ? log_err(cr, err, "clocks: make a time namespace in which they go on") : 0;
}

int timens_leave(struct cr *cr)
{
	_cleanup_close_ int own = TAKE_FD(cr->restore->own_timens);

	if (own >= 0 && setns(own, CLONE_NEWTIME) < 0)
		log_warn(cr,
			 "clocks: programs that are run from here on will have those of the tree: "
			 "%s",
			 strerror(errno));
	return 0;
}

int timens_visit(struct cr *cr, int *ret_back)
{
	_cleanup_close_ int back = -1;

	*ret_back = -1;
	if (cr->restore->own_timens < 0)
		return 0;
	back = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	if (back < 0 || setns(cr->restore->own_timens, CLONE_NEWTIME) < 0)
		return log_err(cr, -errno, "clocks: take those of the tool");
	*ret_back = TAKE_FD(back);
	return 0;
}

int timens_return(struct cr *cr, int back)
{
	int err = back >= 0 && setns(back, CLONE_NEWTIME) < 0 ? -errno : 0;

	close_at(&back);
	return err ? log_err(cr, err, "clocks: take those of the tree") : 0;
}
