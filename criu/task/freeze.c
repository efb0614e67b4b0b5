// SPDX-License-Identifier: GPL-2.0-only
/*
 * Freezing a whole tree. Processes and threads are listed while they still run, which costs them
 * nothing; then all are seized and told to stop, waited for, and listed again until every list was
 * read from a process that had stopped and held nothing new: no thread or child can have escaped
 * then. Where a process died meanwhile its children may have gone to another one, so that all is
 * read once more.
 *
 * What delays: a thread in an uninterruptible call (an error after --timeout, saying where it
 * hangs), and a vfork(2) parent, which the kernel lets stop only when its child has executed a
 * program or ended: such a child is let run until then.
 */
#include "task/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "kernel/kcmp.h"
#include "options.h"
#include "run.h"
#include "task/dump-priv.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/stats.h"
#include "util/time.h"

/* How long nothing may happen before we ask why, in microseconds. */
#define STALL_US 20000

static struct frozen_task *freeze_find(const struct freeze *freeze, pid_t pid)
{
	return hash_get(&freeze->by_pid, (uint64_t)pid);
}

static struct frozen_task *freeze_add(struct freeze *freeze, pid_t pid)
{
	struct frozen_task *task = frozen_task_new(pid);

	freeze->tasks = array_grow(freeze->tasks, &freeze->tasks_capacity, freeze->n_tasks + 1,
				   sizeof(*freeze->tasks));
	freeze->tasks[freeze->n_tasks++] = task;
	hash_put(&freeze->by_pid, (uint64_t)pid, task);
	return task;
}

static int add_children(struct freeze *freeze, const struct frozen_task *task)
{
	int n_new = 0;

	for (size_t i = 0; i < task->n_children; i++) {
		struct frozen_task *child = freeze_find(freeze, task->children[i]);

		if (!child)
			freeze_add(freeze, task->children[i]);
		/* A parent that stands still lists nobody who is gone: the pid was given to another
		 * one. */
		else if (child->is_gone && task->is_settled)
			frozen_task_reset(child);
		else
			continue;
		n_new++;
	}
	return n_new;
}

/* Scans what is not settled; children found on the way are scanned in the same go. How much was
 * new, or -errno. */
static int scan_tasks(struct cr *cr, struct freeze *freeze, bool is_seizing)
{
	int n_new = 0;

	for (size_t i = 0; i < freeze->n_tasks; i++) {
		struct frozen_task *task = freeze->tasks[i];
		int err;

		if (task->is_settled)
			continue;
		if (plan_is_cancelled(cr))
			return -ECANCELED;
		err = frozen_task_scan(cr, task, is_seizing);
		if (err < 0)
			return err;
		n_new += err;
		if (task->is_gone || task->is_zombie) {
			task->is_settled = true;
			freeze->somebody_died = true;
		}
		n_new += add_children(freeze, task);
	}
	return n_new;
}

static size_t poll_tasks(struct freeze *freeze)
{
	size_t n_running = 0;

	for (size_t i = 0; i < freeze->n_tasks; i++)
		n_running += frozen_task_poll(freeze->tasks[i]);
	return n_running;
}

/* The first thread that does not stop, for the message. */
static int freeze_timed_out(struct cr *cr, const struct freeze *freeze)
{
	for (size_t i = 0; i < freeze->n_tasks; i++) {
		const struct frozen_task *task = freeze->tasks[i];

		for (size_t t = 0; t < task->n_threads; t++) {
			_cleanup_close_ int dir = -1;
			pid_t tid = task->threads[t].tid;
			struct proc_stat stat = {.state = '?'};
			char wchan[64] = "";
			int err;

			if (task->threads[t].state != FROZEN_SEIZED)
				continue;
			dir = proc_open_task(task->proc, tid);
			if (dir >= 0) {
				(void)proc_read_stat(dir, &stat);
				(void)fd_read_file_into(dir, "wchan", wchan, sizeof(wchan));
			}
			err = log_refuse(
				cr, -ETIMEDOUT,
				"pid %d: thread %d did not stop within %u s: state %c in %s",
				task->pid, tid, cr->opts->timeout, stat.state,
				wchan[0] ? wchan : "an unknown function");
			log_remedy(cr,
				   "wait until it has left the kernel, or give a longer --timeout");
			return err;
		}
	}
	return log_refuse(cr, -ETIMEDOUT, "pid %d: new processes keep appearing after %u s",
			  freeze->tasks[0]->pid, cr->opts->timeout);
}

/* Is thread tid asleep where a vfork(2) parent waits? */
static bool waits_for_vfork(const struct frozen_task *task, pid_t tid)
{
	_cleanup_close_ int dir = proc_open_task(task->proc, tid);
	struct proc_stat stat;

	return dir >= 0 && proc_read_stat(dir, &stat) == 0 && stat.state == 'D';
}

/* Is no thread on its way to a stop? */
static bool is_stopped(const struct frozen_task *task)
{
	for (size_t i = 0; i < task->n_threads; i++)
		if (task->threads[i].state == FROZEN_SEIZED)
			return false;
	return true;
}

/* Lets children of task run that share its memory: one of them is what it waits for. */
static void release_children(struct cr *cr, struct freeze *freeze, struct frozen_task *task)
{
	for (size_t i = 0; i < freeze->n_tasks; i++) {
		struct frozen_task *child = freeze->tasks[i];
		bool is_child = false;

		for (size_t c = 0; c < task->n_children; c++)
			is_child |= task->children[c] == child->pid;
		if (!is_child || child->is_released || child->is_gone || child->is_zombie)
			continue;
		if (kcmp_compare(task->pid, child->pid, KCMP_KIND_VM, 0, 0) != 0)
			continue;
		log_debug(cr, "pid %d: runs until its vfork parent %d can stop", child->pid,
			  task->pid);
		frozen_task_detach(child, 0);
		/* One that has not come to its stop yet is let go the next time. */
		child->is_released = is_stopped(child);
		child->is_settled = false;
	}
}

/* Somebody does not stop: is it waiting for what we have stopped? */
static void handle_stall(struct cr *cr, struct freeze *freeze)
{
	for (size_t i = 0; i < freeze->n_tasks; i++) {
		struct frozen_task *task = freeze->tasks[i];

		if (!is_stopped(task))
			frozen_task_recheck(task);

		for (size_t t = 0; t < task->n_threads; t++) {
			if (task->threads[t].state != FROZEN_SEIZED ||
			    !waits_for_vfork(task, task->threads[t].tid))
				continue;
			/* The child was born after the list was read, if it is not in it. */
			if (frozen_task_scan(cr, task, true) >= 0)
				release_children(cr, freeze, task);
			break;
		}
	}
}

/* Children that were let run are seized again once their parent has stopped, or where it is gone.
 */
static void recall_children(struct freeze *freeze)
{
	for (size_t i = 0; i < freeze->n_tasks; i++) {
		struct frozen_task *task = freeze->tasks[i];

		if (!is_stopped(task))
			continue;
		for (size_t c = 0; c < task->n_children; c++) {
			struct frozen_task *child = freeze_find(freeze, task->children[c]);

			if (child)
				child->is_released = false;
		}
	}
}

static int wait_stopped(struct cr *cr, struct freeze *freeze)
{
	uint64_t stalled = time_now_us() + STALL_US;
	struct timespec pause = {.tv_nsec = 50000};
	size_t n, n_before = SIZE_MAX;
	unsigned int n_yields = 0;
	bool is_late = false;

	for (;;) {
		n = poll_tasks(freeze);
		if (n == 0)
			return 0;
		if (plan_is_cancelled(cr))
			return -ECANCELED;
		/* On a machine that is short of CPUs we may have slept while they stopped: those
		 * that still come to it are worth another look. */
		if (is_late && n >= n_before)
			return freeze_timed_out(cr, freeze);
		is_late = freeze->deadline && time_now_us() > freeze->deadline;
		if (n < n_before)
			stalled = time_now_us() + STALL_US;
		n_before = n;
		if (time_now_us() > stalled) {
			handle_stall(cr, freeze);
			stalled = time_now_us() + STALL_US;
		}
		/* Most stop within microseconds, as soon as they get a CPU. */
		if (n_yields++ < 100) {
			sched_yield();
			continue;
		}
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 2000000)
			pause.tv_nsec *= 2;
	}
}

static int stop_all(struct cr *cr, struct freeze *freeze)
{
	bool is_thawed = false;
	int n_new, err;

	for (size_t i = 0; i < freeze->n_tasks; i++) {
		struct frozen_task *task = freeze->tasks[i];

		err = task->is_gone || task->is_zombie ? 0 : frozen_task_seize(cr, task);
		if (err < 0)
			return err;
	}
	for (;;) {
		/* Under the freezer one list is complete; what it lists must be let move to reach
		 * its stop. */
		if (freeze->cgroup && !is_thawed) {
			n_new = scan_tasks(cr, freeze, true);
			err = n_new < 0 ? n_new : freezer_thaw(cr, freeze->cgroup);
			if (err < 0)
				return err;
			is_thawed = true;
		}
		err = wait_stopped(cr, freeze);
		if (err < 0)
			return err;
		recall_children(freeze);
		freeze->somebody_died = false;
		n_new = scan_tasks(cr, freeze, true);
		if (n_new < 0)
			return n_new;
		if (freeze->somebody_died) {
			for (size_t i = 0; i < freeze->n_tasks; i++)
				freeze->tasks[i]->is_settled = freeze->tasks[i]->is_gone ||
							       freeze->tasks[i]->is_zombie;
			continue;
		}
		n_new = 0;
		for (size_t i = 0; i < freeze->n_tasks; i++)
			n_new += !freeze->tasks[i]->is_settled;
		if (n_new == 0)
			return 0;
		if (freeze->deadline && time_now_us() > freeze->deadline)
			return freeze_timed_out(cr, freeze);
	}
}

/* ---- the tree of what was frozen ---- */

static struct task *build_task(struct cr *cr, struct frozen_task *frozen, struct task *parent)
{
	bool is_alive = !frozen->is_zombie;
	struct task *task =
		tree_add_task(cr->tree, parent, frozen->pid, is_alive ? frozen->n_threads : 1);

	task->host_pid = frozen->pid;
	task->dump = xcalloc(1, sizeof(*task->dump));
	task->dump->proc = TAKE_FD(frozen->proc);
	task->dump->pidfd = TAKE_FD(frozen->pidfd);
	task->state = is_alive ? TASK_ALIVE : TASK_DEAD;
	for (size_t i = 0; i < task->n_threads; i++) {
		struct thread *thread = &task->threads[i];

		thread->tid = thread->host_tid = is_alive ? frozen->threads[i].tid : frozen->pid;
		thread->dump = xcalloc(1, sizeof(*thread->dump));
		thread->dump->proc = -1;
		thread->dump->stop_signo = is_alive ? frozen->threads[i].stop_signo : 0;
	}
	if (is_alive) {
		cr->tree->n_threads += task->n_threads;
		if (task->threads[0].dump->stop_signo)
			task->state = TASK_STOPPED;
	}
	frozen->is_reachable = true;
	return task;
}

/* Depth first: a task, then each of its children with all that is below it. The depth is that of
 * the tree. */
static void build_tree(struct cr *cr, struct frozen_task *frozen, struct task *parent)
{
	struct task *task = build_task(cr, frozen, parent);

	for (size_t i = 0; i < frozen->n_children && task_is_alive(task); i++) {
		struct frozen_task *child = freeze_find(cr->dump->freeze, frozen->children[i]);

		if (child && !child->is_gone && !child->is_reachable)
			build_tree(cr, child, task);
	}
}

/* Lets go of those that went to a parent outside of the tree while it was being frozen. */
static void release_strangers(struct cr *cr, struct freeze *freeze)
{
	for (size_t i = 0; i < freeze->n_tasks; i++) {
		struct frozen_task *task = freeze->tasks[i];

		if (task->is_reachable || task->is_gone || task->is_zombie)
			continue;
		log_info(cr, "pid %d: has left the tree", task->pid);
		frozen_task_detach(task, 0);
	}
}

/* ---- what the plan calls ---- */

int tree_list(struct cr *cr)
{
	struct freeze *freeze;
	int n_new, err;

	err = root_check(cr, cr->opts->tree);
	if (err < 0)
		return err;
	freeze = cr->dump->freeze = xcalloc(1, sizeof(*freeze));
	freeze_add(freeze, cr->opts->tree);
	n_new = scan_tasks(cr, freeze, false);
	return n_new < 0 ? n_new : 0;
}

size_t tree_listed(const struct cr *cr, struct listed_task **ret)
{
	const struct freeze *freeze = cr->dump->freeze;
	struct listed_task *list = xcalloc(freeze->n_tasks, sizeof(*list));
	struct hash index = {0};
	size_t n = 0;

	for (size_t i = 0; i < freeze->n_tasks; i++) {
		if (freeze->tasks[i]->is_gone || freeze->tasks[i]->is_zombie)
			continue;
		list[n].pid = freeze->tasks[i]->pid;
		hash_put(&index, (uint64_t)list[n].pid, &list[n]);
		n++;
	}
	for (size_t i = 0; i < freeze->n_tasks; i++) {
		const struct frozen_task *task = freeze->tasks[i];

		for (size_t c = 0; c < task->n_children; c++) {
			struct listed_task *child = hash_get(&index, (uint64_t)task->children[c]);

			if (child)
				child->parent = task->pid;
		}
	}
	hash_release(&index);
	*ret = list;
	return n;
}

int tree_refreeze(struct cr *cr)
{
	tree_thaw(cr, 0);
	dump_forget_tree(cr);
	return tree_list(cr);
}

int tree_freeze(struct cr *cr)
{
	struct freeze *freeze = cr->dump->freeze;
	struct frozen_task *root = freeze->tasks[0];
	int err;

	stats_begin(cr->stats, STATS_FREEZING_TIME);
	if (cr->opts->timeout)
		freeze->deadline = time_now_us() + cr->opts->timeout * UINT64_C(1000000);
	err = freezer_freeze(cr, freeze->deadline, &freeze->cgroup);
	if (err == 0)
		err = stop_all(cr, freeze);
	watch_stop(TAKE_PTR(freeze->watch));
	stats_end(cr->stats, STATS_FREEZING_TIME);
	if (err < 0)
		return err;
	stats_begin(cr->stats, STATS_FROZEN_TIME);
	if (root->is_gone || root->is_zombie)
		return log_refuse(cr, -ESRCH, "pid %d: ended while it was being stopped",
				  root->pid);

	clock_gettime(CLOCK_MONOTONIC, &cr->dump->monotonic);
	clock_gettime(CLOCK_BOOTTIME, &cr->dump->boottime);
	cr->tree = tree_new();
	build_tree(cr, root, NULL);
	release_strangers(cr, freeze);
	log_info(cr, "pid %d: stopped a tree of %zu processes with %zu threads", root->pid,
		 cr->tree->n_tasks, cr->tree->n_threads);
	return 0;
}

void tree_thaw(struct cr *cr, int signo)
{
	struct freeze *freeze = cr->dump ? cr->dump->freeze : NULL;

	if (!freeze)
		return;
	/* A group that was frozen is so again before any of its tasks can move. */
	freezer_release(cr, TAKE_PTR(freeze->cgroup));
	/* Children first: a parent that goes on finds them as they were. */
	for (size_t i = freeze->n_tasks; i-- > 0;)
		frozen_task_detach(freeze->tasks[i], signo);
	stats_end(cr->stats, STATS_FROZEN_TIME);
}

void tree_forget(struct cr *cr)
{
	struct freeze *freeze = cr->dump->freeze;

	freezer_release(cr, TAKE_PTR(freeze->cgroup));
	for (size_t i = 0; i < freeze->n_tasks; i++)
		for (size_t t = 0; t < freeze->tasks[i]->n_threads; t++)
			freeze->tasks[i]->threads[t].state = FROZEN_GONE;
	stats_end(cr->stats, STATS_FROZEN_TIME);
}

void freeze_free(struct freeze *freeze)
{
	if (!freeze)
		return;
	for (size_t i = 0; i < freeze->n_tasks; i++)
		frozen_task_free(freeze->tasks[i]);
	hash_release(&freeze->by_pid);
	free(freeze->tasks);
	free(freeze);
}
