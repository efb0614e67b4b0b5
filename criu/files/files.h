/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Open file descriptions of the tree and the descriptor tables that refer to them. See file-kind.h
 * for kinds; here is what the engine and the other modules call.
 */
#ifndef CRIU_FILES_FILES_H
#define CRIU_FILES_FILES_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "files/file-kind.h"

struct image;
struct plugin_class;

/* A descriptor table: one for each files_id, shared by tasks that were cloned with CLONE_FILES. */
struct fd_table {
	uint32_t id;             /* files_id */
	struct task *task;       /* first task (in tree order) that has it */
	struct file_holder *fds; /* ascending fd */
	size_t n_fds;
	struct fd_facts *facts; /* dump: one a descriptor, as fds */
	struct fd_list *list;   /* dump: texts of the facts */
};

/* --- dump --- */

/* Lists the descriptors of a frozen task into task->fds (facts only). Any worker thread; no ptrace.
 */
int files_collect_task(struct cr *cr, struct task *task);
/*
 * Before anything is touched: refuses a file or mapping of a running process that two classes of
 * plugins claim (G2), where plugins_may_dispute(). What vanishes meanwhile, the process too, is
 * nothing. 0 or -errno, logged.
 */
int files_look(struct cr *cr, pid_t pid);
/* When all tasks are collected: finds shared descriptions, kinds, ids; runs the kinds' collect. */
int files_collect(struct cr *cr);
/*
 * The id of a file that is not a descriptor: name is below /proc/<pid> ("exe", "cwd", "root",
 * "map_files/a-b"), opened for the mapping with flags. Descriptions known already by (dev, ino,
 * mnt) and path may be reused, but not for directories. Any time after files_collect().
 */
int files_add_link(struct cr *cr, struct task *task, const char *name, uint32_t flags,
		   uint32_t *ret_id);
/*
 * Does a plugin own the file mapped as name ("map_files/a-b", opened with the access mode flags)?
 * *ret_id is left alone if none does; else it is that of an entry for its path, which restore falls
 * back to where the plugin gives no descriptor. *ret_class is NULL for one of the v0.2 interface.
 * Tracing thread, after files_collect().
 */
int files_claim_link(struct cr *cr, struct task *task, const char *name, uint32_t flags,
		     struct plugin_class **ret_class, uint32_t *ret_id, struct stat *ret_st);
/* How the file of a mapping was opened, from the lstat(2) of its link in map_files. */
uint32_t files_mapped_mode(const struct stat *link);
/* Shows plugins of the v0.2 interface the files that nobody else takes, in tree order. Refuses one
 * that none of them takes. */
int files_dump_legacy(struct cr *cr);
/* Writes files.img, fdinfo-N.img, fs-N.img and what belongs to them. */
int files_dump(struct cr *cr);
/* The tree is about to be killed: links that the dump has made for it stay, whatever happens. */
void files_keep_links(struct cr *cr);
/* The file with that id, or NULL. */
struct file *file_find(struct cr *cr, uint32_t id);
/*
 * A regular-file entry for the path behind a file of another kind (fifo, terminal, tun): a new file
 * of kind "reg" with its own id, taken from the same facts, with these flags and position.
 */
int files_add_path_of(struct cr *cr, const struct file *file, uint32_t flags, uint64_t pos,
		      uint32_t *ret_id);
/* An image that several files write payload to (IMAGE_PIPES_DATA, …): opened by the first, closed
 * by the engine. */
int files_image(struct cr *cr, int kind, struct image **ret);
/* The id of the description that descriptor fd of a task of the tree has, or 0. */
uint32_t files_id_of_fd(struct cr *cr, const struct task *task, int fd);
/* On dump: a duplicate of the description in our own table (pidfd_getfd, or opened through /proc
 * for mappings). */
int file_borrow_fd(struct cr *cr, const struct file *file, int *ret_fd);

/* --- restore --- */

/* Reads files.img and everything that belongs to it; settles the order. In the coordinator, before
 * any process exists. */
int files_load(struct cr *cr);
void file_add_need(struct file *file, struct file *needed);
/*
 * The descriptor that --inherit-fd names for key ("pipe:[123]", "file[1:2f]", a path without its
 * first slash), in the tool's range; -ENOENT if there is none. The caller duplicates it.
 */
int files_inherited(struct cr *cr, const char *key);
/*
 * In the process of the owner, from a kind's restore: a descriptor (any number) that others need to
 * build theirs (the other end of a pipe). It is moved to the tool's range, kept until the blob
 * starts, and is open for others through file_shared_path(). One that user, which may be NULL, will
 * take goes to the number of user instead if both have the same owner. Takes fd.
 */
int file_keep_extra(struct cr *cr, struct file *file, struct file *user, int fd);
/* "/proc/PID/fd/N" of that descriptor, or (is_main) of the description itself in its owner; file
 * must be one of the needs. */
int file_shared_path(const struct file *file, bool is_extra, char *ret, size_t size);
/* How many descriptions that are not a plugin's the task with that pid makes. */
uint32_t files_count_made(struct cr *cr, pid_t pid);
/* In the coordinator, just before the first fork: memory shared by the tasks. */
int files_prepare(struct cr *cr);
/* In the task's process: opens what it owns in the settled order, takes the rest from other tasks,
 * places descriptors. */
int files_restore_task(struct cr *cr, struct task *task);
/* In the task's process: opens file id anew for a mapping, executable, working directory… with
 * these flags. The caller closes. */
int files_open(struct cr *cr, struct task *task, uint32_t id, uint32_t flags, int *ret_fd);
/* The path of the file with that id, or "" where it has none. */
const char *files_path_of(struct cr *cr, uint32_t id);
/* cwd, root, umask of the task's process. After its files, before the blob. */
int files_restore_fs(struct cr *cr, struct task *task);
/* In the coordinator, when all tasks have passed their file stage: removes ghosts and other
 * temporary names. */
int files_finish(struct cr *cr);
/* In the coordinator, when all tasks are held and nothing is left to do but to let them run. */
int files_resume(struct cr *cr);
/*
 * When nothing can fail any more: removes the links that the dump has made. Not before, for without
 * them the images cannot be restored again.
 */
void files_remove_links(struct cr *cr);
/*
 * In the coordinator, from a kind's prepare: a process that does nothing until files_finish(), with
 * this pid (0: any), for what needs one to be opened (files of /proc of a dead task, a pidfd of
 * one). Its pid, or -errno, logged.
 */
pid_t files_start_helper(struct cr *cr, pid_t pid);
/* The lowest number that no descriptor of the tree has: the tool's own descriptors stay at and
 * above it on restore. */
int files_first_free_fd(struct cr *cr);

void files_free(struct cr *cr);

#endif
