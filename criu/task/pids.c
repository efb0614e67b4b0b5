// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers of processes and threads. Each is asked for by clone3(2) with set_tid, which fails where
 * it is taken; that it is free is looked at before anything is forked, so that the message can say
 * who has it and nothing need be undone. A number that somebody takes in the meantime still fails
 * the fork.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cr.h"
#include "run.h"
#include "options.h"
#include "compel/base/cleanup.h"
#include "kernel/proc.h"
#include "task/restore.h"
#include "util/fd.h"
#include "util/hash.h"
#include "util/log.h"

/* As CRIU does it: low numbers are those of long-lived services. */
#define HELPER_PID_MIN  301
#define ZOMBIE_WAIT_MS  3000
#define ZOMBIE_SLICE_MS 10

static bool is_taken(pid_t pid)
{
	/* Finds threads as well, whose /proc folder cannot be listed but opened. */
	return kill(pid, 0) == 0 || errno != ESRCH;
}

/* A zombie, which is there only until its parent looks. */
static bool is_zombie(pid_t pid)
{
	struct proc_stat stat;
	_cleanup_close_ int dir = proc_open(pid);

	return dir >= 0 && proc_read_stat(dir, &stat) == 0 && stat.state == 'Z';
}

/*
 * What was dumped a moment ago may not have been waited for yet: its orphans go to pid 1 or a
 * subreaper, which may be slow. That is worth waiting for; a process that runs is not.
 */
static bool stays_taken(struct cr *cr, pid_t tid)
{
	for (int waited = 0; is_taken(tid); waited += ZOMBIE_SLICE_MS) {
		if (waited >= ZOMBIE_WAIT_MS || plan_is_cancelled(cr) || !is_zombie(tid))
			return true;
		usleep(ZOMBIE_SLICE_MS * 1000);
	}
	return false;
}

static int refuse_taken(struct cr *cr, pid_t tid)
{
	char path[32], comm[32] = "";
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", tid);
	n = fd_read_file_into(-1, path, comm, sizeof(comm));
	if (n > 0 && comm[n - 1] == '\n')
		comm[n - 1] = 0;
	log_refuse(cr, -EEXIST, "pid %d: is taken by %s, which %s", tid, n > 0 ? comm : "a process",
		   is_zombie(tid) ? "has ended, but its parent has not waited for it"
				  : "runs here");
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
		if (seed->pid && is_taken(seed->pid)) {
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
