/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Do two tasks share a kernel object? kcmp(2) compares two at a time and gives an order, so that
 * what is shared among many is found with a sorted tree per kind, and each object gets a number
 * from 1 (images.md, 2). A key known without asking (device and inode of a file) splits the tree
 * first: objects with different keys are never compared.
 */
#ifndef CRIU_KERNEL_KCMP_H
#define CRIU_KERNEL_KCMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The kernel's numbers. */
enum kcmp_kind {
	KCMP_KIND_FILE = 0,
	KCMP_KIND_VM = 1,
	KCMP_KIND_FILES = 2,
	KCMP_KIND_FS = 3,
	KCMP_KIND_SIGHAND = 4,
	KCMP_KIND_IO = 5,
	KCMP_KIND_SYSVSEM = 6,
};

/* 0 equal, 1 less, 2 greater, 3 different without order; or -errno. index1 and index2 are
 * descriptors for KCMP_KIND_FILE, else 0. */
int kcmp_compare(pid_t pid1, pid_t pid2, enum kcmp_kind kind, unsigned int index1,
		 unsigned int index2);
/* The file behind descriptor fd of pid1 and target number target of its epoll descriptor epfd: 0
 * equal, 1, 2, 3, or -errno. toff tells targets of the same number apart, from 0. */
int kcmp_epoll_target(pid_t pid1, int fd, pid_t pid2, int epfd, int target, uint32_t toff);

struct kcmp_ids;

/* first: the first number it gives, 1 for images. */
struct kcmp_ids *kcmp_ids_new(enum kcmp_kind kind, uint32_t first);
void kcmp_ids_free(struct kcmp_ids *ids);

/*
 * The number of the object of pid (descriptor index for files); a new one if nobody had it before,
 * then *ret_is_new is true (may be NULL). key: what is known to differ between different objects
 * only if it differs, 0 if nothing is. The tasks must stay as they are
 * for as long as ids is used. 0 or -errno.
 */
int kcmp_ids_get(struct kcmp_ids *ids, pid_t pid, unsigned int index, uint64_t key,
		 uint32_t *ret_id, bool *ret_is_new);
/* A number for an object that needs no comparing (files without a descriptor). */
uint32_t kcmp_ids_take(struct kcmp_ids *ids);
/* The number of the file that target tfd of epoll descriptor epfd of pid leads to (key as it was
 * given for it), or 0 if no task had it. -errno. */
int kcmp_ids_find_epoll_target(struct kcmp_ids *ids, pid_t pid, int epfd, int tfd, uint32_t toff,
			       uint64_t key, uint32_t *ret_id);
/* How often kcmp(2) was called: for tests and statistics. */
uint64_t kcmp_ids_n_calls(const struct kcmp_ids *ids);

#endif
