/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the records of an undo journal mean: one table of kinds, each a function of nothing but the
 * record's fields, since it may run in the guardian or, much later, in `criu recover`. Each is
 * idempotent: what is gone already was undone.
 */
#ifndef CRIU_ENGINE_UNDO_H
#define CRIU_ENGINE_UNDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cr;
struct journal;
struct journal_record;

/* Directories by device and inode, for those whose path may not lead to them from here. */
struct undo_dirs {
	struct {
		uint64_t dev, ino;
		int fd;
	} dirs[64];
	size_t n;
};

struct undo_context {
	const struct undo_dirs *dirs; /* may be NULL */
	bool is_this_boot;            /* else processes and mounts are gone */
	const struct journal_record *record;
};

/* Of a record whose directory is not where it was: gone, as far as can be seen, but it may have
 * been moved, or be hidden by a mount. */
#define UNDO_NO_DIR 1

/* Says what became of a record: ret is 0, UNDO_NO_DIR or -errno. */
typedef void (*undo_told)(void *arg, const struct journal_record *record, int ret);

/* Takes back one record. 0, UNDO_NO_DIR or -errno; says nothing. */
int undo_record(const struct undo_dirs *dirs, bool is_this_boot,
		const struct journal_record *record);

/*
 * Takes back all of the journal, the newest first but for trees that are to be killed, which go
 * before all else; goes on past what fails, and notes in the
 * journal (fd) what is done. Returns how many records failed. told may be NULL.
 */
size_t undo_journal(int fd, const struct undo_dirs *dirs, const struct journal *journal,
		    undo_told told, void *arg);

/* Logs what became of a record: what was done at that level (enum log_level). */
void undo_log(struct cr *cr, int level, const struct journal_record *record, int ret);

/* Keeps a duplicate of fd unless the directory is there already; full or failing, it does without.
 * True if kept anew. */
bool undo_dirs_add(struct undo_dirs *dirs, uint64_t dev, uint64_t ino, int fd);
void undo_dirs_close(struct undo_dirs *dirs);

/*
 * Opens, with O_PATH, the nearest directory above dirfd/name that is there: what a record of the
 * name is to be tied to, be dirfd what it may. ret_rest points into name: what is below. fd or
 * -errno; says nothing.
 */
int undo_parent_open(int dirfd, const char *name, const char **ret_rest);

/* The id of the mount that path is on top of, 0 if there is nothing at path. */
uint64_t undo_mount_id(const char *path);

#endif
