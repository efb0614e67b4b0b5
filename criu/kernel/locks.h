/* SPDX-License-Identifier: GPL-2.0-only */
/* File locks and leases: /proc/locks and the "lock:" lines of fdinfo, which have the same form. */
#ifndef CRIU_KERNEL_LOCKS_H
#define CRIU_KERNEL_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "util/scan.h"

enum lock_kind { LOCK_POSIX, LOCK_OFD, LOCK_FLOCK, LOCK_LEASE, LOCK_DELEG, LOCK_ACCESS };
enum lock_access { LOCK_FOR_READ, LOCK_FOR_WRITE, LOCK_FOR_BOTH, LOCK_FOR_NONE };
enum lock_lease { LOCK_NO_LEASE, LOCK_LEASE_ACTIVE, LOCK_LEASE_BREAKING, LOCK_LEASE_BREAKER };

struct lock_facts {
	uint64_t id;     /* line number: a lock and those that wait for it share it */
	bool is_blocked; /* "->": waits for it */
	bool is_mandatory;
	enum lock_kind kind;
	enum lock_access access;
	enum lock_lease lease;
	pid_t pid; /* in the pid namespace of /proc; -1: OFD, or not visible; 0: other namespace */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	uint64_t start, end; /* bytes, inclusive; end UINT64_MAX: "EOF" */
};

/* /proc/locks; the caller frees *ret. */
int locks_read(struct lock_facts **ret, size_t *ret_n);
int locks_parse(const char *text, size_t size, struct lock_facts **ret, size_t *ret_n);
/* One line without its newline. */
int lock_parse_line(struct scan *line, struct lock_facts *ret);

#endif
