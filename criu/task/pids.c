// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers of processes and threads. Each is asked for by clone3(2) with set_tid, which fails where
 * it is taken; that it is free is looked at before anything is forked, so that the message can say
 * who has it and nothing need be undone. A number that somebody takes in the meantime still fails
 * the fork; one that nobody has comes free in a moment, as the kernel gives it back last of all
 * when a task goes.
 */
#include <errno.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cr.h"
#include "run.h"
#include "options.h"
#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "kernel/proc.h"
#include "task/restore.h"
#include "util/fd.h"
#include "util/hash.h"
#include "util/log.h"

/* As CRIU does it: low numbers are those of long-lived services. */
#define HELPER_PID_MIN 301
#define LOOK_MS        10
#define CLONE_TRIES    2000
#define CLONE_PAUSE_US 1000
#define SIGKILL_BIT    (UINT64_C(1) << (SIGKILL - 1))

#ifndef PF_EXITING
/* linux/sched.h, not a UAPI header; proc_pid_stat(5) refers to it. */
#define PF_EXITING 0x00000004
#endif

static bool is_taken(pid_t pid)
{
	/* Finds threads as well, whose /proc folder cannot be listed but opened. */
	return kill(pid, 0) == 0 || errno != ESRCH;
}

/* How far a process has come with its end. */
enum ending {
	NOT_ENDING,
	IS_ENDING, /* the kernel takes it apart, of memory 0.1 to 0.2 s a GiB */
	IS_ZOMBIE, /* its parent has to look */
};

static enum ending how_thread_ended(int dir, bool *has_others)
{
	struct proc_status status;
	struct proc_stat stat;
	enum ending ret = NOT_ENDING;

	*has_others = false;
	if (proc_read_stat(dir, &stat) < 0)
		return NOT_ENDING;
	*has_others = stat.num_threads > 1;
	if (stat.state == 'Z')
		return IS_ZOMBIE;
	if (stat.state == 'X' || (stat.flags & PF_EXITING))
		return IS_ENDING;
	/* Killed, and yet to notice. */
	if (proc_read_status(dir, &status) == 0) {
		if ((status.sig_pending | status.shd_pending) & SIGKILL_BIT)
			ret = IS_ENDING;
		proc_status_release(&status);
	}
	return ret;
}

/* A process whose main thread has ended goes on while another does. */
static enum ending how_others_ended(int dir, pid_t pid)
{
	_cleanup_free_ pid_t *tids = NULL;
	enum ending ret = IS_ZOMBIE;
	size_t n = 0;
	bool ignored;

	if (proc_read_threads(dir, &tids, &n) < 0)
		return IS_ZOMBIE;
	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int other = tids[i] != pid ? proc_open_task(dir, tids[i]) : -1;

		if (other >= 0)
			ret = MIN(ret, how_thread_ended(other, &ignored));
	}
	return ret;
}

static enum ending how_ended(pid_t pid)
{
	_cleanup_close_ int dir = proc_open(pid);
	enum ending ret;
	bool has_others;

	if (dir < 0)
		return NOT_ENDING;
	ret = how_thread_ended(dir, &has_others);
	return ret == IS_ZOMBIE && has_others ? how_others_ended(dir, pid) : ret;
}

/*
 * What was dumped a moment ago may still be there: the kernel needs time to take a killed process
 * apart, and its parent, for orphans pid 1 or a subreaper, may be slow to look. That is worth
 * waiting for; a process that runs is not. Between taking up its SIGKILL and PF_EXITING a process
 * looks as if it ran, so it is looked at more than once.
 */
static const int max_looks[] = {[NOT_ENDING] = 5, [IS_ENDING] = 6000, [IS_ZOMBIE] = 300};

static bool stays_taken(struct cr *cr, pid_t tid)
{
	int looks[IS_ZOMBIE + 1] = {0};

	while (is_taken(tid)) {
		enum ending ending = how_ended(tid);

		if (ending == IS_ENDING && !looks[IS_ENDING])
			log_info(cr, "pid %d: is ending, which is waited for", tid);
		if (++looks[ending] > max_looks[ending] || plan_is_cancelled(cr))
			return true;
		usleep(LOOK_MS * 1000);
	}
	return false;
}

pid_t task_clone(struct cr *cr, pid_t pid, struct clone_args *args)
{
	long ret;

	args->set_tid = pid ? (uintptr_t)&pid : 0;
	args->set_tid_size = pid ? 1 : 0;
	for (int tries = 0;; tries++) {
		ret = syscall(SYS_clone3, args, sizeof(*args));
		if (ret >= 0 || errno != EEXIST || tries == CLONE_TRIES || stays_taken(cr, pid))
			break;
		usleep(CLONE_PAUSE_US);
	}
	if (ret < 0 && errno == EEXIST)
		return log_refuse(cr, -EEXIST, "pid %d: was taken in the meantime", pid);
	return ret < 0 ? -errno : (pid_t)ret;
}

static int refuse_taken(struct cr *cr, pid_t tid)
{
	static const char *const words[] = {
		[NOT_ENDING] = "runs here",
		[IS_ENDING] = "was killed, but the kernel has not done with it",
		[IS_ZOMBIE] = "has ended, but its parent has not waited for it",
	};
	char path[32], comm[32] = "";
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", tid);
	n = fd_read_file_into(-1, path, comm, sizeof(comm));
	if (n > 0 && comm[n - 1] == '\n')
		comm[n - 1] = 0;
	log_refuse(cr, -EEXIST, "pid %d: is taken by %s, which %s", tid, n > 0 ? comm : "a process",
		   words[how_ended(tid)]);
	log_remedy(cr, "restore when that process is gone, or in a new pid namespace: "
		       "unshare --pid --fork --mount-proc criu restore");
	return -EEXIST;
}

static int read_pid_max(struct cr *cr, long *ret)
{
	char text[32];
	ssize_t n = fd_read_file_into(-1, "/proc/sys/kernel/pid_max", text, sizeof(text));

	if (n < 0)
		return log_err(cr, (int)n, "/proc/sys/kernel/pid_max: read");
	*ret = strtol(text, NULL, 10);
	return 0;
}

int pids_check(struct cr *cr)
{
	struct task *task;
	struct thread *thread;
	long pid_max;
	int err = read_pid_max(cr, &pid_max);

	if (err)
		return err;
	tree_for_each_task (task, cr->tree) {
		task_for_each_thread (thread, task) {
			if (thread->tid >= pid_max)
				return log_refuse(cr, -ERANGE,
						  "pid %d: is above kernel.pid_max (%ld)",
						  thread->tid, pid_max);
			if (stays_taken(cr, thread->tid))
				return refuse_taken(cr, thread->tid);
		}
	}
	return 0;
}

int seeds_number_helpers(struct cr *cr, struct seeds *seeds)
{
	struct hash used = {0};
	struct thread *thread;
	struct seed *seed;
	pid_t next = HELPER_PID_MIN;
	long pid_max;
	int err = read_pid_max(cr, &pid_max);

	if (err || !seeds->n_helpers)
		return err;
	seeds_for_each(seed, seeds)
	{
		hash_put(&used, (uint64_t)seed->pid, seed);
		if (seed->task)
			task_for_each_thread (thread, seed->task)
				hash_put(&used, (uint64_t)thread->tid, seed);
	}
	seeds_for_each(seed, seeds)
	{
		if (seed->task)
			continue;
		if (seed->pid && stays_taken(cr, seed->pid)) {
			err = refuse_taken(cr, seed->pid);
			break;
		}
		while (!seed->pid && next < pid_max) {
			if (!hash_get(&used, (uint64_t)next) && !is_taken(next))
				seed->pid = next;
			next++;
		}
		if (!seed->pid) {
			err = log_refuse(cr, -EAGAIN, "pids: no free number for a helper process");
			break;
		}
	}
	hash_release(&used);
	return err;
}

int tree_adopt_session(struct cr *cr)
{
	struct task *root = cr->tree->root, *task;
	pid_t old_sid = root->sid, old_pgid = root->pgid, sid = getsid(0), pgid = getpgrp();

	if (old_sid == root->pid)
		return 0;
	if (!cr->opts->shell_job) {
		log_refuse(cr, -EINVAL, "task %d: is in session %d, which is not in the tree",
			   root->pid, old_sid);
		log_remedy(cr, "restore with --shell-job, in the session of this shell");
		return -EINVAL;
	}
	if (tree_find(cr->tree, sid) || tree_find(cr->tree, pgid))
		return log_refuse(
			cr, -EEXIST,
			"session %d, group %d of this shell: a task of the tree has this pid", sid,
			pgid);
	tree_for_each_task (task, cr->tree) {
		if (task->sid == old_sid)
			task->sid = sid;
		if (task->pgid == old_pgid && !tree_find(cr->tree, old_pgid))
			task->pgid = pgid;
	}
	log_info(cr, "session %d, group %d: become %d and %d of this shell", old_sid, old_pgid, sid,
		 pgid);
	return 0;
}
