/* SPDX-License-Identifier: GPL-2.0-only */
/* What the ways of copying (copy-map.c, copy-sdma.c) have in common; for copy.c only. */
#ifndef AMDGPU_COPY_H
#define AMDGPU_COPY_H

#include <pthread.h>

#include "amdgpu.h"

struct copier {
	struct criu_call *call; /* NULL in a thread that is not the call's */
	struct copy_lane *lanes;
	size_t n_lanes;
	bool is_restore;
	bool is_sdma_wanted, is_sdma_required;
	size_t limit; /* bytes of memory for one lane */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t next; /* lane */
	size_t n_running;
	bool is_stopping;
	/* The first error, and where. */
	int err;
	char why[160];
};

/* Should the copy end early? Any thread. */
bool copier_is_stopping(struct copier *copier);
/* Says what went wrong and returns err. Any thread. */
int copier_fail(struct copier *copier, int err, const char *what, uint32_t minor, uint64_t pos);

/* By mapping the buffer. */
int copy_by_map(struct copier *copier, const struct copy_lane *lane);

struct sdma;
/* 0, or -errno where the node has no such engine that we may use. */
int sdma_new(const struct copier *copier, const struct copy_lane *lane, struct sdma **ret);
void sdma_free(struct sdma *sdma);
int copy_by_sdma(struct copier *copier, const struct copy_lane *lane, struct sdma *sdma);

#endif
