/* SPDX-License-Identifier: GPL-2.0-only */
/* The commands that run a plan. Each returns 0 or -errno; the first cause is in cr->report. */
#ifndef CRIU_ENGINE_ENGINE_H
#define CRIU_ENGINE_ENGINE_H

struct cr;

int engine_dump(struct cr *cr);
/* Once the tree runs, SIGINT, SIGTERM and SIGHUP are blocked: who was told to stop too late
 * succeeds. */
int engine_restore(struct cr *cr);

/*
 * Undoes what runs have left of which both tool and guardian were killed, from the journals in the
 * run directory. Journals of runs that are alive are left alone. -errno if something could not be
 * undone (its journal stays).
 */
int engine_recover(struct cr *cr);

/*
 * Lets the tree run that was restored with --hold and whose root is --tree, or the only one there
 * is; returns when all is as after a restore without --hold. -errno, logged, with the cause that
 * its holder gives.
 */
int engine_release(struct cr *cr);

#endif
