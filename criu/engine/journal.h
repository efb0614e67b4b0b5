/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The undo journal on disk: /run/criu/PID-STARTTIME.journal (CRIU_RUN_DIR, or for others than root
 * $XDG_RUNTIME_DIR/criu or /tmp/criu-UID). A header says whose it is; a record is the name of a
 * kind of engine/undo.c and its fields, all text, under a checksum. Records are appended with one
 * write(2) each and never changed.
 */
#ifndef CRIU_ENGINE_JOURNAL_H
#define CRIU_ENGINE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compel/base/cleanup.h"

/* Records that say something about the journal itself. */
#define JOURNAL_FORGET "forget" /* field: id of the record that is not to be undone (any more) */
#define JOURNAL_COMMIT "commit" /* nothing before it is to be undone */

#define JOURNAL_SUFFIX     ".journal"
#define JOURNAL_NAME_MAX   64
#define JOURNAL_FIELDS_MAX 8
#define JOURNAL_RECORD_MAX 65536

/* Bytes of the file that are locked (fcntl) by the tool, and by whoever undoes or stands by to. */
#define JOURNAL_LOCK_TOOL 0
#define JOURNAL_LOCK_UNDO 1

struct journal_record {
	uint32_t id;
	uint64_t time_ns; /* CLOCK_REALTIME, as coarse as file times are */
	const char *kind;
	const char *fields[JOURNAL_FIELDS_MAX];
	size_t n_fields;
};

struct journal {
	pid_t pid;          /* whose it is */
	uint64_t starttime; /* its start, in clock ticks since boot */
	uint32_t pid_ns;   /* inode of the namespace that its pids are of, 0 if that is not known */
	bool is_this_boot; /* else its pids mean nothing any more */
	bool is_torn;      /* something unreadable follows the records */
	/* What is to be undone, oldest first. */
	struct journal_record *records;
	size_t n_records;
	char *text; /* holds the strings */
};

/* The run directory, made if need be (create). Refuses one that others can write to. fd or -errno.
 */
int journal_dir_open(bool create);

/*
 * Makes the journal of this process in dirfd, header written and locked. Its fd or -errno. It has
 * no name yet, where the file system allows that (*ret_is_linked): journal_link() gives it the one
 * it is to have, before its first record, so that a run which leaves nothing behind does not leave
 * an empty journal.
 */
int journal_create(int dirfd, char ret_name[JOURNAL_NAME_MAX], bool *ret_is_linked);
int journal_link(int fd, int dirfd, const char *name);
/* The same in memory, for systems without a place to write to. */
int journal_create_in_memory(void);

/* 0, or -errno: then the record does not count. */
int journal_append(int fd, uint32_t id, const char *kind, const char *const *fields,
		   size_t n_fields);

/* 0, -EBADMSG if that is no journal, or -errno. What follows a damaged record is not believed. */
int journal_load(int fd, struct journal **ret);
void journal_free(struct journal *journal);
DEFINE_CLEANUP(struct journal *, journal_free)
#define _cleanup_journal_ _cleanup_(journal_free_at)

/* Is it the name of a journal? */
bool journal_is_name(const char *name);
/* Does the process that writes it live? */
bool journal_is_run_alive(const struct journal *journal);

/*
 * Removes journals of dead runs that leave nothing to undo: of one that was killed, with its
 * guardian, between its end and the removal of its journal. What cannot be judged is let be.
 */
void journal_sweep(int dirfd);

/* Tries for timeout_ms to lock a byte of the journal. 0, -EAGAIN if another process has it, or
 * -errno. */
int journal_lock(int fd, off_t which, int timeout_ms);

/* The start time of a process in clock ticks since boot, 0 if there is none (a zombie is none). */
uint64_t journal_starttime(pid_t pid);

/* The inode of the pid namespace of a process, 0 if there is no such process. */
uint32_t journal_pid_ns(pid_t pid);

#endif
