/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guardian: a small process in a session of its own that outlives the tool by as long as it
 * takes to undo what the tool has left in its undo journal. Records are added with undo_add_*() of
 * run.h.
 */
#ifndef CRIU_ENGINE_GUARDIAN_H
#define CRIU_ENGINE_GUARDIAN_H

#include <sys/types.h>

struct cr;

/*
 * Makes the journal and starts the guardian (cr->guardian). First step of every plan that touches
 * anything, before there are threads. 0 or -errno, logged.
 */
int guardian_start(struct cr *cr);

/* The run succeeded (done of that step): nothing is to be undone any more, and the guardian goes
 * away. */
void guardian_commit(struct cr *cr);

/* The run failed (undo of that step): the tool undoes what is still recorded, in reverse order, and
 * the guardian goes away. */
void guardian_undo(struct cr *cr);

/* 0 while the guardian lives (or there is none to be), else -EPIPE, logged: the run must not go on
 * unprotected. */
int guardian_check(struct cr *cr);

/*
 * Gives the journal its name now, before tasks are forked that may be the first to add a record:
 * one that names it while it dies with the tool would do so behind the guardian's back. 0 or
 * -errno, logged.
 */
int guardian_show(struct cr *cr);

/*
 * In a forked child that becomes something else (a restored task): closes this process's copies of
 * the guardian's descriptors; undo_add_*() do nothing in it from then on.
 */
void guardian_leave(struct cr *cr);

/*
 * Waits for the guardian's end and frees cr->guardian: before a plan is run again, and before the
 * tool ends, as the guardian has directories open that somebody may then want to unmount.
 */
void guardian_reap(struct cr *cr);

/* The guardian's pid, 0 if there is none. */
pid_t guardian_pid(const struct cr *cr);

#endif
