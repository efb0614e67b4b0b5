// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process tree from pstree.img, ids-N.img and core-N.img. Everything is checked here that can
 * be seen without looking into a part of the state: that there is one root and parents come before
 * their children, that no number is used twice, that each live task has what it needs, and that
 * tables are shared only the way fork(2) with CLONE_FILES can share them. Then no process is forked
 * for images that cannot be restored.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/lib/image.h"
#include "images/pstree.pb-c.h"
#include "task/restore.h"
#include "util/alloc.h"
#include "util/hash.h"
#include "util/log.h"
#include "util/pool.h"

/* The kernel's PID_MAX_LIMIT on 64 bits. */
#define PID_LIMIT (4u << 20)
/* Fewer cores than this are read by one thread. */
#define PARALLEL_MIN 32

static bool is_number(uint32_t pid)
{
	return pid > 0 && pid < PID_LIMIT;
}

/* ---- pstree.img: what is wrong is left for image_last_error() ---- */

/* What is wrong with an entry by itself or beside those before it, or NULL. */
static const char *entry_fault(const struct cr *cr, const PstreeEntry *e, const struct task *parent)
{
	if (!is_number(e->pid))
		return "field pid: is no process id";
	if (!is_number(e->pgid))
		return "field pgid: is no process group of its pid namespace";
	if (!is_number(e->sid))
		return "field sid: is no session of its pid namespace";
	if (!e->n_threads)
		return "field threads: there are none";
	if (!e->ppid && cr->tree->root)
		return "field ppid: a second root";
	if (e->ppid && !parent)
		return "field ppid: names no task before this one";
	if (e->sid == e->pid && e->pgid != e->pid)
		return "field pgid: a session leader cannot be in the group of another";
	return NULL;
}

static int add_entry(struct cr *cr, struct image *img, struct hash *numbers, const PstreeEntry *e)
{
	struct task *parent = e->ppid ? tree_find(cr->tree, (pid_t)e->ppid) : NULL;
	const char *fault = entry_fault(cr, e, parent);
	struct task *task;

	if (fault)
		return image_refuse(img, -EBADMSG, "%s (pid %u, parent %u)", fault, e->pid,
				    e->ppid);
	/* Before the task is in the tree under its pid, which another may have. */
	for (size_t i = 0; i < e->n_threads; i++) {
		/* The first one is the leader, whatever it says: zombies have had garbage there. */
		uint32_t tid = i ? e->threads[i] : e->pid;

		if (!is_number(tid))
			return image_refuse(img, -EBADMSG, "field threads: %u is no thread id",
					    tid);
		if (hash_put(numbers, tid, cr))
			return image_refuse(img, -EBADMSG, "field threads: %u is there twice", tid);
	}

	task = tree_add_task(cr->tree, parent, (pid_t)e->pid, e->n_threads);
	task->host_pid = task->pid;
	task->pgid = (pid_t)e->pgid;
	task->sid = (pid_t)e->sid;
	for (size_t i = 0; i < e->n_threads; i++)
		task->threads[i].tid = task->threads[i].host_tid = i ? (pid_t)e->threads[i]
								     : task->pid;
	return 0;
}

static int read_pstree(struct cr *cr, struct image *img)
{
	struct hash numbers = {0};
	PstreeEntry *e;
	int err;

	while ((err = image_read(img, &e)) > 0) {
		err = add_entry(cr, img, &numbers, e);
		image_message_free(e);
		if (err < 0)
			break;
	}
	hash_release(&numbers);
	return err;
}

static int load_pstree(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	int err;

	err = image_open(cr->images, IMAGE_PSTREE, 0, &img);
	if (err >= 0)
		err = read_pstree(cr, img);
	if (err < 0)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	if (!cr->tree->root)
		return log_refuse(cr, -ENOENT, "pstree.img: no process is in it");
	return 0;
}

/* ---- core-N.img ---- */

static const char *leader_fault(const CoreEntry *core)
{
	const TaskCoreEntry *tc = core->tc;

	if (!tc)
		return "field tc: is missing";
	if (tc->task_state != TASK_ALIVE && tc->task_state != TASK_DEAD &&
	    tc->task_state != TASK_STOPPED)
		return "field tc.task_state: is no state that a task can be restored to";
	if (tc->task_state == TASK_DEAD)
		return NULL;
	if (!tc->timers)
		return "field tc.timers: is missing (images of an old release)";
	if (!tc->signals_s)
		return "field tc.signals_s: is missing (images of an old release)";
	if (tc->has_old_seccomp_mode && tc->old_seccomp_mode != SECCOMP_MODE__disabled)
		return "field tc.old_seccomp_mode: images of an old release";
	return NULL;
}

static const char *core_fault(const CoreEntry *core, bool is_leader)
{
	const char *fault;

	if (core->mtype != CORE_ENTRY__MARCH__X86_64)
		return "field mtype: is another kind of CPU";
	if (!is_leader && core->tc)
		return "field tc: is there, but this is no leader of a process";
	fault = is_leader ? leader_fault(core) : NULL;
	if (fault)
		return fault;
	if (core->tc && core->tc->task_state == TASK_DEAD)
		return NULL;
	if (!core->thread_info)
		return "field thread_info: is missing";
	if (core->thread_info->gpregs->has_mode &&
	    core->thread_info->gpregs->mode != USER_X86_REGS_MODE__NATIVE)
		return "field thread_info.gpregs.mode: tasks of 32 bits cannot be restored yet";
	if (!core->thread_core)
		return "field thread_core: is missing";
	return NULL;
}

static int load_core(struct cr *cr, struct thread *thread)
{
	const char *fault;
	int err;

	err = image_read_one(cr->images, IMAGE_CORE, (uint64_t)thread->tid, &thread->core);
	if (err < 0)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	fault = core_fault(thread->core, thread == thread->task->threads);
	if (fault)
		return log_refuse(cr, -EBADMSG, "core-%d.img: %s", thread->tid, fault);
	return 0;
}

struct core_jobs {
	struct cr *cr;
	struct thread **threads;
};

static int core_job(void *ctx, size_t index, size_t worker)
{
	const struct core_jobs *jobs = ctx;

	return load_core(jobs->cr, jobs->threads[index]);
}

/* One file a thread: most of the work for a tree of many. */
static int load_cores(struct cr *cr)
{
	size_t n = 0, n_threads = 0;
	struct core_jobs jobs = {.cr = cr};
	struct task *task;
	struct thread *thread;
	int err;

	tree_for_each_task (task, cr->tree)
		n_threads += task->n_threads;
	jobs.threads = xcalloc(n_threads, sizeof(struct thread *));
	tree_for_each_task (task, cr->tree)
		task_for_each_thread (thread, task)
			jobs.threads[n++] = thread;
	/* A few are read before another thread is there. */
	err = pool_run(n < PARALLEL_MIN ? NULL : cr->pool, n, core_job, &jobs);
	free(jobs.threads);
	return err;
}

static int load_task(struct cr *cr, struct task *task)
{
	int err;

	task->state = (enum task_state)task->threads[0].core->tc->task_state;
	if (task_is_alive(task)) {
		cr->tree->n_threads += task->n_threads;
		err = image_read_one(cr->images, IMAGE_IDS, (uint64_t)task->pid, &task->ids);
		return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
	}
	if (task->n_threads != 1)
		return log_refuse(cr, -EBADMSG, "pstree.img: zombie %d has %zu threads", task->pid,
				  task->n_threads);
	if (!list_is_empty(&task->children))
		return log_refuse(cr, -EBADMSG, "pstree.img: zombie %d has children", task->pid);
	return 0;
}

/* ---- ids-N.img ---- */

struct shared_ids {
	struct hash vm, files, fs, sighand; /* id -> struct task, the first that has it */
};

static int check_unshared(struct cr *cr, struct hash *ids, struct task *task, uint32_t id,
			  const char *field)
{
	const struct task *other = hash_put(ids, id, task);

	if (!other)
		return 0;
	return log_refuse(
		cr, -ENOTSUP,
		"ids-%d.img: field %s: %u is that of %d, too, but processes cannot share it",
		task->pid, field, id, other->pid);
}

static int check_ids(struct cr *cr, struct shared_ids *seen, struct task *task)
{
	const TaskKobjIdsEntry *ids = task->ids, *parent;
	struct task *first;
	int err;

	err = check_unshared(cr, &seen->vm, task, ids->vm_id, "vm_id");
	if (!err)
		err = check_unshared(cr, &seen->fs, task, ids->fs_id, "fs_id");
	if (!err)
		err = check_unshared(cr, &seen->sighand, task, ids->sighand_id, "sighand_id");
	if (err)
		return err;

	first = hash_get(&seen->files, ids->files_id);
	if (!first) {
		hash_put(&seen->files, ids->files_id, task);
		return 0;
	}
	parent = task->parent ? task->parent->ids : NULL;
	if (parent && parent->files_id == ids->files_id)
		return 0;
	return log_refuse(cr, -ENOTSUP,
			  "ids-%d.img: field files_id: %u is that of %d, but not of its parent",
			  task->pid, ids->files_id, first->pid);
}

static int check_sharing(struct cr *cr)
{
	struct shared_ids seen = {0};
	struct task *task;
	int err = 0;

	tree_for_each_task (task, cr->tree) {
		if (!task_is_alive(task))
			continue;
		err = check_ids(cr, &seen, task);
		if (err < 0)
			break;
	}
	hash_release(&seen.vm);
	hash_release(&seen.files);
	hash_release(&seen.fs);
	hash_release(&seen.sighand);
	return err;
}

int tree_load(struct cr *cr)
{
	struct task *task;
	int err;

	cr->tree = tree_new();
	err = load_pstree(cr);
	if (!err)
		err = load_cores(cr);
	if (err < 0)
		return err;
	tree_for_each_task (task, cr->tree) {
		err = load_task(cr, task);
		if (err < 0)
			return err;
	}
	if (!task_is_alive(cr->tree->root))
		return log_refuse(cr, -ENOTSUP, "pstree.img: root %d is a zombie",
				  cr->tree->root->pid);
	err = check_sharing(cr);
	if (err < 0)
		return err;
	log_info(cr, "tree: root %d, %zu processes, %zu threads", cr->tree->root->pid,
		 cr->tree->n_tasks, cr->tree->n_threads);
	return 0;
}

void tree_unload(struct cr *cr)
{
	struct task *task;
	struct thread *thread;

	if (!cr->tree)
		return;
	tree_for_each_task (task, cr->tree) {
		task_for_each_thread (thread, task)
			image_message_free(thread->core);
		image_message_free(task->ids);
	}
	tree_free(cr->tree);
	cr->tree = NULL;
}
