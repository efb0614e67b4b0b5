/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The freeze: what is known of processes while they are being stopped, before it is settled who
 * belongs to the tree. Once it is, freeze.c makes cr->tree of it; the set stays, as the record of
 * what is traced.
 */
#ifndef CRIU_TASK_DUMP_PRIV_H
#define CRIU_TASK_DUMP_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/hash.h"

struct cr;

enum frozen_state {
	FROZEN_LISTED, /* not touched */
	FROZEN_SEIZED, /* asked to stop */
	FROZEN_STOPPED,
	FROZEN_GONE,
};

struct frozen_thread {
	pid_t tid;
	enum frozen_state state;
	int stop_signo; /* of the group stop it was found in, or 0 */
};

struct frozen_task {
	pid_t pid;
	int proc;  /* /proc/PID */
	int pidfd; /* -1 for a zombie */
	bool is_zombie;
	bool is_gone;
	bool is_settled; /* all threads were stopped before they and their children were listed last
			  */
	bool is_reachable;     /* from the root, by the lists of children */
	bool is_released;      /* a vfork child that its parent waits for: runs until the parent has
				  stopped */
	unsigned int n_judged; /* how often its main thread was found dead, but not the process */
	struct frozen_thread *threads; /* in the kernel's order */
	size_t n_threads;
	pid_t *children;
	size_t n_children, children_capacity;
};

struct freezer;
struct watch;

/* Off cr->dump->freeze; freeze.c. */
struct freeze {
	struct frozen_task **tasks; /* in the order of discovery, the root first */
	size_t n_tasks, tasks_capacity;
	struct hash by_pid;
	uint64_t deadline; /* microseconds, 0: none */
	bool somebody_died;
	struct freezer *cgroup; /* freezer.c */
	struct watch
		*watch; /* watch.c; while processes with more than one thread are being seized */
};

void freeze_free(struct freeze *freeze);
/* dump.c: the tree and what was frozen, which must have been let go. */
void dump_forget_tree(struct cr *cr);

/* kobj-ids.c */
struct kobj_ids;
/* The numbers of the tool's own objects. Before the freeze. 0 or -errno, logged. */
int kobj_ids_start(struct cr *cr);
void kobj_ids_free(struct kobj_ids *ids);

/* seize.c: one process */

struct frozen_task *frozen_task_new(pid_t pid);
void frozen_task_free(struct frozen_task *task);
/* Its pid belongs to another process now: begin anew. */
void frozen_task_reset(struct frozen_task *task);
/*
 * Lists threads and children. With is_seizing, threads that are not traced yet are seized and told
 * to stop. Returns how many threads are new, 0 also where the process is gone, or -errno, logged.
 */
int frozen_task_scan(struct cr *cr, struct frozen_task *task, bool is_seizing);
/* Seizes and interrupts what is only listed. 0 or -errno, logged. */
int frozen_task_seize(struct cr *cr, struct frozen_task *task);
/* Looks, without waiting, which threads have stopped. Returns how many have not. */
size_t frozen_task_poll(struct frozen_task *task);
/*
 * Finds out which of the threads that had stopped were killed since, or replaced. A thread that
 * executes a program kills all others, and waits for ever for those that their tracer has not seen
 * dead.
 */
void frozen_task_recheck(struct frozen_task *task);
/* Lets all threads go; signo as for compel_detach(). */
void frozen_task_detach(struct frozen_task *task, int signo);

/* watch.c: keeps the calling thread from being stuck in PTRACE_SEIZE */

/* 0 or -errno. */
int watch_start(struct watch **ret_watch);
/* A call that may be stuck begins, for a thread of process pid; 0: it is over. */
void watch_call(struct watch *watch, pid_t pid);
void watch_stop(struct watch *watch);

/* root.c: may the tree with this root be dumped? Touches nothing. 0 or -errno, logged. */
int root_check(struct cr *cr, pid_t pid);

/* freezer.c: the control group of --freeze-cgroup */

/* Freezes it, waits until it is; the journal learns how it was. NULL with *ret_err 0: not asked
 * for. */
int freezer_freeze(struct cr *cr, uint64_t deadline, struct freezer **ret_freezer);
/* Lets its tasks move, so that they reach the stops they were told to make. */
int freezer_thaw(struct cr *cr, struct freezer *freezer);
/* Puts it back into the state it was found in and frees it. NULL is fine. */
void freezer_release(struct cr *cr, struct freezer *freezer);

#endif
