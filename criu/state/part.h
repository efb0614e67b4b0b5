/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A part of a task's or thread's state: credentials, timers, signal dispositions, … One .c file
 * each, one line in the tables of state/parts.c. What a part needs to learn inside of the task is
 * asked for in criu/pie/parasite-args.h, what must be put back inside of it is described in
 * criu/pie/args.h; everything else is done from outside.
 */
#ifndef CRIU_STATE_PART_H
#define CRIU_STATE_PART_H

#include <stdbool.h>

struct cr;
struct task;
struct thread;
struct task_args;
struct thread_args;
struct args_builder;

struct task_part {
	const char *name;
	bool of_zombies; /* zombies have it as well */
	/*
	 * Dump, tree frozen: reads what can be read from outside (/proc, syscalls on a pid). Runs
	 * in a pool worker: no ptrace, only this task. May be NULL.
	 */
	int (*collect)(struct cr *cr, struct task *task);
	/* Dump, after the parasite has told its facts: fills task->threads[0].core->tc. */
	int (*dump)(struct cr *cr, struct task *task);
	/* Restore, in the coordinator before any process exists: checks the message, describes the
	 * work to the blob. */
	int (*load)(struct cr *cr, struct task *task, struct args_builder *args);
	/* Restore, in the task's own process, before it enters the blob. May be NULL. */
	int (*restore)(struct cr *cr, struct task *task);
};

/* The same for each thread; fills thread->core (thread_info, thread_core). */
struct thread_part {
	const char *name;
	int (*collect)(struct cr *cr, struct thread *thread);
	int (*dump)(struct cr *cr, struct thread *thread);
	int (*load)(struct cr *cr, struct thread *thread, struct args_builder *args);
};

extern const struct task_part *const task_parts[];     /* ends with NULL */
extern const struct thread_part *const thread_parts[]; /* ends with NULL */

#endif
