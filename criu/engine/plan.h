/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A plan is the sequence of a command as data: steps that are run from the top to the bottom, and,
 * where one fails, undone from there back to the top. Each step is timed, shows progress on a
 * terminal if it takes over a second, and can be made to fail by name: CRIU_FAIL_STEP=name[,name…]
 * fails it before it runs, name:after once it has run; name:kill and name:kill-after have the tool
 * kill itself there, as SIGKILL from outside would, name:term has it send itself SIGTERM, name:stop
 * SIGSTOP, so that somebody else can do something at that very moment. Between the steps the runner
 * looks whether the run was cancelled (run.h) and whether its guardian lives.
 */
#ifndef CRIU_ENGINE_PLAN_H
#define CRIU_ENGINE_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "run.h"

struct cr;

struct step {
	const char *name;
	/* 0 or -errno, logged by whoever met it. */
	int (*run)(struct cr *cr);
	/*
	 * Takes back what run did, also a run that failed half-way (and it must cope with one that
	 * did nothing). Called in reverse order when this step or a later one failed. May be NULL.
	 */
	void (*undo)(struct cr *cr);
	/* Called in reverse order when the whole plan succeeded: gives back what was needed only
	 * while it ran. May be NULL. */
	void (*done)(struct cr *cr);
	/* From this step on a signal no longer stops the run: it is closer to its end than to its
	 * beginning. */
	bool is_final;
};

struct plan {
	const char *name;
	const struct step *steps;
	size_t n_steps;
	/* Names of further points within the steps that fault_hit() is asked about, NULL at the
	 * end; may be NULL. */
	const char *const *points;
	/* Asked before each step whether the run may still go on: 0 or -errno, logged. May be NULL.
	 */
	int (*check)(struct cr *cr);
};

/*
 * Called by the step that does what cannot be taken back (the tree runs, or is dead and its images
 * are complete): the run has succeeded. Steps that fail from then on, this one included, are told
 * as a warning, and those after them are run all the same; nothing is undone.
 */
void plan_commit(struct cr *cr);

/* Runs the plan; 0, or the -errno of the step that failed, after everything was undone. */
int plan_run(struct cr *cr, const struct plan *plan);

/* The tool's limit of open descriptors, as far as it goes, until the run ends; plan_own_limit()
 * (run.h) is what it was. */
void plan_raise_limits(struct cr *cr);
/* As it was before (arg: struct cr), also in a child of fork(2). 0 or -errno, unlogged. */
int plan_give_back_limits(void *arg);

#endif
