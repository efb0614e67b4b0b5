/* SPDX-License-Identifier: GPL-2.0-only */
/* What the waits (share.c) and the store (share-store.c) of the meeting place have in common. */
#ifndef CRIU_PLUGIN_SHARE_PRIV_H
#define CRIU_PLUGIN_SHARE_PRIV_H

#include "cr.h"
#include "plugin/share.h"
#include "util/arena.h"

#define SHARE_BUCKETS 4096

enum share_state {
	SHARE_RUNS = 0,
	SHARE_WAITS,
	SHARE_LEFT,
};

enum share_wait_kind {
	SHARE_WAIT_KEY = 1,
	SHARE_WAIT_CLASS,
	SHARE_WAIT_BARRIER,
	SHARE_WAIT_WORD,
	SHARE_WAIT_CHANGE,
};

struct share_wait {
	enum share_wait_kind kind;
	char plugin[SHARE_MAX_NAME + 1];
	char text[SHARE_MAX_NAME + 1]; /* a key, or what the core or a deferred task waits for */
	size_t index;                  /* class or barrier; participant that a word depends on */
	struct futex *word;
	uint32_t expected; /* of the word, or the generation */
};

struct share_place {
	enum share_state state;
	pid_t host_pid; /* as the coordinator has it; 0: not told */
	struct share_wait wait;
};

struct share_entry {
	struct share_entry *next;
	uint64_t hash;
	size_t owner;      /* participant */
	pid_t pid;         /* of the owner */
	int fd;            /* -1: bytes */
	bool is_inherited; /* put before the forks: all processes have it at the same number */
	size_t size;
	const char *plugin, *key;
	char data[];
};

/* In shared memory. */
struct share_shared {
	struct futex lock;       /* 0, or 1 + who has it, with LOCK_WANTED where somebody sleeps */
	struct futex generation; /* changes, under the lock, with all that can end a wait */
	struct futex outcome;    /* 0, ECANCELED or EDEADLK */
	struct share_entry *buckets[SHARE_BUCKETS];
	char chain[8192];
};

/* Private to each process, but for what it points to. */
struct share {
	struct cr *cr;
	size_t n; /* participants, of which the last is the coordinator */
	size_t self;
	int first_fd;
	bool is_started; /* in the coordinator: processes were forked */
	int coordinator; /* pidfd, the same number everywhere */
	struct arena *arena;
	struct share_shared *shared;
	struct share_place *places; /* shared, n */
	uint32_t *todo;             /* shared, [class][participant]: files not made yet */
	uint32_t *left;             /* shared, [class]: the sum of these */
	uint8_t *pending;           /* shared, [barrier][participant]: 1 expected, 2 arrived */
	char **names, **classes;    /* n, n_classes */
	char **barriers, **barrier_plugins;
	size_t n_classes, n_barriers;
};

void share_lock(struct share *share);
void share_unlock(struct share *share);
/* With the lock: something changed that may end waits. */
void share_changed(struct share *share);
/* Waits, without the lock, until the wait described is over: 0, -ECANCELED, -EDEADLK. */
int share_wait(struct share *share, const struct share_wait *wait);
/* With the lock. */
struct share_entry *share_find(struct share *share, const char *plugin, const char *key);

#endif
