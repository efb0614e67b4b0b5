/* SPDX-License-Identifier: GPL-2.0-only */
/* /proc/PID/mountinfo: the mounts that a task's mount namespace has below its root, in the order of
 * the kernel. */
#ifndef CRIU_KERNEL_MOUNTINFO_H
#define CRIU_KERNEL_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Texts are unescaped and live as long as the list. */
struct mount_facts {
	int32_t mnt_id, parent_mnt_id;
	uint32_t dev_major, dev_minor; /* of the superblock */
	const char *root;              /* within the filesystem; also "net:[4026531840]" and such */
	bool is_root_deleted;          /* root ended with "//deleted", which is taken away */
	const char *mountpoint;        /* relative to the task's root */
	const char *options;           /* of the mount: "rw,nosuid,…" */
	int32_t shared, master, propagate_from; /* peer group ids; 0: none */
	bool unbindable;
	const char *fstype, *subtype; /* "fuse", "sshfs"; subtype NULL: none */
	const char *source;
	const char
		*sb_options; /* of the superblock, still escaped: a comma may be part of a value */
};

struct mount_list {
	char *text;
	struct mount_facts *items;
	size_t n;
};

/* dir: a descriptor of /proc/PID. */
int mountinfo_read(int dir, struct mount_list *ret);
int mountinfo_parse(const char *text, size_t size, struct mount_list *ret);
void mount_list_release(struct mount_list *list);
/* NULL if there is none. */
const struct mount_facts *mount_list_find(const struct mount_list *list, int32_t mnt_id);

#endif
