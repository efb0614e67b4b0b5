// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lines of file locks. /proc/locks has those of the whole system, with the pid of whoever took a
 * lock; which open file holds it (an flock or OFD lock belongs to that) only the "lock:" lines of
 * fdinfo say, which have no waiters.
 */
#include "kernel/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "compel/base/bits.h"
#include "kernel/proc-priv.h"
#include "util/alloc.h"

struct word {
	const char *text;
	int value;
};

/* The value of the word that comes next, with the blanks behind it. */
static int scan_word(struct scan *s, const struct word *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (scan_try(s, words[i].text)) {
			scan_char(s, ' ');
			scan_blanks(s);
			return words[i].value;
		}
	}
	scan_fail(s);
	return 0;
}

static void scan_kind(struct scan *s, struct lock_facts *lock)
{
	static const struct word kinds[] = {
		{"POSIX", LOCK_POSIX}, {"OFDLCK", LOCK_OFD},  {"ACCESS", LOCK_ACCESS},
		{"FLOCK", LOCK_FLOCK}, {"LEASE", LOCK_LEASE}, {"DELEG", LOCK_DELEG},
	};
	/* MANDATORY was dropped with 5.15, MSNFS before that. */
	static const struct word modes[] = {
		{"ADVISORY", 0}, {"MANDATORY", 1}, {"*NOINODE*", 0}, {"MSNFS", 1}};
	static const struct word leases[] = {
		{"ACTIVE", LOCK_LEASE_ACTIVE},
		{"BREAKING", LOCK_LEASE_BREAKING},
		{"BREAKER", LOCK_LEASE_BREAKER},
	};

	lock->kind = (enum lock_kind)scan_word(s, kinds, ARRAY_SIZE(kinds));
	if (lock->kind == LOCK_LEASE || lock->kind == LOCK_DELEG)
		lock->lease = (enum lock_lease)scan_word(s, leases, ARRAY_SIZE(leases));
	else
		lock->is_mandatory = scan_word(s, modes, ARRAY_SIZE(modes)) != 0;
}

static void scan_inode(struct scan *s, struct lock_facts *lock)
{
	if (scan_try(s, "<none>:")) {
		scan_u64(s, 10);
		return;
	}
	lock->dev_major = scan_u32(s, 16);
	scan_char(s, ':');
	lock->dev_minor = scan_u32(s, 16);
	scan_char(s, ':');
	lock->ino = scan_u64(s, 10);
}

int lock_parse_line(struct scan *line, struct lock_facts *ret)
{
	static const struct word accesses[] = {
		{"READ", LOCK_FOR_READ},  {"WRITE", LOCK_FOR_WRITE}, {"RW", LOCK_FOR_BOTH},
		{"UNLCK", LOCK_FOR_NONE}, {"NONE", LOCK_FOR_NONE},
	};
	struct lock_facts lock = {};

	lock.id = scan_u64(line, 10);
	scan_char(line, ':');
	scan_blanks(line);
	lock.is_blocked = scan_try(line, "->");
	scan_blanks(line);
	scan_kind(line, &lock);
	lock.access = (enum lock_access)scan_word(line, accesses, ARRAY_SIZE(accesses));
	lock.pid = scan_i32(line, 10);
	scan_char(line, ' ');
	scan_inode(line, &lock);
	scan_char(line, ' ');
	lock.start = scan_u64(line, 10);
	scan_char(line, ' ');
	lock.end = scan_try(line, "EOF") ? UINT64_MAX : scan_u64(line, 10);
	scan_end(line);
	if (!scan_ok(line))
		return -EBADMSG;
	*ret = lock;
	return 0;
}

int locks_parse(const char *text, size_t size, struct lock_facts **ret, size_t *ret_n)
{
	struct scan s = scan_of(text, size), line;
	_cleanup_free_ struct lock_facts *locks = NULL;
	size_t n = 0, capacity = 0;

	while (scan_line(&s, &line)) {
		int err;

		locks = array_grow(locks, &capacity, n + 1, sizeof(*locks));
		err = lock_parse_line(&line, &locks[n++]);
		if (err < 0)
			return err;
	}
	*ret = TAKE_PTR(locks);
	*ret_n = n;
	return 0;
}

int locks_read(struct lock_facts **ret, size_t *ret_n)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(AT_FDCWD, "/proc/locks", &text);

	return err < 0 ? err : locks_parse(text.data, text.size, ret, ret_n);
}
