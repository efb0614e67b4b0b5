// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers of processes and threads. Each is asked for by clone3(2) with set_tid, which fails where
 * it is taken: by a task, or as the number of a process group or session that somebody is in still,
 * its leader gone. That it is free is looked at before anything is forked, so that the message can
 * say who has it and nothing need be undone. A number that somebody takes in the meantime still
 * fails the fork; one that nobody has comes free in a moment, as the kernel gives it back last of
 * all when a task goes.
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
#include "util/time.h"

/* As CRIU does it: low numbers are those of long-lived services. */
#define HELPER_PID_MIN 301
#define LOOK_MS        10
/* How long a number may come free that nobody has. */
#define CLONE_WAIT_US  2000000
#define CLONE_PAUSE_US 1000
#define SIGKILL_BIT    (UINT64_C(1) << (SIGKILL - 1))

#ifndef PF_EXITING
/* linux/sched.h, not a UAPI header; proc_pid_stat(5) refers to it. */
#define PF_EXITING 0x00000004
#endif

static bool is_task(pid_t pid)
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

static pid_t find_task(pid_t number)
{
	return is_task(number) ? number : 0;
}

/* A process in the group or session of that number; 0 where nobody is, or -errno. */
static pid_t find_member(pid_t number)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;

	int err = proc_read_processes(&pids, &n);

	if (err < 0)
		return err;
	for (size_t i = 0; i < n; i++)
		if (getpgid(pids[i]) == number || getsid(pids[i]) == number)
			return pids[i];
	return 0;
}

static pid_t find_holder(pid_t number)
{
	return is_task(number) ? number : find_member(number);
}

/* Returns 0 when nobody has it (any more), the pid of who holds on to it, -ECANCELED, unlogged, or
 * -errno, logged. */
static pid_t stays_taken(struct cr *cr, pid_t number, pid_t (*find)(pid_t number))
{
	int looks[IS_ZOMBIE + 1] = {0};
	pid_t holder;

	while ((holder = find(number))) {
		enum ending ending;

		if (holder < 0)
			return log_err(cr, holder, "/proc: list processes");
		ending = how_ended(holder);
		if (plan_is_cancelled_blocked(cr))
			return -ECANCELED;
		if (ending == IS_ENDING && !looks[IS_ENDING])
			log_info(cr, "pid %d: is ending, which is waited for", holder);
		if (++looks[ending] > max_looks[ending])
			return holder;
		usleep(LOOK_MS * 1000);
	}
	return 0;
}

static int refuse_taken(struct cr *cr, pid_t number, pid_t holder)
{
	static const char *const words[] = {
		[NOT_ENDING] = "runs here",
		[IS_ENDING] = "was killed, but the kernel has not done with it",
		[IS_ZOMBIE] = "has ended, but its parent has not waited for it",
	};
	char path[32], comm[32] = "";
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", holder);
	n = fd_read_file_into(-1, path, comm, sizeof(comm));
	if (n > 0 && comm[n - 1] == '\n')
		comm[n - 1] = 0;
	if (!holder)
		log_refuse(cr, -EEXIST, "pid %d: is taken, by nobody that /proc shows", number);
	else if (holder == number)
		log_refuse(cr, -EEXIST, "pid %d: is taken by %s, which %s", number,
			   n > 0 ? comm : "a process", words[how_ended(holder)]);
	else
		log_refuse(cr, -EEXIST,
			   "pid %d: is taken as the group or session of %s (pid %d), which %s",
			   number, n > 0 ? comm : "a process", holder, words[how_ended(holder)]);
	log_remedy(cr,
		   "%srestore in a new pid namespace: "
		   "unshare --pid --fork --mount-proc criu restore",
		   holder ? "wait until that process is gone, or " : "");
	return -EEXIST;
}

pid_t task_clone(struct cr *cr, const char *what, pid_t pid, struct clone_args *args)
{
	uint64_t deadline = 0;

	args->set_tid = pid ? (uintptr_t)&pid : 0;
	args->set_tid_size = pid ? 1 : 0;
	for (;;) {
		long ret = syscall(SYS_clone3, args, sizeof(*args));
		int err = ret < 0 ? -errno : 0;
		pid_t holder;

		if (!err)
			return (pid_t)ret;
		if (err != -EEXIST)
			return log_err(cr, err, "pid %d: %s", pid, what);
		holder = stays_taken(cr, pid, find_holder);
		if (holder < 0)
			return holder;
		if (!deadline)
			deadline = time_now_us() + CLONE_WAIT_US;
		if (holder || time_now_us() > deadline)
			return refuse_taken(cr, pid, holder);
		if (plan_is_cancelled_blocked(cr))
			return -ECANCELED;
		usleep(CLONE_PAUSE_US);
	}
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

/* The numbers of process groups and sessions that somebody is in. */
static int find_groups(struct cr *cr, struct hash *ret)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;
	int err = proc_read_processes(&pids, &n);

	if (err < 0)
		return log_err(cr, err, "/proc: list processes");
	for (size_t i = 0; i < n; i++) {
		const pid_t numbers[] = {getpgid(pids[i]), getsid(pids[i])};

		for (size_t k = 0; k < ARRAY_SIZE(numbers); k++)
			if (numbers[k] > 0)
				hash_put(ret, (uint64_t)numbers[k], ret);
	}
	return 0;
}

static int check_free(struct cr *cr, pid_t number, pid_t (*find)(pid_t number))
{
	pid_t holder = stays_taken(cr, number, find);

	return holder > 0 ? refuse_taken(cr, number, holder) : holder;
}

int pids_check(struct cr *cr)
{
	struct hash groups = {0};
	struct task *task;
	struct thread *thread;
	long pid_max;
	int err = read_pid_max(cr, &pid_max);

	tree_for_each_task (task, cr->tree) {
		task_for_each_thread (thread, task) {
			if (!err && thread->tid >= pid_max)
				err = log_refuse(cr, -ERANGE,
						 "pid %d: is above kernel.pid_max (%ld)",
						 thread->tid, pid_max);
			if (!err)
				err = check_free(cr, thread->tid, find_task);
		}
	}
	/* Those of the tree as it was are gone now, with all their tasks. */
	if (!err)
		err = find_groups(cr, &groups);
	tree_for_each_task (task, cr->tree) {
		task_for_each_thread (thread, task) {
			if (!err && hash_get(&groups, (uint64_t)thread->tid))
				err = check_free(cr, thread->tid, find_holder);
		}
	}
	hash_release(&groups);
	return err;
}

int seeds_number_helpers(struct cr *cr, struct seeds *seeds)
{
	struct hash used = {0}; /* and the numbers of groups */
	struct thread *thread;
	struct seed *seed;
	pid_t next = HELPER_PID_MIN;
	long pid_max;
	int err = read_pid_max(cr, &pid_max);

	if (err || !seeds->n_helpers)
		return err;
	err = find_groups(cr, &used);
	seeds_for_each(seed, seeds)
	{
		hash_put(&used, (uint64_t)seed->pid, seed);
		if (seed->task)
			task_for_each_thread (thread, seed->task)
				hash_put(&used, (uint64_t)thread->tid, seed);
	}
	seeds_for_each(seed, seeds)
	{
		if (err || seed->task)
			continue;
		if (seed->pid)
			err = check_free(cr, seed->pid, find_holder);
		for (; !seed->pid && next < pid_max; next++)
			if (!hash_get(&used, (uint64_t)next) && !is_task(next))
				seed->pid = next;
		if (!seed->pid)
			err = log_refuse(cr, -EAGAIN, "pids: no free number for a helper process");
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
