// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seizing one process: every thread is attached to with PTRACE_SEIZE, which by itself changes
 * nothing, and told to stop with PTRACE_INTERRUPT. The lists of threads and children come from
 * /proc and can only be believed if they were read after all threads known had stopped, as a thread
 * that runs may make more of both.
 *
 * A thread in a group stop (SIGSTOP, ^Z) is left in it; which signal it was is kept. Threads may
 * die, or the whole process may become a zombie, while it is being seized: that is no error.
 */
#include "task/dump-priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "compel/ptrace.h"
#include "cr.h"
#include "kernel/proc.h"
#include "task/dump.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/pool.h"

/* How often a thread is asked again that can be neither seized nor seen to be dead. */
#define SEIZE_TRIES 20
/* For how many milliseconds the others may go on after the main thread died. */
#define JUDGE_TRIES 300

struct frozen_task *frozen_task_new(pid_t pid)
{
	struct frozen_task *task = xcalloc(1, sizeof(*task));

	task->pid = pid;
	task->proc = -1;
	task->pidfd = -1;
	return task;
}

void frozen_task_free(struct frozen_task *task)
{
	if (!task)
		return;
	close_at(&task->proc);
	close_at(&task->pidfd);
	free(task->threads);
	free(task->children);
	free(task);
}

void frozen_task_reset(struct frozen_task *task)
{
	close_at(&task->proc);
	close_at(&task->pidfd);
	task->proc = task->pidfd = -1;
	task->is_gone = task->is_zombie = task->is_settled = false;
	task->n_threads = 0;
}

/* A thread that is traced and dead stays a zombie until its tracer has looked at it. */
static void thread_gone(struct frozen_thread *thread)
{
	if (thread->state == FROZEN_SEIZED || thread->state == FROZEN_STOPPED)
		waitpid(thread->tid, NULL, __WALL | WNOHANG);
	thread->state = FROZEN_GONE;
}

/* Told to stop; it is seized already. */
static void thread_interrupt(struct frozen_thread *thread)
{
	thread->state = FROZEN_SEIZED;
	if (compel_interrupt(thread->tid) < 0)
		thread_gone(thread);
}

/*
 * PTRACE_SEIZE was refused: the thread is dead, or traced, or none of our business. A thread that
 * executed a program has its tracer still, but the number of the main thread.
 */
static int seize_refused(struct cr *cr, struct frozen_task *task, struct frozen_thread *thread)
{
	_cleanup_close_ int dir = proc_open_task(task->proc, thread->tid);
	struct proc_status status = {0};
	pid_t tracer;
	char state;
	int err;

	if (dir < 0) {
		thread->state = FROZEN_GONE;
		return 0;
	}
	err = proc_read_status(dir, &status);
	if (err < 0) {
		thread->state = FROZEN_GONE;
		return err == -ESRCH ? 0
				     : log_err(cr, err, "pid %d: read the status of thread %d",
					       task->pid, thread->tid);
	}
	state = status.state;
	tracer = status.tracer_pid;
	if (state == 'Z' || state == 'X')
		thread->state = FROZEN_GONE;
	else if (tracer == getpid())
		thread_interrupt(thread);
	else if (tracer)
		err = log_refuse(cr, -EBUSY, "pid %d: thread %d is already traced by pid %d",
				 task->pid, thread->tid, tracer);
	else
		err = log_err(cr, -EPERM, "pid %d: seize thread %d", task->pid, thread->tid);
	proc_status_release(&status);
	return err;
}

/* Alive, and nobody's: what was refused may succeed the next time. */
static bool is_unclear(const struct frozen_task *task, const struct frozen_thread *thread)
{
	_cleanup_close_ int dir = proc_open_task(task->proc, thread->tid);
	struct proc_status status;
	bool is_unclear;

	if (dir < 0 || proc_read_status(dir, &status) < 0)
		return false;
	is_unclear = status.state != 'Z' && status.state != 'X' && !status.tracer_pid;
	proc_status_release(&status);
	return is_unclear;
}

/* Waits, as the kernel has it, for the end of an execve(2) in the process. */
static int seize_watched(struct cr *cr, const struct frozen_task *task, pid_t tid)
{
	struct freeze *freeze = cr->dump->freeze;
	int err;

	if (task->n_threads > 1 && !freeze->watch) {
		err = watch_start(&freeze->watch);
		if (err < 0)
			return err;
	}
	watch_call(freeze->watch, task->pid);
	err = compel_seize(tid, 0);
	watch_call(freeze->watch, 0);
	return err;
}

static int thread_seize(struct cr *cr, struct frozen_task *task, struct frozen_thread *thread)
{
	struct compel_stop stop;
	int err = seize_watched(cr, task, thread->tid);

	/* In the middle of execve(2) it may be refused for a moment. */
	for (int i = 0; err == -EPERM && i < SEIZE_TRIES && is_unclear(task, thread); i++)
		err = seize_watched(cr, task, thread->tid);
	if (err == -ESRCH) {
		thread->state = FROZEN_GONE;
		return 0;
	}
	if (err == -EPERM)
		return seize_refused(cr, task, thread);
	if (err < 0)
		return log_err(cr, err, "pid %d: seize thread %d", task->pid, thread->tid);
	thread->state = FROZEN_SEIZED;

	/* In a group stop it traps at once; an interrupt on top would be a second trap that turns
	 * up when it goes on. */
	if (compel_wait_stop(thread->tid, 0, &stop) == 0) {
		thread->state = FROZEN_STOPPED;
		thread->stop_signo = stop.kind == COMPEL_STOP_GROUP ? stop.signal : 0;
		return 0;
	}
	thread_interrupt(thread);
	return 0;
}

int frozen_task_seize(struct cr *cr, struct frozen_task *task)
{
	int err;

	for (size_t i = 0; i < task->n_threads; i++) {
		if (task->threads[i].state != FROZEN_LISTED)
			continue;
		err = thread_seize(cr, task, &task->threads[i]);
		if (err < 0)
			return err;
	}
	return 0;
}

void frozen_task_recheck(struct frozen_task *task)
{
	for (size_t i = 0; i < task->n_threads; i++) {
		struct frozen_thread *thread = &task->threads[i];
		int err;

		if (thread->state != FROZEN_STOPPED)
			continue;
		err = compel_wait_stop(thread->tid, 0, NULL);
		if (err == 0)
			continue;
		task->is_settled = false;
		/* Under the number of the main thread there is another one now, which had not
		 * stopped yet. */
		if (err == -ETIMEDOUT)
			thread_interrupt(thread);
		else
			thread_gone(thread);
	}
}

size_t frozen_task_poll(struct frozen_task *task)
{
	struct compel_stop stop;
	size_t n_running = 0;
	bool is_changed = false;

	for (size_t i = 0; i < task->n_threads; i++) {
		struct frozen_thread *thread = &task->threads[i];
		int err;

		if (thread->state != FROZEN_SEIZED)
			continue;
		err = compel_wait_stop(thread->tid, 0, &stop);
		if (err == 0) {
			thread->state = FROZEN_STOPPED;
			thread->stop_signo = stop.kind == COMPEL_STOP_GROUP ? stop.signal : 0;
		} else if (err == -ETIMEDOUT) {
			n_running++;
		} else {
			thread_gone(thread);
			task->is_settled = false;
			is_changed = true;
		}
	}
	/* It may have gone on as the main thread, or have been killed with the others, by
	 * execve(2). */
	if (is_changed)
		frozen_task_recheck(task);
	return n_running;
}

/* Opens what keeps meaning this process; false if it is gone. */
static bool task_open(struct frozen_task *task)
{
	if (task->proc < 0)
		task->proc = proc_open(task->pid);
	if (task->proc >= 0 && task->pidfd < 0 && !task->is_zombie)
		task->pidfd = pidfd_new(task->pid);
	return task->proc >= 0;
}

static struct frozen_thread *find_thread(struct frozen_task *task, size_t hint, pid_t tid)
{
	if (hint < task->n_threads && task->threads[hint].tid == tid)
		return &task->threads[hint];
	for (size_t i = 0; i < task->n_threads; i++)
		if (task->threads[i].tid == tid)
			return &task->threads[i];
	return NULL;
}

/* Replaces the list of threads by what /proc says; how many were not known. */
static int scan_threads(struct cr *cr, struct frozen_task *task)
{
	_cleanup_free_ pid_t *tids = NULL;
	struct frozen_thread *threads;
	size_t n, n_known = 0, n_before = task->n_threads;
	int n_new = 0, err = proc_read_threads(task->proc, &tids, &n);

	if (err == -ESRCH || err == -ENOENT) {
		n = 0;
	} else if (err < 0) {
		return log_err(cr, err, "pid %d: list its threads", task->pid);
	}
	threads = xcalloc(n, sizeof(*threads));
	for (size_t i = 0; i < n; i++) {
		struct frozen_thread *known = find_thread(task, i, tids[i]);

		/* One that is gone and listed is dead still, or another one has its number by now.
		 */
		if (known && known->state != FROZEN_GONE)
			threads[i] = *known;
		else
			threads[i].tid = tids[i];
		n_new += !known || known->state == FROZEN_LISTED;
		n_known += known != NULL;
	}
	free(task->threads);
	task->threads = threads;
	task->n_threads = n;
	/* A thread that had stopped and is no longer there was killed: was it by one that executes
	 * a program? */
	if (n_known < n_before) {
		frozen_task_recheck(task);
		n_new++;
	}
	return n_new;
}

/* The children of each thread, read by all workers while the whole process waits. */
struct children {
	const struct frozen_task *task;
	struct {
		pid_t *pids;
		size_t n;
		int err;
	} * of; /* by thread */
};

static int read_children(void *ctx, size_t index, size_t worker)
{
	struct children *children = ctx;
	const struct frozen_task *task = children->task;

	children->of[index].err = proc_read_children(task->proc, task->threads[index].tid,
						     &children->of[index].pids,
						     &children->of[index].n);
	return 0;
}

static void add_children_of(struct frozen_task *task, const pid_t *pids, size_t n)
{
	if (n == 0)
		return;
	task->children = array_grow(task->children, &task->children_capacity, task->n_children + n,
				    sizeof(*task->children));
	memcpy(task->children + task->n_children, pids, n * sizeof(*pids));
	task->n_children += n;
}

/*
 * Before the freeze only those of the leader: the list need not be complete then, and children of
 * other threads are rare enough not to read a file for each.
 */
static int scan_children(struct cr *cr, struct frozen_task *task, bool is_seizing)
{
	size_t n_threads = is_seizing ? task->n_threads : MIN(task->n_threads, (size_t)1);
	struct children children = {.task = task};
	int err = 0;

	children.of = xcalloc(n_threads, sizeof(*children.of));
	(void)pool_run(cr->pool, n_threads, read_children, &children);
	task->n_children = 0;
	for (size_t i = 0; i < n_threads; i++) {
		if (children.of[i].err == 0)
			add_children_of(task, children.of[i].pids, children.of[i].n);
		else if (err == 0 && children.of[i].err != -ESRCH && children.of[i].err != -ENOENT)
			err = log_err(cr, children.of[i].err, "pid %d: list its children",
				      task->pid);
		free(children.of[i].pids);
	}
	free(children.of);
	return err;
}

/*
 * The main thread did not let itself be seized: the process is gone, or dead and not waited for yet
 * by its parent, or, for a moment, about to be led by a thread that executes a program.
 */
static int judge_leader(struct cr *cr, struct frozen_task *task)
{
	struct proc_stat stat;

	if (proc_read_stat(task->proc, &stat) < 0) {
		task->is_gone = true;
		return 0;
	}
	if (stat.state == 'Z' && stat.num_threads == 1) {
		task->is_zombie = true;
		return 0;
	}
	if (task->n_judged++ > JUDGE_TRIES)
		return log_refuse(cr, -EOPNOTSUPP,
				  "pid %d: its main thread has exited while others go on",
				  task->pid);
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return 1;
}

int frozen_task_scan(struct cr *cr, struct frozen_task *task, bool is_seizing)
{
	bool were_stopped = task->n_threads > 0;
	int n_new, err;

	if (task->is_gone || task->is_zombie || task->is_released)
		return 0;
	for (size_t i = 0; i < task->n_threads; i++)
		were_stopped &= task->threads[i].state == FROZEN_STOPPED;
	if (!task_open(task)) {
		task->is_gone = true;
		return 0;
	}

	n_new = scan_threads(cr, task);
	if (n_new < 0)
		return n_new;
	if (is_seizing) {
		err = frozen_task_seize(cr, task);
		if (err < 0)
			return err;
	}
	err = scan_children(cr, task, is_seizing);
	if (err < 0)
		return err;

	if (task->n_threads == 0 || task->threads[0].state == FROZEN_GONE) {
		err = judge_leader(cr, task);
		if (err < 0)
			return err;
		n_new += err;
	}
	task->is_settled = were_stopped && n_new == 0;
	return n_new;
}

void frozen_task_detach(struct frozen_task *task, int signo)
{
	/* One that has not stopped yet cannot be let go yet; where it does not stop soon, the end
	 * of the tool does it. */
	for (size_t i = 0; i < task->n_threads; i++)
		if (task->threads[i].state == FROZEN_SEIZED &&
		    compel_wait_stop(task->threads[i].tid, 100, NULL) == 0)
			task->threads[i].state = FROZEN_STOPPED;
	/* The leader last: of a process that was killed meanwhile compel sees the threads dead, and
	 * only then its parent is told. */
	for (size_t i = task->n_threads; i-- > 0;) {
		if (task->threads[i].state != FROZEN_STOPPED)
			continue;
		(void)compel_detach(task->threads[i].tid, signo);
		task->threads[i].state = FROZEN_LISTED;
		signo = 0;
	}
}

int task_proc_fd(const struct task *task)
{
	return task->dump->proc;
}

int task_pidfd(const struct task *task)
{
	return task->dump->pidfd;
}
