/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worker pool. A job is a function and a count of indexes, which workers take one by one; a
 * single job of a group is one with a count of one. The list of jobs is under a lock, the indexes
 * of a job are handed out by an atomic counter, so that the lock is taken once a worker and job.
 * Whoever waits for a job first works at it; nobody who waits takes up foreign work, so that a wait
 * lasts no longer than its own jobs, and jobs may nest without deadlock.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/list.h"
#include "util/pool.h"

#define WORKER_STACK (256 * 1024)

struct job {
	struct list node; /* pool's list, until its last index is taken */
	struct list in_group;
	size_t n, next; /* next: atomic */
	int (*fn)(void *ctx, size_t index, size_t worker);
	int (*fn_single)(void *ctx);
	void *ctx;
	size_t joined; /* threads that ever worked at it */
	size_t active; /* those that do now */
	int error;     /* first negative return; atomic */
	struct pool_group *group;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work;  /* for workers: a job came, or stop */
	pthread_cond_t ended; /* for waiters: some job came to its end */
	struct list jobs;
	size_t size;
	size_t n_threads;
	size_t n_idle;
	bool stop;
	pthread_t *threads;
};

struct pool_group {
	struct pool *pool;
	struct list jobs; /* queued or running */
	int error;
};

static size_t cpu_count(void)
{
	size_t n_bytes = sizeof(cpu_set_t), n;
	cpu_set_t *set;

	/* The kernel refuses (EINVAL) a mask that is too small for the CPUs it may have. */
	for (; n_bytes <= 65536; n_bytes *= 2) {
		set = malloc(n_bytes);
		if (!set)
			return 1;
		if (sched_getaffinity(0, n_bytes, set) == 0) {
			n = (size_t)CPU_COUNT_S(n_bytes, set);
			free(set);
			return MAX(n, (size_t)1);
		}
		free(set);
		if (errno != EINVAL)
			break;
	}
	return 1;
}

struct pool *pool_new(size_t n_workers)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->size = n_workers ? n_workers : cpu_count();
	pool->threads = calloc(pool->size, sizeof(*pool->threads));
	if (!pool->threads) {
		free(pool);
		return NULL;
	}
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->ended, NULL);
	list_init(&pool->jobs);
	return pool;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	pool_stop(pool);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->ended);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
}

size_t pool_size(const struct pool *pool)
{
	return pool ? pool->size : 1;
}

static void job_fail(struct job *job, int error)
{
	int none = 0;

	__atomic_compare_exchange_n(&job->error, &none, error, false, __ATOMIC_ACQ_REL,
				    __ATOMIC_RELAXED);
}

/* Takes indexes until there are none, or one failed. */
static void job_work(struct job *job, size_t worker)
{
	while (!__atomic_load_n(&job->error, __ATOMIC_ACQUIRE)) {
		size_t index = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
		int ret;

		if (index >= job->n)
			return;
		ret = job->fn_single ? job->fn_single(job->ctx) : job->fn(job->ctx, index, worker);
		if (ret < 0)
			job_fail(job, ret);
	}
}

/* A single job is done: with the lock held, takes it off its group. */
static void job_end_single(struct job *job)
{
	if (job->error && !job->group->error)
		job->group->error = job->error;
	list_del(&job->in_group);
	free(job);
}

/* Works at job, which the caller found in the list; the lock is held on entry and exit. */
static void job_join(struct pool *pool, struct job *job)
{
	size_t worker = job->joined++;

	job->active++;
	/* A single job is taken whole; others are left in the list for further workers. */
	if (job->fn_single)
		list_del(&job->node);
	pthread_mutex_unlock(&pool->lock);
	job_work(job, worker);
	pthread_mutex_lock(&pool->lock);
	list_del(&job->node);
	if (--job->active)
		return;
	if (job->fn_single)
		job_end_single(job);
	pthread_cond_broadcast(&pool->ended);
}

static void *worker_main(void *arg)
{
	struct pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	while (!pool->stop) {
		if (list_is_empty(&pool->jobs)) {
			pool->n_idle++;
			pthread_cond_wait(&pool->work, &pool->lock);
			pool->n_idle--;
			continue;
		}
		job_join(pool, list_first_entry(&pool->jobs, struct job, node));
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Makes up to wanted more threads, with the lock held. Where the system gives none, the callers
 * work alone. */
static void threads_add(struct pool *pool, size_t wanted)
{
	pthread_attr_t attr;
	sigset_t all, old;

	if (!wanted || pool->n_threads + 1 >= pool->size)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	while (wanted-- && pool->n_threads + 1 < pool->size) {
		if (pthread_create(&pool->threads[pool->n_threads], &attr, worker_main, pool))
			break;
		pthread_setname_np(pool->threads[pool->n_threads], "criu-worker");
		pool->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

/* Queues the job and sees to it that threads come for up to wanted of its indexes; with the lock
 * held. */
static void job_queue(struct pool *pool, struct job *job, size_t wanted)
{
	/* Idle threads count only if no earlier job is there to take them. */
	size_t idle = list_is_empty(&pool->jobs) ? pool->n_idle : 0;

	list_add_tail(&pool->jobs, &job->node);
	if (wanted > idle)
		threads_add(pool, wanted - idle);
	if (wanted == 1)
		pthread_cond_signal(&pool->work);
	else
		pthread_cond_broadcast(&pool->work);
}

int pool_run(struct pool *pool, size_t n, int (*fn)(void *ctx, size_t index, size_t worker),
	     void *ctx)
{
	struct job job = {.n = n, .fn = fn, .ctx = ctx};

	list_init(&job.node);
	if (pool_size(pool) == 1 || n < 2) {
		job_work(&job, 0);
		return job.error;
	}

	pthread_mutex_lock(&pool->lock);
	job_queue(pool, &job, MIN(n, pool->size) - 1);
	job_join(pool, &job);
	while (job.active)
		pthread_cond_wait(&pool->ended, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	return job.error;
}

struct pool_group *pool_group_new(struct pool *pool)
{
	struct pool_group *group = calloc(1, sizeof(*group));

	if (!group)
		return NULL;
	group->pool = pool;
	list_init(&group->jobs);
	return group;
}

int pool_submit(struct pool_group *group, int (*fn)(void *ctx), void *ctx)
{
	struct pool *pool = group->pool;
	struct job *job;

	if (!pool) {
		int ret = fn(ctx);

		if (ret < 0 && !group->error)
			group->error = ret;
		return 0;
	}
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job->n = 1;
	job->fn_single = fn;
	job->ctx = ctx;
	job->group = group;
	list_init(&job->in_group);

	pthread_mutex_lock(&pool->lock);
	list_add_tail(&group->jobs, &job->in_group);
	job_queue(pool, job, 1);
	pthread_mutex_unlock(&pool->lock);
	return 0;
}

/* A job of the group that nobody has taken yet, or NULL. */
static struct job *group_queued(struct pool_group *group)
{
	struct job *job;

	list_for_each_entry (job, &group->jobs, in_group) {
		if (!job->joined)
			return job;
	}
	return NULL;
}

int pool_wait(struct pool_group *group)
{
	struct pool *pool = group->pool;
	int error;

	if (pool) {
		pthread_mutex_lock(&pool->lock);
		while (!list_is_empty(&group->jobs)) {
			struct job *job = group_queued(group);

			if (job)
				job_join(pool, job);
			else
				pthread_cond_wait(&pool->ended, &pool->lock);
		}
		pthread_mutex_unlock(&pool->lock);
	}
	error = group->error;
	group->error = 0;
	return error;
}

void pool_group_free(struct pool_group *group)
{
	if (!group)
		return;
	pool_wait(group);
	free(group);
}

void pool_stop(struct pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (size_t i = 0; i < pool->n_threads; i++)
		pthread_join(pool->threads[i], NULL);
	pool->n_threads = 0;
	pool->stop = false;
}
