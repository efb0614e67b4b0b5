/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Restore: the process tree as images describe it, and the order in which its processes are to be
 * forked so that each ends up with its parent, session and process group.
 */
#ifndef CRIU_TASK_RESTORE_H
#define CRIU_TASK_RESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compel/base/list.h"
#include "kernel/proc.h"
#include "task/task.h"

struct cr;
struct seeds;
struct stages;
struct restorer_shared;
struct xsave_layout;
struct InventoryEntry;
struct SeccompEntry;
struct TimensEntry;

/* A restore; cr->restore. Made by the engine, filled before the first fork, inherited by all tasks.
 */
struct restore {
	struct InventoryEntry *inventory;
	struct SeccompEntry *seccomp; /* NULL: no such image */
	bool has_seccomp;             /* some thread has filters or strict mode */
	struct proc_status
		own; /* of this tool: credentials and capabilities that tasks start with */
	uint32_t own_securebits;
	uint64_t known_caps;        /* the capabilities that this kernel has */
	struct TimensEntry *clocks; /* NULL: no such image */
	int own_timens; /* our time namespace while the next child is born in another, or -1 */
	struct xsave_layout *xsave; /* arch/x86_64/fpu.h */
	struct seeds *seeds;
	pid_t tool;            /* the coordinator */
	struct stages *stages; /* engine/stages.h */
	/* What the blob's area begins with, in all processes; the code, arguments and stacks
	 * follow. */
	struct restorer_shared *shared;
	uint64_t area, area_size;
	uint64_t entry;              /* address of the blob's code to be entered */
	uint64_t args;               /* where the arguments go */
	uint64_t stacks, stack_size; /* one a thread */
	bool has_timer_ids;          /* timers can be created with a given id */
};

/*
 * Reads pstree.img, and ids and cores of all its tasks, into cr->tree. Checks everything that
 * concerns more than one part of the state: numbers, parents, threads, which tables are shared. 0
 * or -errno, logged.
 */
int tree_load(struct cr *cr);
/* Frees the messages that tree_load() has hung on the tree, and cr->tree. */
void tree_unload(struct cr *cr);

/* Takes over the session and the process group of this process where those of the tree's root are
 * not in the tree (--shell-job). */
int tree_adopt_session(struct cr *cr);

/* None of the numbers that the tree needs may be in use. 0 or -errno, logged with who has it. */
int pids_check(struct cr *cr);

/*
 * A process to be forked: one of the tree, or one that is there only to give others what they
 * cannot get from their parent, and is gone before the tree runs.
 */
struct seed {
	struct task *task; /* NULL: a helper */
	size_t index;      /* in the order of `all` */
	pid_t pid;
	pid_t sid, pgid; /* to end up with */
	struct seed *forker;
	struct list children; /* of struct seed, in the order of fork */
	struct list sibling;
	struct list all;       /* parents first; head in struct seeds */
	bool is_before_setsid; /* forked before its forker makes its session */
	bool leads_session;
	bool leads_group; /* for others, at first, whatever its own group is in the end */
	bool is_adopted;  /* its forker exits at once; it becomes the child of its task's parent */
	bool adopts;      /* must be a child subreaper while processes are forked */
};

struct seeds {
	struct seed *root;
	struct list all;
	size_t n, n_helpers;
};

/*
 * Works out who forks whom. Needs nothing but the tree and the session and group that the root is
 * born in. -EINVAL with *ret_odd, the task whose session or group cannot be had.
 */
int seeds_plan(const struct tree *tree, pid_t outer_sid, pid_t outer_pgid, struct seeds **ret,
	       const struct task **ret_odd);
void seeds_free(struct seeds *seeds);

/* Gives a number that is free here, and that the tree does not need, to each helper that has none
 * (pid 0). */
int seeds_number_helpers(struct cr *cr, struct seeds *seeds);

/* A helper that exits to have the task's parent adopt what it has forked; others lead a group until
 * all are in it. */
static inline bool seed_is_midwife(const struct seed *seed)
{
	return !seed->task && !list_is_empty(&seed->children);
}

#define seeds_for_each(pos, seeds)     list_for_each_entry (pos, &(seeds)->all, all)
#define seed_for_each_child(pos, seed) list_for_each_entry (pos, &(seed)->children, sibling)

#endif
