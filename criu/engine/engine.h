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

#endif
