/* SPDX-License-Identifier: GPL-2.0-only */
/* The restore, between the files of the engine that do it. */
#ifndef CRIU_ENGINE_RESTORE_PRIV_H
#define CRIU_ENGINE_RESTORE_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cr;
struct seed;
struct task;
struct args_builder;

/* What is known of a live task while it is restored; task->restore. */
struct task_restore {
	struct args_builder *args;
	struct seed *seed;
	uint32_t depth;   /* in the tree; the root has 0 */
	bool is_released; /* its registers are set, and it is stopped and no longer traced */
};

/* --- restore-load.c: steps before anything is forked --- */

int restore_check_options(struct cr *cr);
int restore_load_inventory(struct cr *cr);
int restore_load_tree(struct cr *cr);
int restore_load_parts(struct cr *cr);
void restore_free(struct cr *cr);

/* --- restore-area.c --- */

/* Maps what all processes have in common where no task has anything: shared words, the blob's code,
 * room for arguments and stacks. */
int area_map(struct cr *cr);
void area_unmap(struct cr *cr);
/* In the task's process: completes its arguments and puts them into the area. */
int area_put_args(struct cr *cr, struct task *task);

/* --- restore-task.c: the processes --- */

/* In any process of the restore: forks the seed's, which goes its own way. 0 or -errno, logged. */
int seed_fork(struct cr *cr, const struct seed *seed);
/* Must the root not be a child of ours? Then root_fork_orphan() forks it: 0 or -errno, logged. */
bool root_is_orphan(const struct cr *cr);
int root_fork_orphan(struct cr *cr);

/* --- timens.c --- */

/* Reads the clocks of the image; 0 also without. */
int timens_load(struct cr *cr);
/* Makes the next child be born in a time namespace whose clocks go on from the image's; undone by
 * timens_leave(). */
int timens_enter(struct cr *cr);
int timens_leave(struct cr *cr);
/* In a task of the tree, as long as it has one thread: to the tool's clocks, and with *ret_back
 * (-1: they are the same) back again. 0, or a logged -errno. */
int timens_visit(struct cr *cr, int *ret_back);
int timens_return(struct cr *cr, int back);

/* --- release.c: the coordinator and the restored threads, which sleep in the blob --- */

/* Traces every thread: from now on they die with the coordinator, and seccomp does not hold. */
int release_seize(struct cr *cr);
/* Lets the last stage run, children before parents, and stops those that were stopped. */
int release_signals(struct cr *cr);
/* Gives all threads the registers they had. */
int release_prepare(struct cr *cr);
/* From now on they outlive the coordinator: should it die, they run. */
int release_outlive(struct cr *cr);
/* Lets them go, or leaves them stopped (-s). */
int release_detach(struct cr *cr);

#endif
