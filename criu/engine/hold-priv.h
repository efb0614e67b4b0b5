/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a holder (hold.c) and `criu release` (hold-release.c) have in common. A tree that is held
 * has a socket in the run directory (journal.h), named by pid and start time of its root, so that
 * what is left of a tree that is gone is never taken for another one. Who connects says
 * HOLD_REQUEST, and gets one struct hold_answer when the restore has ended.
 */
#ifndef CRIU_ENGINE_HOLD_PRIV_H
#define CRIU_ENGINE_HOLD_PRIV_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#define HOLD_SUFFIX   ".held"
#define HOLD_NAME_MAX 64
#define HOLD_REQUEST  "release"

struct hold_answer {
	int32_t status;  /* the exit status of a restore */
	char cause[800]; /* where it is not 0 */
};

/* The socket's address: by the directory's descriptor, for a path may be too long for one. */
void hold_address(int dirfd, const char *name, struct sockaddr_un *ret);

#endif
