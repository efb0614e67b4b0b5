/* SPDX-License-Identifier: GPL-2.0-only */
/* Running another program: tar, ip, nft, action scripts. */
#ifndef CRIU_UTIL_SPAWN_H
#define CRIU_UTIL_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Zeroed members have a meaning: no argv[0] path other than argv[0] itself (looked up in PATH),
 * environment inherited, no change of folder. Descriptor members name a descriptor + 1 so that 0 is
 * "inherit"; SPAWN_FD() and SPAWN_NULL make them.
 */
struct spawn {
	const char *const *argv; /* ends with NULL */
	const char *const *env;  /* "NAME=value", ends with NULL: added to the environment, or
				    replacing it with clean_env */
	int clean_env;
	int in, out, err;    /* SPAWN_FD(fd), SPAWN_NULL, or 0 */
	const int *keep_fds; /* stay open under the same number; all others above 2 are closed */
	size_t n_keep_fds;
	int dirfd;                 /* SPAWN_FD(fd): fchdir there first */
	int (*prepare)(void *arg); /* called in the child before exec: join namespaces, …; only
				      async-signal-safe calls */
	void *arg;
};

#define SPAWN_FD(fd) ((fd) + 1)
#define SPAWN_NULL   (-1)

/* Starts it: 0 and the pid (a child of ours, to be passed to spawn_wait()), or -errno also where
 * exec or prepare fails. */
int spawn_start(const struct spawn *spawn, pid_t *ret_pid);
/* Waits for its end: wait status as waitpid(2) has it (0: it succeeded), or -errno. */
int spawn_wait(pid_t pid);
/* Both. */
int spawn_run(const struct spawn *spawn);
/* Runs it and keeps what it writes to stdout, up to max bytes, with a zero byte behind (-EFBIG if
 * it writes more). Wait status or -errno. */
int spawn_run_output(const struct spawn *spawn, size_t max, char **ret_text, size_t *ret_size);

#endif
