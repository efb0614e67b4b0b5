/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Open file descriptions of the tree and the descriptor tables that refer to them. See file-kind.h for kinds; here is what
 * the engine and the other modules call.
 */
#ifndef CRIU_FILES_FILES_H
#define CRIU_FILES_FILES_H

#include <stdint.h>
#include <sys/stat.h>

#include "files/file-kind.h"

/* A descriptor table: one for each files_id, shared by tasks that were cloned with CLONE_FILES. */
struct fd_table {
	uint32_t id;              /* files_id */
	struct task *task;        /* first task that has it */
	struct file_holder **fds; /* ascending fd */
	size_t n_fds;
};

/* --- dump --- */

/* Lists the descriptors of a frozen task into task->fds (facts only). Any worker thread; no ptrace. */
int files_collect_task(struct cr *cr, struct task *task);
/* When all tasks are collected: finds shared descriptions, kinds, ids; runs the kinds' collect. */
int files_collect(struct cr *cr);
/*
 * The id of a file that is not a descriptor: name is below /proc/<pid> ("exe", "cwd", "root", "map_files/a-b"), opened for the
 * mapping with flags. Descriptions known already by (dev, ino, mnt) and path may be reused. Any time after files_collect().
 */
int files_add_link(struct cr *cr, struct task *task, const char *name, uint32_t flags, uint32_t *ret_id);
/* Writes files.img, fdinfo-N.img, fs-N.img and what belongs to them. */
int files_dump(struct cr *cr);
/* The file with that id, or NULL. */
struct file *file_find(struct cr *cr, uint32_t id);
/* On dump: a duplicate of the description in our own table (pidfd_getfd, or opened through /proc for mappings). */
int file_borrow_fd(struct cr *cr, const struct file *file, int *ret_fd);

/* --- restore --- */

/* Reads files.img and everything that belongs to it; settles the order. In the coordinator, before any process exists. */
int files_load(struct cr *cr);
void file_add_need(struct file *file, struct file *needed);
/* In the coordinator, just before the first fork: memory shared by the tasks. */
int files_prepare(struct cr *cr);
/* In the task's process: opens what it owns in the settled order, takes the rest from other tasks, places descriptors. */
int files_restore_task(struct cr *cr, struct task *task);
/* In the task's process: opens file id anew for a mapping, executable, working directory… with these flags. The caller closes. */
int files_open(struct cr *cr, struct task *task, uint32_t id, uint32_t flags, int *ret_fd);
/* cwd, root, umask of the task's process. After its files, before the blob. */
int files_restore_fs(struct cr *cr, struct task *task);
/* In the coordinator, when all tasks have passed their file stage: removes ghosts and other temporary names. */
int files_finish(struct cr *cr);
/* The lowest number that no descriptor of the tree has: the tool's own descriptors stay at and above it on restore. */
int files_first_free_fd(struct cr *cr);

void files_free(struct cr *cr);

#endif
