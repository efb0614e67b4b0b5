/* SPDX-License-Identifier: GPL-2.0-only */
/* Scheduling of threads (sched.c). */
#ifndef CRIU_STATE_SCHED_H
#define CRIU_STATE_SCHED_H

struct cr;
struct thread;

/*
 * Restore, from outside and as late as possible, so that no thread is restored at the pace of the
 * policy it had. 0 or -errno, logged.
 */
int sched_restore(struct cr *cr, const struct thread *thread);

#endif
