/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process tree: one struct task a process (or zombie), one struct thread a thread. On dump it
 * is collected from the frozen tree, on restore read from pstree.img; both sides share the struct,
 * and each module hangs its part of a task here. `pid` and `tid` are numbers as the tree sees them
 * (its root's pid namespace), `host_pid` and `host_tid` as we see them.
 */
#ifndef CRIU_TASK_TASK_H
#define CRIU_TASK_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "compel/base/list.h"

struct clone_args;
struct cr;
struct task;

/* The numbers are the image format's (task_core_entry.task_state). */
enum task_state { TASK_ALIVE = 1, TASK_DEAD = 2, TASK_STOPPED = 3 };

struct thread {
	struct task *task;
	pid_t tid, host_tid;
	/* The image's message: on dump filled by the thread parts (state/part.h), on restore as it
	 * was read. */
	struct CoreEntry *core;
	struct thread_dump *dump; /* task/dump.h: registers at the freeze, what the parasite told */
	struct thread_restore *restore; /* engine/restore-priv.h */
};

struct task {
	struct task *parent;
	struct list children; /* of struct task, by `sibling`; in the order of pstree.img */
	struct list sibling;
	struct list
		all;  /* in tree order (parent before child, as pstree.img), head in struct tree */
	size_t index; /* position in tree order, from 0 */

	pid_t pid, host_pid;
	pid_t pgid, sid;
	enum task_state state;

	struct thread *threads; /* [0] is the leader; of a zombie too */
	size_t n_threads;
	struct TaskKobjIdsEntry *ids; /* NULL for a zombie */

	struct task_dump *dump;       /* task/dump.h: /proc handle, facts, compel session */
	struct task_restore *restore; /* engine/restore-priv.h */
	struct mm *mm;                /* mem/mem.h; NULL for a zombie */
	struct fd_table
		*fds; /* files/files.h; NULL for a zombie. Shared between tasks with one files_id */
};

struct tree {
	struct task *root;
	struct list all;  /* every task, by struct task.all, in tree order */
	size_t n_tasks;   /* zombies included */
	size_t n_threads; /* of live tasks */
	struct task **by_index;
	struct hash *by_pid; /* util/hash.h: pid as the tree sees it -> struct task */
};

struct tree *tree_new(void);
/* Frees all tasks; the parts of other modules are freed by those modules before. */
void tree_free(struct tree *tree);

/* Adds a task below parent (NULL: the root), last in tree order; with room for n_threads threads.
 */
struct task *tree_add_task(struct tree *tree, struct task *parent, pid_t pid, size_t n_threads);
/* NULL if there is none. */
struct task *tree_find(const struct tree *tree, pid_t pid);
struct task *tree_find_host(const struct tree *tree, pid_t host_pid);

/*
 * Dump: a descriptor of the folder /proc/<host_pid>, and a pidfd; open from the freeze until the
 * tree is freed, owned by the task. Defined in task/seize.c.
 */
int task_proc_fd(const struct task *task);
int task_pidfd(const struct task *task);

/*
 * Restore: clone3(2), for a process with that number (0: any); args need not say it. Waits for a
 * number that is coming free. Returns 0 in the child, else its pid or -errno, logged with what it
 * is for, or -ECANCELED where the run is to stop.
 */
pid_t task_clone(struct cr *cr, const char *what, pid_t pid, struct clone_args *args);

/*
 * Of a live task whose threads we trace: has somebody killed it since? False also for one that is
 * neither traced by us nor our child. Reaps nothing. task/death.c.
 */
bool task_was_killed(const struct task *task);

static inline bool task_is_alive(const struct task *task)
{
	return task->state != TASK_DEAD;
}

#define tree_for_each_task(pos, tree)  list_for_each_entry (pos, &(tree)->all, all)
#define task_for_each_child(pos, task) list_for_each_entry (pos, &(task)->children, sibling)
#define task_for_each_thread(pos, task) \
	for (pos = (task)->threads; pos < (task)->threads + (task)->n_threads; pos++)

#endif
