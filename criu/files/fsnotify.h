/* SPDX-License-Identifier: GPL-2.0-only */
/* What inotify and fanotify have in common: an inode that is watched, and a path to it. */
#ifndef CRIU_FILES_FSNOTIFY_H
#define CRIU_FILES_FSNOTIFY_H

#include <stdint.h>

struct cr;
struct task;
struct fdinfo_handle;
struct FhEntry;

/*
 * Dump: the message for an inode that is watched on the filesystem sdev (kernel's packing): its
 * handle, and a path that leads to it. who begins messages. The caller frees it with
 * fsnotify_handle_free().
 */
int fsnotify_handle_new(struct cr *cr, const struct task *task, const char *who, uint32_t sdev,
			uint64_t ino, const struct fdinfo_handle *handle, struct FhEntry **ret);
void fsnotify_handle_free(struct FhEntry *entry);
/*
 * Restore: an O_PATH descriptor of the inode: by the path of the message, among the ghosts, or by
 * the handle on a mount of sdev.
 */
int fsnotify_open_target(struct cr *cr, const char *who, uint32_t sdev, uint64_t ino,
			 const struct FhEntry *entry, int *ret_fd);

#endif
