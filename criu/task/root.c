// SPDX-License-Identifier: GPL-2.0-only
/*
 * May the tree below this pid be dumped? What rules it out from the start is found here, before
 * anything was touched: there is no such process, it is dead, a kernel thread, a thread and no
 * process, this tool itself or one of its ancestors (which would wait for ever for what they
 * stopped), it is traced by somebody, it is not ours to trace, or its session began outside of the
 * tree.
 */
#include "task/dump-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "kernel/proc.h"
#include "options.h"
#include "task/dump.h"
#include "util/log.h"

#define PF_KTHREAD_FLAG 0x00200000u

/* Is pid an ancestor of this process? Ends at the first process of the pid namespace, or where
 * /proc hides the rest. */
static bool is_ancestor(pid_t pid)
{
	pid_t at = getppid();

	while (at > 0) {
		_cleanup_close_ int dir = -1;
		struct proc_stat stat;

		if (at == pid)
			return true;
		dir = proc_open(at);
		if (dir < 0 || proc_read_stat(dir, &stat) < 0)
			return false;
		at = stat.ppid;
	}
	return false;
}

static int check_kind(struct cr *cr, pid_t pid, const struct proc_stat *stat,
		      const struct proc_status *status)
{
	int err;

	if (status->tgid != pid) {
		err = log_refuse(cr, -EINVAL, "pid %d: is a thread of process %d", pid,
				 status->tgid);
		log_remedy(cr, "give --tree %d", status->tgid);
		return err;
	}
	if (stat->state == 'Z' && stat->num_threads > 1)
		return log_refuse(cr, -EOPNOTSUPP,
				  "pid %d: its main thread has exited while others go on", pid);
	if (stat->state == 'Z' || stat->state == 'X') {
		err = log_refuse(cr, -ESRCH, "pid %d: is a zombie: it has ended already", pid);
		log_remedy(cr, "give the pid of a process that is alive");
		return err;
	}
	if (status->is_kthread || stat->flags & PF_KTHREAD_FLAG) {
		err = log_refuse(cr, -EINVAL, "pid %d: is a kernel thread", pid);
		log_remedy(cr, "only processes of programs can be dumped");
		return err;
	}
	return 0;
}

static int check_relation(struct cr *cr, pid_t pid)
{
	int err;

	if (pid == getpid()) {
		err = log_refuse(cr, -EINVAL, "pid %d: is this tool itself", pid);
		log_remedy(cr, "give the pid of another process");
		return err;
	}
	if (is_ancestor(pid)) {
		err = log_refuse(cr, -EINVAL, "pid %d: is an ancestor of this tool", pid);
		log_remedy(cr, "start the tool from outside of the tree, for example with "
			       "setsid(1) from another shell");
		return err;
	}
	return 0;
}

static int check_tracer(struct cr *cr, pid_t pid, pid_t tracer)
{
	_cleanup_close_ int dir = proc_open(tracer);
	char comm[PROC_COMM_LEN] = "?";
	int err;

	if (dir >= 0)
		(void)proc_read_comm(dir, comm);
	err = log_refuse(cr, -EBUSY, "pid %d: is traced by pid %d (%s)", pid, tracer, comm);
	log_remedy(cr, "end the debugger or tracer first");
	return err;
}

/* How often, every millisecond, a process is looked at again that is in the middle of execve(2). */
#define EXEC_TRIES 100
/* The same for what looks like the death of the whole process. */
#define DEATH_TRIES 10

static void pause_ms(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/*
 * While a thread other than the main one executes a program, the main one is dead for a moment,
 * before the new one takes its place. A main thread that has just exited looks the same, but stays
 * so.
 */
static int read_stat(int dir, struct proc_stat *ret)
{
	int err = proc_read_stat(dir, ret), n_dead = 0;

	for (int i = 0; i < EXEC_TRIES && n_dead < DEATH_TRIES; i++) {
		if (err < 0 || (ret->state != 'Z' && ret->state != 'X'))
			break;
		n_dead = ret->state == 'Z' && ret->num_threads == 1 ? n_dead + 1 : 0;
		pause_ms();
		err = proc_read_stat(dir, ret);
	}
	return err;
}

/* /proc/PID/mem opens for who may attach with ptrace(2), and for nobody else; to open it changes
 * nothing. */
static int check_permission(struct cr *cr, pid_t pid, int dir)
{
	int fd = -1, err = -ESRCH;

	for (int i = 0; i < EXEC_TRIES && err == -ESRCH; i++) {
		if (i)
			pause_ms();
		fd = openat(dir, "mem", O_RDONLY | O_CLOEXEC);
		err = fd < 0 ? -errno : 0;
	}
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	err = log_err(cr, err, "pid %d: may not be traced", pid);
	log_remedy(cr, "run as root, or as the owner of the process with CAP_CHECKPOINT_RESTORE "
		       "and CAP_SYS_PTRACE");
	return err;
}

static int check_session(struct cr *cr, pid_t pid, const struct proc_stat *stat)
{
	int err;

	if (cr->opts->shell_job || stat->session == pid)
		return 0;
	err = log_refuse(cr, -EINVAL, "pid %d: is not the leader of its session (%d)", pid,
			 stat->session);
	log_remedy(cr, "give --shell-job, or start the program with setsid(1)");
	return err;
}

static int check_namespaces(struct cr *cr, pid_t pid, int dir)
{
	uint64_t theirs[NS_INDEXES];

	/* What cannot be read now is looked at again when the task stands still. */
	return namespaces_read(dir, theirs) < 0 ? 0 : namespaces_check(cr, pid, theirs);
}

int root_check(struct cr *cr, pid_t pid)
{
	_cleanup_close_ int dir = proc_open(pid);
	struct proc_status status = {0};
	struct proc_stat stat;
	int err;

	if (pid <= 0)
		return log_refuse(cr, -EINVAL, "pid %d: is no pid", pid);
	err = dir < 0 ? dir : read_stat(dir, &stat);
	if (err == -ESRCH || err == -ENOENT) {
		err = log_refuse(cr, -ESRCH, "pid %d: there is no such process", pid);
		log_remedy(cr, "give the pid of a process that is alive");
		return err;
	}
	if (err == 0)
		err = proc_read_status(dir, &status);
	if (err < 0)
		return log_err(cr, err, "pid %d: read its state", pid);

	err = check_kind(cr, pid, &stat, &status);
	if (err == 0)
		err = check_relation(cr, pid);
	if (err == 0 && status.tracer_pid)
		err = check_tracer(cr, pid, status.tracer_pid);
	if (err == 0)
		err = check_permission(cr, pid, dir);
	if (err == 0)
		err = check_namespaces(cr, pid, dir);
	if (err == 0)
		err = check_session(cr, pid, &stat);
	proc_status_release(&status);
	return err;
}
