/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The meeting place of the tasks of a restore: memory that all its processes share, in which they
 * exchange descriptors and bytes, wait for what others make, and meet at barriers (G15 to G17). The
 * coordinator makes it before the first fork; whoever is forked calls share_join(). A participant
 * is a task (0 to n - 1) or the coordinator; it waits in one thread at a time. All of them are
 * taken to be running until they wait, leave or die, the coordinator too: while it waits for tasks
 * it has to say so (share_wait_word). When nobody runs any more and no wait can end, all waits end
 * with -EDEADLK, and share_chain() says who waited for whom.
 *
 * Calls answer -ECANCELED once the restore failed (share_fail, a participant that died), and
 * -EDEADLK once nothing could go on. Neither is logged, everything else is.
 */
#ifndef CRIU_PLUGIN_SHARE_H
#define CRIU_PLUGIN_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compel/base/futex.h"

struct cr;
struct share;

#define SHARE_MAX_BYTES (1u << 20) /* of one value */
#define SHARE_MAX_NAME  255        /* bytes of a plugin's name, and of a key */
#define SHARE_NOBODY    SIZE_MAX

struct share_class {
	const char *name;
	const uint32_t
		*n_files; /* by participant: how many files it makes; n_participants of them */
};

struct share_barrier {
	const char *plugin, *name;
	const bool *takes_part; /* by participant */
};

/* What share_new() is told; it copies all of it. */
struct share_plan {
	size_t n_participants;    /* without the coordinator */
	const char *const *names; /* of the participants, for messages: "task 12" */
	const struct share_class *classes;
	size_t n_classes;
	const struct share_barrier *barriers;
	size_t n_barriers;
	size_t room;  /* bytes for keys and values; 0: 64 MiB of address space */
	int first_fd; /* descriptors that are kept or given out have this number or a higher one */
};

/* In the coordinator: 0 or -errno, logged. */
int share_new(struct cr *cr, const struct share_plan *plan, struct share **ret);
/* Closes what this process keeps of it and unmaps it. NULL is fine. */
void share_free(struct share *share);

/* In the coordinator, right before the first fork: what it puts from now on, others have to fetch.
 */
void share_start(struct share *share);
/* In a forked process, first of all: it is participant i. */
void share_join(struct share *share, size_t i);
/* In the coordinator, after the fork: the pid by which it knows participant i, so that it does not
 * wait for a lock that a dead one has. */
void share_set_pid(struct share *share, size_t i, pid_t pid);
/*
 * This participant takes no part any more. Nobody counts on it from now on: words that others wait
 * for have to be changed before. Barriers that it has not reached fail for those who take part. The
 * descriptors that it put stay until share_close(), so that others can fetch them.
 */
void share_leave(struct share *share);
/* Closes the descriptors that this process put, or has from the coordinator. */
void share_close(struct share *share);

/* The restore has failed: all waits end with -ECANCELED. Any process. */
void share_fail(struct share *share);
/* In the coordinator: the participant's process is gone without share_leave(). Fails the restore,
 * and takes the lock from the dead. */
void share_participant_died(struct share *share, size_t i);
/* 0, -ECANCELED or -EDEADLK: what waits end with now. */
int share_outcome(const struct share *share);
/* Who waited for what when nothing could go on; "" as long as that has not happened. */
const char *share_chain(const struct share *share);

/*
 * Put: 0, -EEXIST, -ENAMETOOLONG, -E2BIG over SHARE_MAX_BYTES, -ENOSPC when the room is used up.
 * fd stays the caller's. The coordinator may put before the forks and after.
 */
int share_put_fd(struct share *share, const char *plugin, const char *key, int fd);
int share_put_bytes(struct share *share, const char *plugin, const char *key, const void *data,
		    size_t size);
/* Get waits: a new descriptor, the caller's; or the size of the value, of which at most size bytes
 * are copied to data. -EINVAL when the value is of the other kind. */
int share_get_fd(struct share *share, const char *plugin, const char *key);
ssize_t share_get_bytes(struct share *share, const char *plugin, const char *key, void *data,
			size_t size);
bool share_has_key(struct share *share, const char *plugin, const char *key);
int share_wait_key(struct share *share, const char *plugin, const char *key);

/* Classes by their index in the plan. share_class_done(): this participant made one file of it;
 * -ERANGE when it had none left. */
int share_class_done(struct share *share, size_t class_index);
bool share_class_is_done(struct share *share, size_t class_index);
int share_wait_class(struct share *share, size_t class_index);
/* The index of a class, or -ENOENT (no file of it in the tree: nothing to wait for). */
ssize_t share_find_class(const struct share *share, const char *name);
/* The index of a barrier, or -ENOENT. */
ssize_t share_find_barrier(const struct share *share, const char *plugin, const char *name);

/* 0 when all who take part have called it, -ECANCELED when one cannot any more, -EALREADY the
 * second time, -EPERM for who takes no part. */
int share_barrier_wait(struct share *share, size_t barrier_index);

/*
 * For who has several things to wait for: read the generation, look at everything with
 * share_has_key() and share_class_is_done(), and if nothing is there sleep until anything has
 * changed since. text says for what, for the chain. 0 or the outcome.
 */
uint32_t share_generation(const struct share *share);
int share_defer(struct share *share, uint32_t generation, const char *text);

/*
 * Waits of the core on words of its own, in memory that all processes have at the same address:
 * sleeps while the word is expected. on: the participant that it depends on, or SHARE_NOBODY. 0
 * once it differs or after a wake-up or a signal (look again), -ETIMEDOUT, or the outcome.
 * timeout_ms < 0: for ever.
 */
int share_wait_word(struct share *share, struct futex *word, uint32_t expected, size_t on,
		    const char *text, int timeout_ms);
/* The same in two halves, around a sleep of the caller's own, who has to look at share_outcome()
 * now and then. begin: 0 or the outcome, and then end must not be called. */
int share_wait_begin(struct share *share, struct futex *word, uint32_t expected, size_t on,
		     const char *text);
void share_wait_end(struct share *share);

#endif
