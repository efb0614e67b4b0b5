// SPDX-License-Identifier: GPL-2.0-only
/*
 * seccomp(2): strict mode, or a chain of filters of which each new one comes on top of the older
 * ones; every thread has its own. The filters of all threads stand in one image, each chain from
 * the newest to the oldest, where `prev` leads from a filter to the next newer one: a reader begins
 * with the oldest, which the thread's message names, and installs one after the other. Where all
 * threads of a process have the same chain only the leader's is written, to be installed for all
 * threads at once. Filters are the last thing to be restored, as they may forbid all the rest.
 */
#include "state/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/lib/image.h"
#include "images/seccomp.pb-c.h"
#include "state/args-builder.h"
#include "state/message.h"
#include "state/parts.h"
#include "task/dump.h"
#include "task/restore.h"
#include "task/task.h"
#include "util/log.h"

/* The kernel allows 32768 instructions for all filters of a thread together. */
#define SECCOMP_CHAIN_MAX 1024

static bool same_chain(const struct thread_dump *a, const struct thread_dump *b)
{
	if (a->status.seccomp != b->status.seccomp || a->n_filters != b->n_filters)
		return false;
	for (size_t i = 0; i < a->n_filters; i++) {
		const struct seccomp_program *x = &a->filters[i], *y = &b->filters[i];

		if (x->flags != y->flags || x->n != y->n ||
		    memcmp(x->code, y->code, x->n * sizeof(*x->code)) != 0)
			return false;
	}
	return true;
}

static void add_chain(SeccompEntry *entry, struct thread_dump *thread, uint32_t flags)
{
	size_t first = entry->n_seccomp_filters, n = first + thread->n_filters;

	entry->seccomp_filters =
		xreallocarray(entry->seccomp_filters, n, sizeof(*entry->seccomp_filters));
	for (size_t i = 0; i < thread->n_filters; i++) {
		const struct seccomp_program *program = &thread->filters[i];
		SeccompFilter *filter = message_new(&seccomp_filter__descriptor);

		filter->filter.len = program->n * sizeof(*program->code);
		filter->filter.data = xmemdup(program->code, filter->filter.len);
		filter->has_flags = true;
		filter->flags = program->flags | flags;
		filter->has_prev = i > 0;
		filter->prev = i > 0 ? (uint32_t)(first + i - 1) : 0;
		entry->seccomp_filters[first + i] = filter;
	}
	entry->n_seccomp_filters = n;
	thread->has_seccomp_id = true;
	thread->seccomp_id = (uint32_t)(n - 1);
}

void seccomp_add_task(SeccompEntry *entry, struct task *task)
{
	struct thread *leader = &task->threads[0], *thread;
	bool is_same = true;

	task_for_each_thread (thread, task)
		is_same &= same_chain(leader->dump, thread->dump);
	if (is_same) {
		if (leader->dump->n_filters)
			add_chain(entry, leader->dump, SECCOMP_FILTER_FLAG_TSYNC);
		return;
	}
	task_for_each_thread (thread, task)
		if (thread->dump->n_filters)
			add_chain(entry, thread->dump, 0);
}

int seccomp_dump_image(struct cr *cr)
{
	SeccompEntry *entry = message_new(&seccomp_entry__descriptor);
	struct task *task;
	int err;

	tree_for_each_task (task, cr->tree)
		if (task_is_alive(task))
			seccomp_add_task(entry, task);
	err = image_write_one(cr->images, IMAGE_SECCOMP, 0, &entry->base);
	if (err < 0)
		log_refuse(cr, err, "%s", image_last_error(cr->images));
	image_message_free(entry);
	return err;
}

static int seccomp_dump(struct cr *cr, struct thread *thread)
{
	ThreadCoreEntry *core = thread->core->thread_core;

	if (thread->dump->status.seccomp == SECCOMP_MODE_DISABLED)
		return 0;
	core->has_seccomp_mode = true;
	core->seccomp_mode = (SeccompMode)thread->dump->status.seccomp;
	core->has_seccomp_filter = thread->dump->has_seccomp_id;
	core->seccomp_filter = thread->dump->seccomp_id;
	return 0;
}

int seccomp_load_image(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	int err = image_open(cr->images, IMAGE_SECCOMP, 0, &img);

	if (err >= 0)
		err = image_read(img, &cr->restore->seccomp);
	return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

static const SeccompFilter *filter_find(struct cr *cr, uint32_t index)
{
	const SeccompEntry *entry = cr->restore->seccomp;

	if (!entry || index >= entry->n_seccomp_filters)
		return NULL;
	return entry->seccomp_filters[index];
}

/* The chain that begins with the oldest filter, `first`; each leads to the next newer one. */
static int chain_load(struct cr *cr, const struct thread *thread, uint32_t first,
		      struct args_builder *args, struct args_ref *ret)
{
	struct seccomp_filter_args chain[SECCOMP_CHAIN_MAX];
	const SeccompFilter *filter = filter_find(cr, first);
	size_t n = 0;

	for (; filter; filter = filter_find(cr, filter->prev)) {
		size_t size = filter->filter.len;

		if (!size || size % sizeof(struct sock_filter) ||
		    size / sizeof(struct sock_filter) > BPF_MAXINSNS)
			return log_refuse(cr, -EBADMSG,
					  "seccomp.img: a filter of thread %d has %zu bytes",
					  thread->tid, size);
		if (n == SECCOMP_CHAIN_MAX)
			return log_refuse(cr, -EBADMSG,
					  "seccomp.img: the filters of thread %d lead in a circle",
					  thread->tid);
		chain[n].code = args_put(args, filter->filter.data, sizeof(struct sock_filter),
					 size / sizeof(struct sock_filter));
		chain[n].flags = filter->flags;
		chain[n++].reserved = 0;
		if (!filter->has_prev) {
			*ret = args_put(args, chain, sizeof(*chain), n);
			return 0;
		}
	}
	return log_refuse(cr, -EBADMSG, "seccomp.img: no filter for index that thread %d refers to",
			  thread->tid);
}

static int seccomp_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const ThreadCoreEntry *core = thread->core->thread_core;
	size_t index = (size_t)(thread - thread->task->threads);
	struct args_ref filters = {0};
	int err;

	if (!core->has_seccomp_mode || core->seccomp_mode == SECCOMP_MODE_DISABLED)
		return 0;
	if (core->seccomp_mode != SECCOMP_MODE_STRICT && core->seccomp_mode != SECCOMP_MODE_FILTER)
		return log_refuse(cr, -EBADMSG, "core-%d.img: field seccomp_mode: %d is none",
				  thread->tid, (int)core->seccomp_mode);
	/* Without a chain of its own the leader's holds for it. */
	if (core->seccomp_mode == SECCOMP_MODE_FILTER && core->has_seccomp_filter) {
		err = chain_load(cr, thread, core->seccomp_filter, args, &filters);
		if (err)
			return err;
	}
	args_thread(args, index)->seccomp_mode = (uint32_t)core->seccomp_mode;
	args_thread(args, index)->filters = filters;
	cr->restore->has_seccomp = true;
	return 0;
}

const struct thread_part thread_part_seccomp = {
	.name = "seccomp",
	.dump = seccomp_dump,
	.load = seccomp_load,
};
