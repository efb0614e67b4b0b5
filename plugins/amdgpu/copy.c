// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contents of buffers, to and from files. Each lane, the buffers of one GPU in one task, is copied
 * by one thread, several at the same time; the calling thread waits, and ends them when the call is
 * cancelled. The GPU's own engine copies where the node lets us use one (copy-sdma.c), otherwise
 * the buffer is mapped (copy-map.c). Threads do nothing with the task's own files: those rules of
 * kfd that ask for the thread that traces do not concern them, as they use a node of our own.
 */
#include "copy.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS_MAX = 16, POLL_MS = 50 };
#define LIMIT_STANDARD (256ULL << 20)
#define LIMIT_MIN      4096

bool copier_is_stopping(struct copier *copier)
{
	bool is_stopping;

	pthread_mutex_lock(&copier->lock);
	is_stopping = copier->is_stopping || copier->err;
	pthread_mutex_unlock(&copier->lock);
	return is_stopping;
}

int copier_fail(struct copier *copier, int err, const char *what, uint32_t minor, uint64_t pos)
{
	pthread_mutex_lock(&copier->lock);
	if (!copier->err) {
		copier->err = err;
		snprintf(copier->why, sizeof(copier->why),
			 "contents of renderD%u at byte %llu of the image: %s", minor,
			 (unsigned long long)pos, what);
	}
	pthread_mutex_unlock(&copier->lock);
	return err;
}

static int copy_lane(struct copier *copier, const struct copy_lane *lane)
{
	struct sdma *sdma = NULL;
	int err = copier->is_sdma_wanted ? sdma_new(copier, lane, &sdma) : -ENOTSUP;

	if (err && copier->is_sdma_required)
		return copier_fail(copier, err, "no engine that copies", lane->minor, 0);
	err = err ? copy_by_map(copier, lane) : copy_by_sdma(copier, lane, sdma);
	sdma_free(sdma);
	return err;
}

static void *work(void *arg)
{
	struct copier *copier = arg;

	pthread_mutex_lock(&copier->lock);
	while (copier->next < copier->n_lanes && !copier->is_stopping && !copier->err) {
		const struct copy_lane *lane = &copier->lanes[copier->next++];

		pthread_mutex_unlock(&copier->lock);
		copy_lane(copier, lane);
		pthread_mutex_lock(&copier->lock);
	}
	copier->n_running--;
	pthread_cond_signal(&copier->changed);
	pthread_mutex_unlock(&copier->lock);
	return (void *)(uintptr_t)gettid();
}

/* pthread_join() may return a moment before the kernel has given the number of the thread free, and
 * the tree that is being restored may want it. */
static void join(pthread_t thread)
{
	void *tid;

	pthread_join(thread, &tid);
	while (syscall(SYS_tgkill, getpid(), (pid_t)(uintptr_t)tid, 0) == 0)
		sched_yield();
}

/* Until all have ended; tells them to, if the call is cancelled. */
static void wait_for_all(struct copier *copier)
{
	pthread_mutex_lock(&copier->lock);
	while (copier->n_running) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += POLL_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&copier->changed, &copier->lock, &until);
		copier->is_stopping |= criu_is_cancelled(copier->call);
	}
	pthread_mutex_unlock(&copier->lock);
}

static int run_threads(struct copier *copier, size_t n)
{
	pthread_t threads[WORKERS_MAX];
	sigset_t all, old;
	size_t n_started = 0;
	int err = 0;

	copier->n_running = n;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (n_started < n && !err) {
		err = -pthread_create(&threads[n_started], NULL, work, copier);
		n_started += !err;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_mutex_lock(&copier->lock);
	copier->n_running -= n - n_started;
	pthread_mutex_unlock(&copier->lock);
	wait_for_all(copier);
	for (size_t i = 0; i < n_started; i++)
		join(threads[i]);
	/* Those that could be started have done the work of all. */
	return n_started ? 0 : err;
}

/* Memory that all threads have together is at most the option's. */
static size_t limit_for(struct criu_call *call, size_t n)
{
	uint64_t all = (uint64_t)criu_option_int(call, "max-buffer-size");
	uint64_t each = (all ? all : LIMIT_STANDARD) / n / LIMIT_MIN * LIMIT_MIN;

	return each < LIMIT_MIN ? LIMIT_MIN : each;
}

static size_t count_workers(struct criu_call *call, size_t n_lanes)
{
	int64_t wanted = criu_option_int(call, "copy-threads");
	uint64_t limit = (uint64_t)criu_option_int(call, "max-buffer-size");
	size_t n = wanted > 0 && wanted < WORKERS_MAX ? (size_t)wanted : WORKERS_MAX;

	if (limit && limit / LIMIT_MIN < n)
		n = limit < LIMIT_MIN ? 1 : limit / LIMIT_MIN;
	return n_lanes < n ? n_lanes : n;
}

/* Not on the stack: a call that overruns its deadline is left by a jump, and a thread that hangs in
 * the driver comes back later. For the same reason the plugin is never unmapped (files.mk). */
static struct copier *copier_new(struct criu_call *call, struct copy_lane *lanes, size_t n,
				 bool is_restore)
{
	const char *way = criu_option_string(call, "copy");
	struct copier *copier = calloc(1, sizeof(*copier));

	if (!copier)
		return NULL;
	copier->call = call;
	copier->lanes = lanes;
	copier->n_lanes = n;
	copier->is_restore = is_restore;
	copier->is_sdma_wanted = strcmp(way, "map") != 0;
	copier->is_sdma_required = strcmp(way, "sdma") == 0;
	pthread_mutex_init(&copier->lock, NULL);
	pthread_cond_init(&copier->changed, NULL);
	return copier;
}

static void copier_free(struct copier *copier)
{
	pthread_cond_destroy(&copier->changed);
	pthread_mutex_destroy(&copier->lock);
	free(copier);
}

int copy_run(struct criu_call *call, struct copy_lane *lanes, size_t n, bool is_restore)
{
	size_t n_workers = count_workers(call, n);
	struct copier *copier;
	int err;

	if (!n)
		return 0;
	copier = copier_new(call, lanes, n, is_restore);
	if (!copier)
		return -ENOMEM;
	copier->limit = limit_for(call, n_workers);
	err = run_threads(copier, n_workers);
	if (err)
		err = criu_error(call, err, "start threads that copy contents of buffers");
	else if (copier->err)
		err = criu_error(call, copier->err, "%s", copier->why);
	else if (copier->is_stopping)
		err = -ECANCELED;
	copier_free(copier);
	return err;
}

/* ---- lists ---- */

struct copy_item *copy_add(struct copy_lane **lanes, size_t *n, int node, uint32_t minor,
			   bool is_new)
{
	struct copy_lane *lane = *n ? &(*lanes)[*n - 1] : NULL;
	struct copy_item *items;

	if (!lane || is_new || lane->minor != minor) {
		lane = realloc(*lanes, (*n + 1) * sizeof(*lane));
		if (!lane)
			return NULL;
		*lanes = lane;
		lane += (*n)++;
		*lane = (struct copy_lane){.node = node, .minor = minor};
	}
	/* Grown by powers of two. */
	if ((lane->n_items & (lane->n_items - 1)) == 0) {
		items = realloc(lane->items,
				(lane->n_items ? lane->n_items * 2 : 1) * sizeof(*items));
		if (!items)
			return NULL;
		lane->items = items;
	}
	memset(&lane->items[lane->n_items], 0, sizeof(*lane->items));
	return &lane->items[lane->n_items++];
}

void copy_release(struct copy_lane *lanes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(lanes[i].items);
	free(lanes);
}
