// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a restore: threads that sleep in the blob become the threads they were. They are
 * traced from the moment all memory is in place: then filters of system calls that they install do
 * not hold yet, and they die should the coordinator die. When nothing is left to be done inside,
 * each is stopped; one thread of each process unmaps the blob's area, all get their registers and
 * signal masks, and then, when no step can fail any more, they are let go.
 *
 * Children that were stopped send a signal to their parent when they stop again. So the last stage
 * within the blob (signals) is run from the leaves of the tree to its root, and what is to be
 * stopped is stopped before its parent has that stage.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arch/registers.h"
#include "compel/base/cleanup.h"
#include "compel/ptrace.h"
#include "cr.h"
#include "engine/restore-priv.h"
#include "engine/stages.h"
#include "images/core.pb-c.h"
#include "images/rseq.pb-c.h"
#include "kernel/proc.h"
#include "options.h"
#include "run.h"
#include "state/sched.h"
#include "task/restore.h"
#include "util/fd.h"
#include "util/log.h"

#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif

/* Of struct rseq: where the descriptor of the critical section is. */
#define RSEQ_CS_OFFSET 8

/* How long a process may take to stop, and how often it is looked whether it has. */
#define STOP_TRIES    20000
#define STOP_NAP_NSEC 100000

/* What is refused of a thread is so, mostly, because somebody has killed its process. */
static int trace_err(struct cr *cr, const struct thread *thread, int err, const char *what)
{
	int ret = 0;

	if (err == -ESRCH || err == -EPERM || err == -ECHILD)
		ret = seed_died(cr, thread->task->restore->seed);
	if (ret)
		return ret;
	return log_err(cr, err, "pid %d: %s thread %d", thread->task->pid, what, thread->tid);
}

/* Calls fn for each thread of each live task that is not released yet, until one fails. */
static int for_each_thread(struct cr *cr, int (*fn)(struct cr *cr, const struct thread *thread))
{
	struct task *task;
	struct thread *thread;

	tree_for_each_task (task, cr->tree) {
		if (!task_is_alive(task) || task->restore->is_released)
			continue;
		task_for_each_thread (thread, task) {
			int err = fn(cr, thread);

			if (err < 0)
				return err;
		}
	}
	return 0;
}

/* ---- seize ---- */

static uintptr_t trace_options(const struct cr *cr)
{
	return PTRACE_O_TRACESYSGOOD | (cr->restore->has_seccomp ? PTRACE_O_SUSPEND_SECCOMP : 0);
}

static int seize(struct cr *cr, const struct thread *thread)
{
	uintptr_t options = PTRACE_O_EXITKILL | trace_options(cr);

	if (ptrace(PTRACE_SEIZE, thread->host_tid, NULL, (void *)options) < 0)
		return trace_err(cr, thread, -errno, "trace");
	return 0;
}

int release_seize(struct cr *cr)
{
	return for_each_thread(cr, seize);
}

/* ---- stop ---- */

static int interrupt(struct cr *cr, const struct thread *thread)
{
	if (ptrace(PTRACE_INTERRUPT, thread->host_tid, NULL, NULL) < 0)
		return trace_err(cr, thread, -errno, "stop");
	return 0;
}

/* Waits until the thread has stopped for what is wanted: an interrupt, or in a system call. */
static int wait_stop(struct cr *cr, const struct thread *thread, bool is_syscall)
{
	for (;;) {
		struct compel_stop stop;
		/* Not waitpid(2), which would wait for ever for a leader whose process was killed.
		 */
		int signo, err = compel_wait_any_stop(thread->host_tid, -1, &stop);

		if (err < 0)
			return trace_err(cr, thread, err, "wait for");
		if (is_syscall ? stop.kind == COMPEL_STOP_SYSCALL : stop.event == PTRACE_EVENT_STOP)
			return 0;
		signo = stop.signal;
		if (signo == SIGSEGV || signo == SIGBUS || signo == SIGILL || signo == SIGFPE)
			return log_refuse(cr, -ECHILD,
					  "pid %d: thread %d met SIG%s in the restorer",
					  thread->task->pid, thread->tid, sigabbrev_np(signo));
		/* Somebody stops or continues it just now: not yet. */
		ptrace(is_syscall ? PTRACE_SYSCALL : PTRACE_CONT, thread->host_tid, NULL, NULL);
	}
}

static int wait_interrupted(struct cr *cr, const struct thread *thread)
{
	return wait_stop(cr, thread, false);
}

/* ---- the leader unmaps the area: entry and exit of one system call ---- */

static bool is_leader(const struct thread *thread)
{
	return thread == thread->task->threads;
}

static int unmap_start(struct cr *cr, const struct thread *thread)
{
	const uint64_t args[6] = {cr->restore->area, cr->restore->area_size};
	int err;

	if (!is_leader(thread))
		return 0;
	err = registers_call(thread->host_tid, SYS_munmap, args);
	if (!err && ptrace(PTRACE_SYSCALL, thread->host_tid, NULL, NULL) < 0)
		err = -errno;
	return err ? trace_err(cr, thread, err, "unmap the restorer in") : 0;
}

static int unmap_entered(struct cr *cr, const struct thread *thread)
{
	int err;

	if (!is_leader(thread))
		return 0;
	err = wait_stop(cr, thread, true);
	if (!err && ptrace(PTRACE_SYSCALL, thread->host_tid, NULL, NULL) < 0)
		err = trace_err(cr, thread, -errno, "unmap the restorer in");
	return err;
}

static int unmap_left(struct cr *cr, const struct thread *thread)
{
	long ret = 0;
	int err;

	if (!is_leader(thread))
		return 0;
	err = wait_stop(cr, thread, true);
	if (err)
		return err;
	err = registers_call_result(thread->host_tid, &ret);
	if (!err && ret < 0)
		err = (int)ret;
	return err ? trace_err(cr, thread, err, "unmap the restorer in") : 0;
}

/* ---- what each thread goes on with ---- */

static int restore_mask(struct cr *cr, const struct thread *thread)
{
	const CoreEntry *core = thread->core;
	uint64_t mask = is_leader(thread) ? core->tc->blk_sigset : core->thread_core->blk_sigset;

	if (ptrace(PTRACE_SETSIGMASK, thread->host_tid, (void *)sizeof(mask), &mask) < 0)
		return trace_err(cr, thread, -errno, "set the signal mask of");
	return 0;
}

/* A critical section that signals do not restart: the kernel must find it again, after all that it
 * has met since. */
static int restore_rseq_cs(struct cr *cr, const struct thread *thread)
{
	const RseqEntry *e = thread->core->thread_core->rseq_entry;
	struct iovec from, to;
	uint64_t address;

	if (!e || !e->rseq_abi_pointer || !e->has_rseq_cs_pointer)
		return 0;
	address = e->rseq_cs_pointer;
	from = (struct iovec){&address, sizeof(address)};
	to = (struct iovec){(void *)(e->rseq_abi_pointer + RSEQ_CS_OFFSET), sizeof(address)};
	if (process_vm_writev(thread->task->host_pid, &from, 1, &to, 1, 0) != sizeof(address))
		return trace_err(cr, thread, -errno, "set the critical section of");
	return 0;
}

static int restore_thread(struct cr *cr, const struct thread *thread)
{
	int err = registers_restore(cr, thread);

	if (!err)
		err = restore_mask(cr, thread);
	if (!err)
		err = restore_rseq_cs(cr, thread);
	return err ? err : sched_restore(cr, thread);
}

/* All processes take each step at the same time: most of it is waiting for one another. */
static int (*const prepare_steps[])(struct cr *cr, const struct thread *thread) = {
	interrupt, wait_interrupted, unmap_start, unmap_entered, unmap_left, restore_thread,
};

int release_prepare(struct cr *cr)
{
	for (size_t i = 0; i < sizeof(prepare_steps) / sizeof(*prepare_steps); i++) {
		int err = for_each_thread(cr, prepare_steps[i]);

		if (err < 0)
			return err;
	}
	return 0;
}

/* ---- let go ---- */

static int outlive(struct cr *cr, const struct thread *thread)
{
	if (ptrace(PTRACE_SETOPTIONS, thread->host_tid, NULL, (void *)trace_options(cr)) < 0)
		return trace_err(cr, thread, -errno, "make ready to let go of");
	return 0;
}

int release_outlive(struct cr *cr)
{
	return for_each_thread(cr, outlive);
}

/*
 * The leader last: of a process that was killed meanwhile compel sees the threads dead, and only
 * then the parent is told.
 */
static int detach(struct cr *cr, const struct task *task)
{
	for (size_t i = task->n_threads; i-- > 0;) {
		int err = compel_detach(task->threads[i].host_tid, 0);

		if (err < 0 && err != -ESRCH)
			return trace_err(cr, &task->threads[i], err, "let go of");
	}
	return 0;
}

static char state_of(const struct task *task)
{
	_cleanup_close_ int dir = proc_open(task->host_pid);
	struct proc_stat stat;

	return dir >= 0 && proc_read_stat(dir, &stat) == 0 ? stat.state : 'X';
}

/*
 * A thread is in the state of a stopped one just before its parent is sent the signal that says so
 * (the last to stop does that); it has been sent when the thread is on no CPU any more. One that is
 * being woken up is on none either, but not in that state yet.
 */
static bool is_at_rest(const struct task *task)
{
	_cleanup_close_ int dir = proc_open(task->host_pid);
	const struct thread *thread;

	task_for_each_thread (thread, task) {
		_cleanup_close_ int thread_dir = proc_open_task(dir, thread->host_tid);
		struct proc_stat stat;
		char text[256] = "";

		int err = thread_dir < 0 ? thread_dir : proc_read_stat(thread_dir, &stat);

		/* Killed meanwhile. */
		if (err == -ENOENT || err == -ESRCH)
			continue;
		if (err < 0 || !strchr("TZX", stat.state))
			return false;
		(void)fd_read_file_into(thread_dir, "syscall", text, sizeof(text));
		if (strncmp(text, "running", 7) == 0)
			return false;
	}
	return true;
}

/* 0 once it has stopped, -ETIMEDOUT, or -ESRCH if it is dead. */
static int wait_stopped(const struct task *task)
{
	const struct timespec nap = {0, STOP_NAP_NSEC};

	for (int i = 0; i < STOP_TRIES; i++) {
		char state = state_of(task);

		if (state == 'T' && is_at_rest(task))
			return 0;
		if (state == 'Z' || state == 'X')
			return -ESRCH;
		nanosleep(&nap, NULL);
	}
	return -ETIMEDOUT;
}

/*
 * Stops a process whose threads are traced and ready to run, and lets go of it. A signal of the
 * terminal does not stop an orphaned process group; the original was stopped before it was one.
 */
static int detach_stopped(struct cr *cr, struct task *task, int signo)
{
	int err;

	if (kill(task->host_pid, signo) < 0)
		return log_err(cr, -errno, "pid %d: stop it", task->pid);
	err = detach(cr, task);
	if (err)
		return err;
	task->restore->is_released = true;
	err = wait_stopped(task);
	if (err == -ETIMEDOUT && kill(task->host_pid, SIGSTOP) == 0)
		err = wait_stopped(task);
	return err < 0 ? trace_err(cr, task->threads, err, "stop") : 0;
}

static int stop_one(struct cr *cr, struct task *task)
{
	const TaskCoreEntry *tc = task->threads[0].core->tc;
	struct thread *thread;
	int err;

	for (size_t i = 0; i < sizeof(prepare_steps) / sizeof(*prepare_steps); i++) {
		task_for_each_thread (thread, task) {
			err = prepare_steps[i](cr, thread);
			if (err < 0)
				return err;
		}
	}
	/* It is the first that does not die with us any more, nor with its parent. */
	err = undo_add_signal(cr, task->host_pid, SIGKILL);
	if (err < 0)
		return err;
	return detach_stopped(cr, task, tc->has_stop_signo ? (int)tc->stop_signo : SIGSTOP);
}

int release_detach(struct cr *cr)
{
	struct task *task;

	tree_for_each_task (task, cr->tree) {
		int err;

		if (!task_is_alive(task) || task->restore->is_released)
			continue;
		err = cr->opts->leave_stopped ? detach_stopped(cr, task, SIGSTOP)
					      : detach(cr, task);
		if (err < 0)
			return err;
	}
	return 0;
}

/* ---- the stage of signals ---- */

static uint32_t deepest(const struct cr *cr, bool *ret_any_stopped)
{
	struct task *task;
	uint32_t depth = 0;

	*ret_any_stopped = false;
	tree_for_each_task (task, cr->tree) {
		if (!task_is_alive(task))
			continue;
		if (task->restore->depth > depth)
			depth = task->restore->depth;
		*ret_any_stopped |= task->state == TASK_STOPPED;
	}
	return depth;
}

static size_t count_at(const struct cr *cr, uint32_t from, uint32_t to)
{
	struct task *task;
	size_t n = 0;

	tree_for_each_task (task, cr->tree)
		if (task_is_alive(task) && task->restore->depth >= from &&
		    task->restore->depth <= to)
			n++;
	return n;
}

static int stop_level(struct cr *cr, uint32_t depth)
{
	struct task *task;

	tree_for_each_task (task, cr->tree) {
		int err;

		if (task->state != TASK_STOPPED || task->restore->depth != depth)
			continue;
		err = stop_one(cr, task);
		if (err < 0)
			return err;
	}
	return 0;
}

static int wait_zombies(struct cr *cr)
{
	const struct seed *seed;

	seeds_for_each(seed, cr->restore->seeds)
	{
		int err;

		if (!seed->task || task_is_alive(seed->task))
			continue;
		err = seed_wait_exit(cr, seed);
		if (err)
			return err;
	}
	return 0;
}

int release_signals(struct cr *cr)
{
	bool any_stopped;
	uint32_t depth = deepest(cr, &any_stopped), top = any_stopped ? depth : 0;
	int err = wait_zombies(cr);

	if (err)
		return err;
	futex_store(&cr->restore->shared->level, top);
	stage_begin(cr, STAGE_SIGNALS, count_at(cr, top, depth));
	for (;;) {
		err = stage_wait(cr);
		if (!err && any_stopped)
			err = stop_level(cr, top);
		if (err || top == 0)
			return err;
		top--;
		stage_level_begin(cr, top, count_at(cr, top, top));
	}
}
