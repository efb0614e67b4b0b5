/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * criu recover: undoes, from the journals in the run directory, what runs have left that were
 * killed together with their guardian. A journal is left alone while its tool lives (it holds a
 * lock on it; pid and start time are compared as well), and waited for while a guardian undoes it.
 * One that was written in another pid namespace is refused, since what it names cannot be found.
 * Nothing else of the dead run is needed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/engine.h"
#include "engine/journal.h"
#include "engine/undo.h"
#include "util/log.h"

#define GUARDIAN_TIMEOUT_MS 30000
/* The inode that the kernel gives it (PROC_PID_INIT_INO). */
#define PID_NS_INITIAL 0xeffffffcU

static void told(void *arg, const struct journal_record *record, int ret)
{
	undo_log(arg, LOG_MESSAGE, record, ret);
}

/* 0 when the journal is ours to undo, 1 when there is nothing (any more) to do, or -errno, logged.
 */
static int journal_claim(struct cr *cr, int fd, const char *name)
{
	struct stat st;
	int err;

	err = journal_lock(fd, JOURNAL_LOCK_TOOL, 0);
	if (err == -EAGAIN) {
		log_msg(cr, "%s: its run is alive, left alone", name);
		return 1;
	}
	if (err < 0)
		return log_err(cr, err, "%s: lock", name);
	err = journal_lock(fd, JOURNAL_LOCK_UNDO, GUARDIAN_TIMEOUT_MS);
	if (err < 0)
		return log_err(cr, err, "%s: another process is undoing it", name);
	if (fstat(fd, &st) < 0)
		return log_err(cr, -errno, "%s: stat", name);
	/* Whoever had the lock before us did it. */
	return st.st_nlink == 0;
}

/* A process in that pid namespace, by our number of it; 0 if we see none. */
static pid_t pid_ns_member(uint32_t pid_ns)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtoul(entry->d_name, NULL, 10);

		if (pid > 0 && journal_pid_ns(pid) == pid_ns)
			return pid;
	}
	return 0;
}

/*
 * The pids of a run in another pid namespace mean nothing here: what it has left there would pass
 * for gone. In the initial namespace we see whoever lives: there, a namespace without members is
 * gone, and its processes with it.
 */
static int pid_ns_check(struct cr *cr, const struct journal *journal, const char *name)
{
	uint32_t own = journal_pid_ns(getpid());
	pid_t member;

	if (!journal->is_this_boot || !journal->pid_ns || !own || journal->pid_ns == own)
		return 0;
	member = pid_ns_member(journal->pid_ns);
	if (!member && own == PID_NS_INITIAL)
		return 0;
	log_refuse(cr, -EXDEV, "%s: is of process %d of another pid namespace, left alone", name,
		   journal->pid);
	if (member)
		log_remedy(cr, "run criu recover in there: nsenter -t %d -p -m -r criu recover",
			   member);
	else
		log_remedy(cr, "run criu recover in that namespace, or outside of all containers");
	return -EXDEV;
}

static int journal_recover(struct cr *cr, int dirfd, const char *name)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_journal_ struct journal *journal = NULL;
	size_t n_failed;
	int ret;

	if (fd < 0)
		return errno == ENOENT ? 0 : log_err(cr, -errno, "%s: open", name);
	ret = journal_claim(cr, fd, name);
	if (ret)
		return ret < 0 ? ret : 0;
	ret = journal_load(fd, &journal);
	if (ret < 0 && ret != -EBADMSG)
		return log_err(cr, ret, "%s: read", name);
	if (ret == -EBADMSG) {
		/* Killed as it began: there is no record without a header. */
		log_warn(cr, "%s: holds nothing that can be read, removed", name);
		unlinkat(dirfd, name, 0);
		return 0;
	}
	ret = pid_ns_check(cr, journal, name);
	if (ret < 0)
		return ret;
	if (journal_is_run_alive(journal)) {
		log_msg(cr, "%s: process %d is alive, left alone", name, journal->pid);
		return 0;
	}
	if (journal->is_torn)
		log_warn(cr, "%s: its end is damaged; undoing what precedes it", name);

	log_msg(cr, "%s: %zu records of process %d", name, journal->n_records, journal->pid);
	n_failed = undo_journal(fd, NULL, journal, told, cr);
	if (n_failed)
		return log_refuse(cr, -EIO, "%s: %zu records could not be undone, it stays", name,
				  n_failed);
	if (unlinkat(dirfd, name, 0) < 0)
		return log_err(cr, -errno, "%s: remove", name);
	return 0;
}

static int is_journal(const struct dirent *entry)
{
	return journal_is_name(entry->d_name);
}

int engine_recover(struct cr *cr)
{
	_cleanup_close_ int dirfd = journal_dir_open(false);
	struct dirent **names = NULL;
	int n, ret = 0;

	if (dirfd == -ENOENT) {
		log_msg(cr, "nothing to recover");
		return 0;
	}
	if (dirfd < 0)
		return log_err(cr, dirfd, "run directory: open");
	n = scandirat(dirfd, ".", &names, is_journal, alphasort);
	if (n < 0)
		return log_err(cr, -errno, "run directory: list");
	if (!n)
		log_msg(cr, "nothing to recover");
	for (int i = 0; i < n; i++) {
		int err = journal_recover(cr, dirfd, names[i]->d_name);

		if (err < 0)
			ret = err;
		free(names[i]);
	}
	free(names);
	return ret;
}
