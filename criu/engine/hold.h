/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * criu restore --hold: everything is restored and nothing has run; then the command returns, and
 * the process that has restored, the holder, waits for `criu release`.
 */
#ifndef CRIU_ENGINE_HOLD_H
#define CRIU_ENGINE_HOLD_H

#include <sys/types.h>

struct cr;

/* In the holder. */
struct hold_work {
	/* All of the restore, with what surrounds it; its exit status. */
	int (*restore)(struct cr *cr, void *arg);
	/* The tree is held, and the command is about to return: 0 or -errno, logged. */
	int (*held)(struct cr *cr, void *arg);
	void *arg;
};

/*
 * In the command's process, which must have no threads: forks the holder, which does the work and
 * ends, and waits until the tree is held (0) or the holder has ended (its exit status). -errno,
 * logged, if it could not be started or was killed.
 */
int hold_run(struct cr *cr, const struct hold_work *work);

/* The following do nothing without --hold. */

/* Before anything is restored: is there a place where criu release finds the tree? 0 or -errno,
 * logged. */
int hold_prepare(struct cr *cr);
/* Step of the plan: 0 when the tree is to run, or -errno, logged. */
int hold_wait(struct cr *cr);

#endif
