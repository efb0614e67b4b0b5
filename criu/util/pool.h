/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worker pool: independent jobs, on as many threads as this process has CPUs. Threads are made
 * with the first jobs that could use them, and the calling thread always works along. All signals
 * are blocked in workers; a worker must not use ptrace(2) (tracing belongs to one thread) nor
 * change what threads of a process share (namespaces, cwd).
 *
 * Threads do not survive fork(2), and locks they hold would be held for ever in the child: call
 * pool_stop() before the process forks anything that goes on in C code; the next jobs make the
 * threads anew.
 *
 * A pool of NULL is fine everywhere: jobs then run in the calling thread.
 */
#ifndef CRIU_UTIL_POOL_H
#define CRIU_UTIL_POOL_H

#include <stddef.h>

struct pool;
struct pool_group;

/* At most n_workers threads work at a time, the caller's included; 0: as many as the affinity mask
 * has CPUs. NULL: no memory. */
struct pool *pool_new(size_t n_workers);
/* Stops the threads first. */
void pool_free(struct pool *pool);

/* The n_workers above: the bound of the worker argument below, for callers with a buffer per
 * worker. At least 1. */
size_t pool_size(const struct pool *pool);

/*
 * Parallel for: calls fn with each index below n, and returns when all have returned. worker, below
 * pool_size(), is the same for all calls of one thread within this pool_run(). The first negative
 * return is the result, and no index is begun after it. Jobs may call pool_run() themselves.
 */
int pool_run(struct pool *pool, size_t n, int (*fn)(void *ctx, size_t index, size_t worker),
	     void *ctx);

/*
 * A group of single jobs that run while the caller does other things: pool_submit() queues one (at
 * a pool that has no second thread it runs in pool_wait()), pool_wait() works along until all have
 * returned and gives the first negative return. All jobs submitted are run, also after one failed.
 * A group may be used again after pool_wait().
 */
struct pool_group *pool_group_new(struct pool *pool);
int pool_submit(struct pool_group *group, int (*fn)(void *ctx), void *ctx);
int pool_wait(struct pool_group *group);
/* Waits first. */
void pool_group_free(struct pool_group *group);

/* Joins all threads. Nothing may be running or queued. */
void pool_stop(struct pool *pool);

#endif
