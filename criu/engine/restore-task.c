// SPDX-License-Identifier: GPL-2.0-only
/*
 * The processes of a restore, from the moment each is forked until it enters the restorer blob: it
 * forks its children, settles session and process group, gets its files and its memory, stage by
 * stage. All signals are blocked all the time, SIGCHLD has its default disposition. Nothing here
 * returns to whoever forked: a process ends in the blob, in _exit or, as zombie, as it did.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/registers.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/guardian.h"
#include "engine/restore-priv.h"
#include "engine/stages.h"
#include "files/files.h"
#include "images/core.pb-c.h"
#include "mem/mem.h"
#include "options.h"
#include "plugin/plugin.h"
#include "run.h"
#include "state/part.h"
#include "task/restore.h"
#include "util/fd.h"
#include "util/log.h"

#define SIGNAL_LOOK_MS 10

static void process_run(struct cr *cr, const struct seed *seed) __attribute__((noreturn));

static bool shares_files(const struct seed *seed)
{
	const struct task *task = seed->task;

	return task && task->ids && task->parent && task->parent->ids &&
	       task->ids->files_id == task->parent->ids->files_id;
}

/*
 * With --restore-detached the root outlives its parent, this tool. Where it wants a signal when its
 * parent ends, it gets the parent that it will have in the end before it asks for that again.
 */
bool root_is_orphan(const struct cr *cr)
{
	const struct thread *thread;

	if (!cr->opts->restore_detached || cr->opts->restore_sibling)
		return false;
	task_for_each_thread (thread, cr->tree->root)
		if (thread->core->thread_core && thread->core->thread_core->pdeath_sig)
			return true;
	return false;
}

/* By a process that ends at once: whoever adopts orphans here is its parent then. It may wait for
 * the number, and knows by us of a signal that ends the wait: all are blocked. */
int root_fork_orphan(struct cr *cr)
{
	struct pollfd poll_fd = {.fd = -1, .events = POLLIN};
	_cleanup_close_ int pidfd = -1;
	pid_t pid = fork(), got;
	int status = 0;

	if (pid == 0)
		_exit(seed_fork(cr, cr->restore->seeds->root) < 0);
	if (pid < 0)
		return log_err(cr, -errno, "pid %d: fork the process that forks it",
			       cr->tree->root->pid);
	poll_fd.fd = pidfd = pidfd_new(pid);
	while ((got = waitpid(pid, &status, WNOHANG)) == 0) {
		(void)plan_is_cancelled_blocked(cr);
		poll(&poll_fd, 1, SIGNAL_LOOK_MS);
	}
	if (got < 0)
		return log_err(cr, -errno, "pid %d: wait for the process that forked it",
			       cr->tree->root->pid);
	/* It has said why. */
	return status ? -ECANCELED : 0;
}

int seed_fork(struct cr *cr, const struct seed *seed)
{
	bool is_root = !seed->forker, is_sibling = is_root && cr->opts->restore_sibling;
	struct clone_args args = {
		.flags = CLONE_PARENT_SETTID | (shares_files(seed) ? CLONE_FILES : 0) |
			 (is_sibling ? CLONE_PARENT : 0),
		.parent_tid = (uintptr_t)seed_pid_slot(cr, seed),
		.exit_signal = is_sibling ? 0 : SIGCHLD,
	};
	pid_t pid = task_clone(cr, "fork", seed->pid, &args);

	if (pid == 0)
		process_run(cr, seed);
	return pid < 0 ? pid : 0;
}

/* ---- stage: fork ---- */

static int fork_children(struct cr *cr, const struct seed *seed, bool is_before_setsid)
{
	const struct seed *child;

	seed_for_each_child(child, seed)
	{
		int err;

		if (child->is_before_setsid != is_before_setsid)
			continue;
		err = seed_fork(cr, child);
		if (err < 0)
			return err;
	}
	return 0;
}

/*
 * The log goes where no descriptor of the tree is, so that it can be written until the restorer
 * closes it; and to a file of its own if that is asked for (--log-pid). Where the table is that of
 * the parent, its log has been moved already.
 */
static int open_own_log(struct cr *cr, const struct seed *seed)
{
	char name[4096];
	int fd, err;

	if (shares_files(seed))
		return 0;
	if (!cr->opts->log_pid || !cr->opts->log_file) {
		fd = fcntl(log_fd(cr->log), F_DUPFD_CLOEXEC, files_first_free_fd(cr));
		if (fd < 0)
			return log_err(cr, -errno, "log: duplicate its descriptor");
		log_set_fd(cr->log, fd);
		return 0;
	}
	snprintf(name, sizeof(name), "%s.%d", cr->opts->log_file, seed->pid);
	fd = openat(cr->work_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return log_err(cr, -errno, "log %s: create", name);
	err = fd_move_above(&fd, files_first_free_fd(cr));
	if (err < 0) {
		close(fd);
		return log_err(cr, err, "log %s: move its descriptor", name);
	}
	log_set_fd(cr->log, fd);
	return 0;
}

/* Its parent dies with the tool, and it with its parent; which may have happened just now. */
static void die_with_parent(struct cr *cr, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
}

/* Not if the parent is to exit, or is none of ours: then it finds out while it waits (stage_end()).
 */
static void die_with_forker(struct cr *cr, const struct seed *seed)
{
	if (seed->is_adopted ||
	    (!seed->forker && (cr->opts->restore_sibling || root_is_orphan(cr))))
		prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	else
		die_with_parent(cr, seed->forker ? seed->forker->pid : cr->restore->tool);
}

/* Here, not where it is forked: the tool may be killed in between, and this task go on. The start
 * time in the record is read by the clocks of those who will compare it. */
static int record_tree(struct cr *cr, const struct seed *root)
{
	int back, err = timens_visit(cr, &back), ret;

	if (err < 0)
		return err;
	err = undo_add_kill_tree(cr, root->pid);
	ret = timens_return(cr, back);
	return err < 0 ? err : ret;
}

static int process_begin(struct cr *cr, const struct seed *seed)
{
	int err = 0;

	log_set_pid(cr->log, seed->pid);
	die_with_forker(cr, seed);
	if (!seed->forker)
		err = record_tree(cr, seed);
	if (err < 0)
		return err;
	if (!shares_files(seed))
		guardian_leave(cr);
	err = open_own_log(cr, seed);
	if (err < 0)
		return err;
	if (prctl(PR_SET_CHILD_SUBREAPER, seed->adopts, 0, 0, 0) < 0)
		return log_err(cr, -errno, "pid %d: set whether it is a subreaper", seed->pid);
	plugins_enter_task(cr, seed->task && task_is_alive(seed->task) ? seed->task->pid : 0);
	if (!seed->task || !task_is_alive(seed->task))
		return 0;
	err = plugins_task_stage(cr, seed->task->pid, CRIU_STAGE_FORKED);
	return err ? err : mem_restore_inherit(cr, seed->task);
}

static int make_session(struct cr *cr, const struct seed *seed)
{
	if (seed->leads_session && setsid() < 0)
		return log_err(cr, -errno, "pid %d: make session %d", seed->pid, seed->sid);
	return 0;
}

static int fork_stage(struct cr *cr, const struct seed *seed)
{
	int err = process_begin(cr, seed);

	if (!err)
		err = fault_hit(cr, "task-fork");
	if (!err)
		err = fork_children(cr, seed, true);
	if (!err)
		err = make_session(cr, seed);
	if (!err)
		err = fork_children(cr, seed, false);
	if (err)
		return err;
	if (seed->leads_group && !seed->leads_session && setpgid(0, 0) < 0)
		return log_err(cr, -errno, "pid %d: lead process group %d", seed->pid, seed->pid);
	return 0;
}

/* ---- stage: groups ---- */

static int join_group(struct cr *cr, const struct seed *seed)
{
	if (seed->pgid != getpgrp() && setpgid(0, seed->pgid) < 0)
		return log_err(cr, -errno, "pid %d: join process group %d", seed->pid, seed->pgid);
	return 0;
}

/* Helpers that fork orphans exit in this stage, those that lead a group after it. */
static int reap_helpers(struct cr *cr, const struct seed *seed, bool are_midwives)
{
	const struct seed *child;

	seed_for_each_child(child, seed)
	{
		int status = 0;

		if (child->task || seed_is_midwife(child) != are_midwives)
			continue;
		while (waitpid(child->pid, &status, 0) < 0)
			if (errno != EINTR)
				return log_err(cr, -errno, "helper %d: wait for its exit",
					       child->pid);
		*seed_pid_slot(cr, child) = 0;
		if (status)
			return log_refuse(cr, -ECHILD, "helper %d: has failed, wait status %#x",
					  child->pid, status);
	}
	return 0;
}

static int check_place(struct cr *cr, const struct seed *seed)
{
	const struct task *parent = seed->task->parent;

	if (parent && getppid() != parent->pid)
		return log_refuse(cr, -ECHILD, "pid %d: is the child of %d, not of %d", seed->pid,
				  getppid(), parent->pid);
	if (getsid(0) != seed->sid || getpgrp() != seed->pgid)
		return log_refuse(cr, -EINVAL,
				  "pid %d: is in session %d, group %d, not in session %d, group %d",
				  seed->pid, getsid(0), getpgrp(), seed->sid, seed->pgid);
	return 0;
}

static int groups_stage(struct cr *cr, const struct seed *seed)
{
	int err = reap_helpers(cr, seed, true);

	/* Who leads a group for others joins its own one when they all are in. */
	if (!err && !seed->leads_group)
		err = join_group(cr, seed);
	if (err)
		return err;
	stage_end(cr, STAGE_GROUPS);
	err = seed->pgid != seed->pid ? join_group(cr, seed) : 0;
	if (!err)
		err = reap_helpers(cr, seed, false);
	if (!err)
		err = check_place(cr, seed);
	if (!err && seed->is_adopted)
		die_with_parent(cr, seed->task->parent->pid);
	return err;
}

/* ---- zombies and helpers ---- */

/* Ends the way the original did: with its exit status, or by its signal, without a core file. */
static void __attribute__((noreturn)) zombie_end(const struct task *task)
{
	const TaskCoreEntry *tc = task->threads[0].core->tc;
	int signo = (int)tc->exit_code & 0x7f;
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t set;

	prctl(PR_SET_NAME, tc->comm, 0, 0, 0);
	if (!signo)
		_exit((int)(tc->exit_code >> 8) & 0xff);

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	sigaction(signo, &standard, NULL);
	sigemptyset(&set);
	sigaddset(&set, signo);
	kill(getpid(), signo);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	/* It was none that kills. */
	signal(SIGABRT, SIG_DFL);
	sigaddset(&set, SIGABRT);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), SIGABRT);
	_exit(1);
}

static void __attribute__((noreturn)) helper_run(struct cr *cr, const struct seed *seed)
{
	stage_end(cr, STAGE_FORK);
	if (!seed_is_midwife(seed))
		stage_end(cr, STAGE_GROUPS);
	_exit(0);
}

/* ---- stages: files, memory ---- */

static int restore_parts(struct cr *cr, struct task *task)
{
	for (const struct task_part *const *part = task_parts; *part; part++) {
		int err = (*part)->restore ? (*part)->restore(cr, task) : 0;

		if (err < 0)
			return err;
	}
	return 0;
}

static int files_stage(struct cr *cr, struct task *task)
{
	int err = fault_hit(cr, "task-files");

	if (!err)
		err = plugins_task_stage(cr, task->pid, CRIU_STAGE_FILES);
	/* /proc is where we expect it as long as the root has not changed. */
	if (!err)
		err = restore_parts(cr, task);
	return err ? err : files_restore_task(cr, task);
}

/* The C library's registration, which the kernel would write to when its memory is gone. */
static int unregister_rseq(struct cr *cr)
{
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (!__rseq_size)
		return 0;
	/* What was registered is the structure as it began, 32 bytes, or all that later kernels
	 * have. */
	if (syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0 ||
	    syscall(SYS_rseq, area, __rseq_size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0)
		return 0;
	return log_err(cr, -errno, "rseq: unregister our own area");
}

static int mappings_stage(struct cr *cr, struct task *task)
{
	int err = plugins_task_stage(cr, task->pid, CRIU_STAGE_MAPPINGS);

	return err ? err : mem_restore_devices(cr, task);
}

static int memory_stage(struct cr *cr, struct task *task)
{
	int err = fault_hit(cr, "task-memory");

	if (!err)
		err = mem_restore_fill(cr, task);
	if (!err)
		err = area_put_args(cr, task);
	if (!err)
		err = files_restore_fs(cr, task);
	return err ? err : unregister_rseq(cr);
}

static void __attribute__((noreturn)) task_run(struct cr *cr, struct task *task)
{
	const struct restore *restore = cr->restore;

	if (files_stage(cr, task) < 0)
		stage_fail(cr);
	stage_end(cr, STAGE_FILES);
	if (plugins_are_active(cr)) {
		if (mappings_stage(cr, task) < 0)
			stage_fail(cr);
		stage_end(cr, STAGE_MAPPINGS);
		plugins_leave_meeting(cr);
	}
	if (memory_stage(cr, task) < 0)
		stage_fail(cr);
	log_debug(cr, "task: goes on in the restorer");
	registers_enter_blob(restore->entry, restore->stacks + restore->stack_size, restore->args);
}

static void process_run(struct cr *cr, const struct seed *seed)
{
	if (fork_stage(cr, seed) < 0)
		stage_fail(cr);
	if (!seed->task)
		helper_run(cr, seed);
	stage_end(cr, STAGE_FORK);
	if (groups_stage(cr, seed) < 0)
		stage_fail(cr);
	if (!task_is_alive(seed->task))
		zombie_end(seed->task);
	task_run(cr, seed->task);
}
