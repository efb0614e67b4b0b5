/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Builds the arguments of one task for the restorer blob (pie/args.h). Made by task_load() with one
 * struct thread_args for each thread, filled by the parts of state/ while nothing is forked yet,
 * completed in the task's own process.
 */
#ifndef CRIU_STATE_ARGS_BUILDER_H
#define CRIU_STATE_ARGS_BUILDER_H

#include <stddef.h>
#include <stdint.h>

#include "pie/args.h"

struct args_builder;

struct args_builder *args_new(size_t n_threads);
void args_free(struct args_builder *b);

/* What is being built; the pointers are good until the next args_put(). index is that of
 * task->threads. */
struct task_args *args_task(struct args_builder *b);
struct thread_args *args_thread(struct args_builder *b, size_t index);

/*
 * Appends n items of item_size bytes each and refers to them; they are copied. Keep the result in a
 *variable of your own first: it must be stored through an args_task() or args_thread() that was
 *called after this.
 *
 *	struct args_ref ref = args_put(args, groups, sizeof(*groups), n);
 *
 *	args_thread(args, 0)->creds.groups = ref;
 */
struct args_ref args_put(struct args_builder *b, const void *items, size_t item_size, size_t n);

/* The items of a reference, good until the next args_put(). */
void *args_items(struct args_builder *b, struct args_ref ref);

/* Bytes built so far. */
size_t args_size(const struct args_builder *b);

#endif
