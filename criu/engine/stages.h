/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stages of a restore (enum restore_stage of pie/args.h) as coordinator and tasks see them. A
 * stage ends when all that take part in it have reached its end; then the coordinator begins the
 * next one. Where one fails, or dies, the whole restore does: the coordinator learns of it at once
 * and kills the rest.
 */
#ifndef CRIU_ENGINE_STAGES_H
#define CRIU_ENGINE_STAGES_H

#include <stddef.h>
#include <sys/types.h>

#include "pie/args.h"

struct cr;
struct seed;

/* --- coordinator --- */

/* After seeds are planned: the memory that all processes share, and a number for each seed. 0 or
 * -errno, logged. */
int stages_prepare(struct cr *cr);
void stages_release(struct cr *cr);

/* Begins a stage that count processes (or threads) take part in. The stage before it must have
 * ended. */
void stage_begin(struct cr *cr, enum restore_stage stage, size_t count);
/* For STAGE_SIGNALS, task by task: those at this depth of the tree or deeper, count of them that
 * were not let go before. */
void stage_level_begin(struct cr *cr, uint32_t level, size_t count);
/*
 * Waits until all have reached its end. 0; -ECANCELED, unlogged, if the run was cancelled or a
 * process failed with a logged error; or -errno, logged: a failure inside the blob, or a process
 * that died.
 */
int stage_wait(struct cr *cr);

/* Where clone3(2) writes the pid of a seed's process: how the coordinator knows that it exists. 0:
 * it does not, or is reaped. */
pid_t *seed_pid_slot(struct cr *cr, const struct seed *seed);

/* A process that is to exit (a zombie): waits until it has. 0 or as stage_wait(). */
int seed_wait_exit(struct cr *cr, const struct seed *seed);

/*
 * Something could not be done to a process of the restore: is it because it died? -ECHILD, logged
 * with how it died (-ECANCELED, if a process has told why before); 0: it lives.
 */
int seed_died(struct cr *cr, const struct seed *seed);

/* 0, or, if a process that is not to end by itself is dead, as seed_died(). */
int stages_check_alive(struct cr *cr);

/* Kills every process of the restore, and reaps what is ours to reap. Copes with a restore that has
 * not come to forking. */
void stages_kill_all(struct cr *cr);

/* --- in a process of the tree --- */

/* Has reached the end of this stage; returns when the next one begins. */
void stage_end(struct cr *cr, enum restore_stage stage);
/* Has reached the end of this stage and will not take part in another one. */
void stage_leave(struct cr *cr);
/* Something failed (and was logged): tells the coordinator and ends this process. */
void stage_fail(struct cr *cr) __attribute__((noreturn));

#endif
