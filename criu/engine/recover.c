/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * criu recover: undoes, from the journals in the run directory, what runs have left that were
 * killed together with their guardian. A journal is left alone while its tool lives (it holds a
 * lock on it; pid and start time are compared as well), and waited for while a guardian undoes it.
 * Nothing else of the dead run is needed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

static void told(void *arg, const struct journal_record *record, int err)
{
	struct cr *cr = arg;
	char text[512];

	undo_describe(record, text, sizeof(text));
	if (err < 0)
		log_err(cr, err, "%s", text);
	else
		log_msg(cr, "%s: done", text);
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
