// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts of a dump that are done for every task and thread alike: collecting facts and writing
 * core images, both spread over the worker pool, as no task depends on another one. Only what
 * ptrace(2) tells is read by the tracing thread, at the same time as the workers read /proc.
 */
#include "engine/dump-tasks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "files/files.h"
#include "images/core.pb-c.h"
#include "images/lib/image.h"
#include "images/pstree.pb-c.h"
#include "images/timens.pb-c.h"
#include "mem/mem.h"
#include "run.h"
#include "state/message.h"
#include "state/parts.h"
#include "state/seccomp.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"
#include "util/pool.h"

/* ---- the list of all threads, for jobs ---- */

/* Live tasks' threads, and the one that stands for a zombie. */
static struct thread **list_threads(const struct tree *tree, size_t *ret_n)
{
	struct thread **list = xcalloc(tree->n_threads + tree->n_tasks, sizeof(*list)), *thread;
	struct task *task;
	size_t n = 0;

	tree_for_each_task (task, tree)
		task_for_each_thread (thread, task)
			list[n++] = thread;
	*ret_n = n;
	return list;
}

static bool is_leader(const struct thread *thread)
{
	return thread == &thread->task->threads[0];
}

/* ---- collect ---- */

struct collect {
	struct cr *cr;
	struct thread **threads;
	size_t n_threads;
	size_t next; /* what nobody has begun with; atomic */
	bool is_over;
};

static int collect_task(struct cr *cr, struct task *task)
{
	int err = task_collect(cr, task);

	for (size_t i = 0; task_parts[i] && err == 0; i++)
		if (task_parts[i]->collect && (task_is_alive(task) || task_parts[i]->of_zombies))
			err = task_parts[i]->collect(cr, task);
	if (err == 0 && task_is_alive(task))
		err = mem_collect(cr, task);
	if (err == 0 && task_is_alive(task))
		err = files_collect_task(cr, task);
	return err;
}

static int collect_thread(struct cr *cr, struct thread *thread)
{
	int err;

	if (!task_is_alive(thread->task))
		return 0;
	err = thread_collect(cr, thread);
	for (size_t i = 0; thread_parts[i] && err == 0; i++)
		if (thread_parts[i]->collect)
			err = thread_parts[i]->collect(cr, thread);
	thread_collect_end(thread);
	return err;
}

/* Tasks come first, as they take longer. */
static int collect_one(struct collect *collect, size_t index)
{
	struct cr *cr = collect->cr;

	if (plan_is_cancelled(cr))
		return -ECANCELED;
	if (index < cr->tree->n_tasks)
		return collect_task(cr, cr->tree->by_index[index]);
	return collect_thread(cr, collect->threads[index - cr->tree->n_tasks]);
}

/* Until nothing is left or somebody failed. */
static int collect_all(void *ctx)
{
	struct collect *collect = ctx;
	size_t n = collect->cr->tree->n_tasks + collect->n_threads, index;
	int err = 0;

	while (err == 0 && !__atomic_load_n(&collect->is_over, __ATOMIC_RELAXED)) {
		index = __atomic_fetch_add(&collect->next, 1, __ATOMIC_RELAXED);
		if (index >= n)
			break;
		err = collect_one(collect, index);
	}
	if (err < 0)
		__atomic_store_n(&collect->is_over, true, __ATOMIC_RELAXED);
	return err;
}

static int peek_all(struct cr *cr, int (*peek)(struct cr *, struct task *))
{
	struct task *task;
	int err = 0;

	tree_for_each_task (task, cr->tree)
		if (task_is_alive(task) && err == 0)
			err = peek(cr, task);
	return err;
}

int dump_collect(struct cr *cr)
{
	struct collect collect = {.cr = cr};
	struct pool_group *group = pool_group_new(cr->pool);
	int err = 0, collected;

	collect.threads = list_threads(cr->tree, &collect.n_threads);
	/* One for each worker, this thread included: it works along once it has peeked. */
	for (size_t i = 0; i < pool_size(cr->pool) && err == 0; i++)
		err = pool_submit(group, collect_all, &collect);
	if (err == 0)
		err = peek_all(cr, task_peek);
	collected = pool_wait(group);
	if (err == 0)
		err = collected;
	pool_group_free(group);
	if (err == 0)
		err = peek_all(cr, task_peek_rest);
	free(collect.threads);
	return err;
}

/* ---- core images ---- */

static CoreEntry *core_new(const struct thread *thread)
{
	CoreEntry *core = message_new(&core_entry__descriptor);

	core->mtype = core_march;
	if (is_leader(thread))
		core->tc = message_new(&task_core_entry__descriptor);
	if (task_is_alive(thread->task))
		core->thread_core = message_new(&thread_core_entry__descriptor);
	return core;
}

static int fill_core(struct cr *cr, struct thread *thread)
{
	struct task *task = thread->task;
	int err = 0;

	for (size_t i = 0; task_is_alive(task) && thread_parts[i] && err == 0; i++)
		err = thread_parts[i]->dump(cr, thread);
	for (size_t i = 0; is_leader(thread) && task_parts[i] && err == 0; i++)
		if (task_is_alive(task) || task_parts[i]->of_zombies)
			err = task_parts[i]->dump(cr, task);
	return err;
}

static int image_failed(struct cr *cr, int err)
{
	return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

static int write_core(void *ctx, size_t index, size_t worker)
{
	struct collect *collect = ctx;
	struct cr *cr = collect->cr;
	struct thread *thread = collect->threads[index];
	int err;

	if (plan_is_cancelled(cr))
		return -ECANCELED;
	thread->core = core_new(thread);
	err = fill_core(cr, thread);
	if (err == 0)
		err = image_failed(cr, image_write_one(cr->images, IMAGE_CORE,
						       (uint64_t)thread->tid, &thread->core->base));
	image_message_free(thread->core);
	thread->core = NULL;
	return err;
}

int dump_write_cores(struct cr *cr)
{
	struct collect collect = {.cr = cr};
	int err = seccomp_dump_image(cr);

	if (err < 0)
		return err;
	collect.threads = list_threads(cr->tree, &collect.n_threads);
	err = pool_run(cr->pool, collect.n_threads, write_core, &collect);
	free(collect.threads);
	return err;
}

static int write_mm(void *ctx, size_t index, size_t worker)
{
	struct cr *cr = ctx;
	struct task *task = cr->tree->by_index[index];

	if (plan_is_cancelled(cr))
		return -ECANCELED;
	return task_is_alive(task) ? mem_dump_mm(cr, task) : 0;
}

int dump_write_mms(struct cr *cr)
{
	return pool_run(cr->pool, cr->tree->n_tasks, write_mm, cr);
}

/* ---- the tree ---- */

static int write_pstree_entry(struct image *img, const struct task *task)
{
	PstreeEntry entry = PSTREE_ENTRY__INIT;
	int err;

	entry.pid = (uint32_t)task->pid;
	entry.ppid = task->parent ? (uint32_t)task->parent->pid : 0;
	entry.pgid = (uint32_t)task->pgid;
	entry.sid = (uint32_t)task->sid;
	entry.n_threads = task->n_threads;
	entry.threads = xcalloc(task->n_threads, sizeof(*entry.threads));
	for (size_t i = 0; i < task->n_threads; i++)
		entry.threads[i] = (uint32_t)task->threads[i].tid;
	err = image_write(img, &entry.base);
	free(entry.threads);
	return err;
}

static int write_pstree(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	struct task *task;
	int err = image_create(cr->images, IMAGE_PSTREE, 0, &img);

	if (err < 0)
		return err;
	tree_for_each_task (task, cr->tree) {
		err = write_pstree_entry(img, task);
		if (err < 0)
			return err;
	}
	return image_close(TAKE_PTR(img));
}

static int write_ids(struct cr *cr)
{
	struct task *task;
	int err = 0;

	tree_for_each_task (task, cr->tree) {
		if (task_is_alive(task))
			err = image_write_one(cr->images, IMAGE_IDS, (uint64_t)task->pid,
					      &task->ids->base);
		if (err < 0)
			return err;
	}
	return 0;
}

/* What the clock shows in the tree's time namespace, when in ours, with these offsets, it shows
 * ours. */
static Timespec clock_in_tree(struct timespec ours, int64_t their_sec, uint32_t their_nsec,
			      int64_t own_sec, uint32_t own_nsec)
{
	Timespec ret = TIMESPEC__INIT;
	int64_t sec = ours.tv_sec + their_sec - own_sec;
	int64_t nsec = ours.tv_nsec + (int64_t)their_nsec - (int64_t)own_nsec;

	sec += nsec >= 1000000000 ? 1 : nsec < 0 ? -1 : 0;
	ret.tv_sec = (uint64_t)sec;
	ret.tv_nsec = (uint64_t)((nsec + 1000000000) % 1000000000);
	return ret;
}

static bool has_own_clocks(const struct cr *cr)
{
	return cr->tree->root->ids->time_ns_id != cr->dump->root_ids.time_ns_id;
}

int dump_collect_clocks(struct cr *cr)
{
	const struct task *root = cr->tree->root;
	_cleanup_close_ int self = -1;
	int err;

	if (!has_own_clocks(cr))
		return 0;
	err = proc_read_timens_offsets(task_proc_fd(root), &cr->dump->offsets);
	if (err == 0)
		err = self = proc_open(getpid());
	if (err >= 0)
		err = proc_read_timens_offsets(self, &cr->dump->own_offsets);
	if (err < 0)
		return log_err(cr, err, "pid %d: read the offsets of its clocks", root->pid);
	return 0;
}

/* Number 0 where the tree has no time namespace of its own. */
static int write_clocks(struct cr *cr)
{
	const struct proc_timens_offsets *theirs = &cr->dump->offsets;
	const struct proc_timens_offsets *own = &cr->dump->own_offsets;
	TimensEntry entry = TIMENS_ENTRY__INIT;
	Timespec monotonic, boottime;
	int err;

	monotonic = clock_in_tree(cr->dump->monotonic, theirs->monotonic_sec,
				  theirs->monotonic_nsec, own->monotonic_sec, own->monotonic_nsec);
	boottime = clock_in_tree(cr->dump->boottime, theirs->boottime_sec, theirs->boottime_nsec,
				 own->boottime_sec, own->boottime_nsec);
	entry.monotonic = &monotonic;
	entry.boottime = &boottime;
	err = image_write_one(cr->images, IMAGE_TIMENS,
			      has_own_clocks(cr) ? cr->tree->root->ids->time_ns_id : 0,
			      &entry.base);
	return image_failed(cr, err);
}

int dump_write_tree(struct cr *cr)
{
	int err = write_pstree(cr);

	if (err == 0)
		err = write_ids(cr);
	return err < 0 ? image_failed(cr, err) : write_clocks(cr);
}

/* ---- --dry-run ---- */

static const char *state_name(const struct task *task)
{
	switch (task->state) {
	case TASK_DEAD:
		return "zombie";
	case TASK_STOPPED:
		return "stopped";
	default:
		return "running";
	}
}

static int depth_of(const struct task *task)
{
	int depth = 0;

	while ((task = task->parent))
		depth++;
	return depth;
}

int dump_print(struct cr *cr)
{
	struct task *task;

	printf("would dump %zu processes with %zu threads, parents first:\n", cr->tree->n_tasks,
	       cr->tree->n_threads);
	tree_for_each_task (task, cr->tree) {
		printf("%*s%d %s, %s", 2 * depth_of(task) + 2, "", task->pid, task->dump->stat.comm,
		       state_name(task));
		if (task_is_alive(task))
			printf(", %zu threads, %u mappings, %zu descriptors, %llu KiB resident",
			       task->n_threads, task->mm->n_vmas, task->fds ? task->fds->n_fds : 0,
			       (unsigned long long)task->threads[0].dump->status.vm_rss);
		printf("\n");
	}
	fflush(stdout);
	return 0;
}
