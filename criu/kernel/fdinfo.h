/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /proc/PID/fdinfo/N: position, flags, mount, inode of an open file, and what each kind of
 * anonymous file adds. Result: the common part, the counters of kinds that have a single set, and a
 * list of tagged items for what repeats (watches, targets, marks, locks).
 */
#ifndef CRIU_KERNEL_FDINFO_H
#define CRIU_KERNEL_FDINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "kernel/locks.h"

/* What was seen; a set. */
enum fdinfo_has {
	FDINFO_INO = 1 << 0,
	FDINFO_EVENTFD = 1 << 1,
	FDINFO_SIGNALFD = 1 << 2,
	FDINFO_TIMERFD = 1 << 3,
	FDINFO_PIDFD = 1 << 4,
	FDINFO_FANOTIFY = 1 << 5,
	FDINFO_SCM = 1 << 6,
	FDINFO_BPF_MAP = 1 << 7,
	FDINFO_BPF_PROG = 1 << 8,
	FDINFO_TTY = 1 << 9,
	FDINFO_EVENTFD_ID = 1 << 10,
	FDINFO_SEMAPHORE = 1 << 11,
	FDINFO_TUN = 1 << 12,
	FDINFO_MNT_ID = 1 << 13,
	FDINFO_DMABUF = 1 << 14,
};

enum fdinfo_kind {
	FDINFO_EPOLL_TARGET,
	FDINFO_INOTIFY_WATCH,
	FDINFO_FANOTIFY_INODE,
	FDINFO_FANOTIFY_MOUNT,
	FDINFO_FANOTIFY_SB,
	FDINFO_LOCK,
};

/* An inode as watches name it: for open_by_handle_at(2). Enough for MAX_HANDLE_SZ. */
struct fdinfo_handle {
	uint32_t bytes; /* 0: the kernel gave none */
	int32_t type;
	uint8_t data[128];
};

struct fdinfo_epoll {
	int32_t tfd;
	uint32_t events;
	uint64_t data;
	int64_t pos;
	uint64_t ino;
	uint32_t sdev;  /* as the kernel packs it: major << 20 | minor */
	bool has_inode; /* pos, ino, sdev are there */
};

struct fdinfo_inotify {
	int32_t wd;
	uint64_t ino;
	uint32_t sdev;
	uint32_t mask, ignored_mask;
	struct fdinfo_handle handle;
};

struct fdinfo_fanotify_mark {
	uint64_t ino;   /* inode marks */
	int32_t mnt_id; /* mount marks */
	uint32_t sdev;  /* inode and superblock marks */
	uint32_t mflags;
	uint64_t mask, ignored_mask;
	struct fdinfo_handle handle;
};

struct fdinfo_item {
	enum fdinfo_kind kind;
	union {
		struct fdinfo_epoll epoll;
		struct fdinfo_inotify inotify;
		struct fdinfo_fanotify_mark fanotify;
		struct lock_facts lock;
	};
};

struct fdinfo {
	uint32_t has; /* enum fdinfo_has */
	int64_t pos;
	uint32_t flags; /* O_*, with O_CLOEXEC of this descriptor */
	int32_t mnt_id;
	uint64_t ino;

	uint64_t eventfd_count;
	int32_t eventfd_id;
	uint64_t sigmask; /* signalfd, bit signo - 1 */
	struct {
		int32_t clock_id;
		uint64_t ticks;
		uint32_t settime_flags;
		uint64_t value_sec, value_nsec, interval_sec,
			interval_nsec; /* value: what is left */
	} timerfd;
	struct {
		pid_t pid;         /* in our pid namespace; -1: it has been reaped */
		unsigned int n_ns; /* pids from ours down to its own */
		pid_t ns_pid[33];
	} pidfd;
	uint32_t fanotify_flags, fanotify_event_flags;
	uint32_t scm_fds;
	uint32_t tty_index;
	char tun_iff[16];
	struct {
		uint32_t type, key_size, value_size, max_entries, map_flags, id;
		uint64_t extra, memlock;
		bool frozen;
	} bpf_map;

	struct fdinfo_item *items;
	size_t n_items;
};

/* dir: a descriptor of /proc/PID (or task/TID). 0 or -errno; -ENOENT: there is no such descriptor.
 * Unknown lines are passed over. */
int fdinfo_read(int dir, int fd, struct fdinfo *ret);
int fdinfo_parse(const char *text, size_t size, struct fdinfo *ret);
void fdinfo_release(struct fdinfo *info);

#endif
