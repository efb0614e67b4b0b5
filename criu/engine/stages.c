// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for many processes that may fail in any way. Those that live tell by two words in shared
 * memory how far they are and that something failed; those that were killed cannot, so now and then
 * the coordinator looks whether all are still there. The numbers of processes are written by
 * clone3(2) itself, before the new process runs: so that, whatever the moment, the coordinator
 * knows exactly which ones it has to kill.
 */
#include "engine/stages.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/restore-priv.h"
#include "kernel/proc.h"
#include "plugin/plugin.h"
#include "run.h"
#include "task/restore.h"
#include "util/alloc.h"
#include "util/arena.h"
#include "util/fd.h"
#include "util/futex.h"
#include "util/log.h"

/* How often it is looked whether a process has died, in milliseconds. */
#define LOOK_MS 50
/* How often a process that waits looks whether the tool has. */
#define TOOL_LOOK_MS 1000
/* How long one that was killed may take to be dead, in milliseconds. */
#define DEATH_TRIES 1000

struct stages {
	struct arena *arena;
	pid_t *pids;           /* by seed->index; shared */
	struct pollfd *pidfds; /* the same; -1 where there is none yet or any more */
};

int stages_prepare(struct cr *cr)
{
	struct stages *stages = xcalloc(1, sizeof(*stages));
	size_t size = cr->restore->seeds->n * sizeof(pid_t);

	cr->restore->stages = stages;
	stages->arena = arena_new(size + 4096);
	stages->pids = stages->arena ? arena_alloc(stages->arena, size) : NULL;
	if (!stages->pids)
		return log_err(cr, -ENOMEM, "restore: memory to share between the tasks");
	stages->pidfds = xcalloc(cr->restore->seeds->n, sizeof(*stages->pidfds));
	for (size_t i = 0; i < cr->restore->seeds->n; i++)
		stages->pidfds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	return 0;
}

void stages_release(struct cr *cr)
{
	struct stages *stages = cr->restore->stages;

	if (!stages)
		return;
	for (size_t i = 0; stages->pidfds && i < cr->restore->seeds->n; i++)
		if (stages->pidfds[i].fd >= 0)
			close(stages->pidfds[i].fd);
	free(stages->pidfds);
	arena_free(stages->arena);
	free(stages);
	cr->restore->stages = NULL;
}

pid_t *seed_pid_slot(struct cr *cr, const struct seed *seed)
{
	return &cr->restore->stages->pids[seed->index];
}

static pid_t seed_pid(struct cr *cr, const struct seed *seed)
{
	return __atomic_load_n(seed_pid_slot(cr, seed), __ATOMIC_ACQUIRE);
}

/* ---- coordinator ---- */

void stage_begin(struct cr *cr, enum restore_stage stage, size_t count)
{
	struct restorer_shared *shared = cr->restore->shared;

	futex_store(&shared->remaining, (uint32_t)count);
	futex_set(&shared->stage, stage);
}

void stage_level_begin(struct cr *cr, uint32_t level, size_t count)
{
	struct restorer_shared *shared = cr->restore->shared;

	futex_store(&shared->remaining, (uint32_t)count);
	futex_set(&shared->level, level);
}

static const char *step_text(uint32_t step)
{
	static const char *const texts[] = {
#define STEP(id, text) [STEP_##id] = text,
		RESTORER_STEPS(STEP)
#undef STEP
	};

	return step < sizeof(texts) / sizeof(*texts) ? texts[step] : "restore";
}

/* What a blob has left, or what its process had logged already. */
static int failure(struct cr *cr)
{
	struct restorer_shared *shared = cr->restore->shared;

	if (futex_get(&shared->has_error) != 2)
		return -ECANCELED;
	return log_err(cr, shared->err, "pid %d: thread %d: %s (%#llx)", shared->pid, shared->tid,
		       step_text(shared->step), (unsigned long long)shared->detail);
}

/* The wait status of a process that dies just now: 0 if nobody knows it any more, -1 if it lives.
 */
static int wait_status(pid_t pid)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	for (int i = 0; i < DEATH_TRIES; i++) {
		_cleanup_close_ int dir = proc_open(pid);
		struct proc_stat stat;

		if (dir < 0 || proc_read_stat(dir, &stat) < 0)
			return 0;
		if (stat.state == 'Z' || stat.state == 'X')
			return stat.exit_code;
		nanosleep(&nap, NULL);
	}
	return -1;
}

int seed_died(struct cr *cr, const struct seed *seed)
{
	int status;

	/* It may have told why before it died. */
	if (futex_get(&cr->restore->shared->failed))
		return failure(cr);
	status = wait_status(seed->pid);
	if (status < 0)
		return 0;
	if (plugins_task_died(cr, seed->pid))
		return -ECHILD;
	if (WIFSIGNALED(status))
		return log_refuse(cr, -ECHILD, "pid %d: was killed by SIG%s while it was restored",
				  seed->pid, sigabbrev_np(WTERMSIG(status)));
	return log_refuse(cr, -ECHILD, "pid %d: has exited while it was restored", seed->pid);
}

/* Is this one of those that end by themselves, now or at any time from now on? */
static bool may_exit(struct cr *cr, const struct seed *seed)
{
	if (!seed->task)
		return true;
	return !task_is_alive(seed->task) && futex_get(&cr->restore->shared->stage) > STAGE_GROUPS;
}

/* A thread that we trace meets nothing but its end and faults: signals are blocked. */
static int look_at_stops(struct cr *cr)
{
	siginfo_t info = {0};

	if (waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0 || !info.si_pid)
		return 0;
	if (futex_get(&cr->restore->shared->failed))
		return failure(cr);
	return log_refuse(cr, -ECHILD, "thread %d: stopped by SIG%s while it was restored",
			  info.si_pid, sigabbrev_np(info.si_status & 0x7f) ?: "?");
}

/* One that is there by now has a pidfd afterwards; false: it is there no more. */
static bool hold(struct cr *cr, const struct seed *seed, pid_t pid)
{
	struct pollfd *at = &cr->restore->stages->pidfds[seed->index];

	if (at->fd < 0)
		at->fd = pidfd_new(pid);
	return at->fd != -ESRCH;
}

int stages_check_alive(struct cr *cr)
{
	struct stages *stages = cr->restore->stages;
	size_t n = cr->restore->seeds->n;
	const struct seed *seed;

	seeds_for_each(seed, cr->restore->seeds)
	{
		pid_t pid = seed_pid(cr, seed);

		if (pid && !may_exit(cr, seed) && !hold(cr, seed, pid))
			return seed_died(cr, seed);
	}
	poll(stages->pidfds, n, 0);
	seeds_for_each(seed, cr->restore->seeds)
	{
		if (!seed_pid(cr, seed) || may_exit(cr, seed))
			continue;
		/* The pidfd of a process of which we trace threads does not tell. */
		if (stages->pidfds[seed->index].revents ||
		    (seed->task && task_was_killed(seed->task)))
			return seed_died(cr, seed);
	}
	return 0;
}

static int look(struct cr *cr)
{
	int err = stages_check_alive(cr);

	return err ? err : look_at_stops(cr);
}

/* Where tasks may wait for each other, so that waiting in a circle is noticed, and nobody else
 * takes part. */
static int wait_word(struct cr *cr, struct futex *word, uint32_t expected, const char *text,
		     int timeout_ms)
{
	uint32_t stage = futex_get(&cr->restore->shared->stage);

	if (stage == STAGE_FILES || stage == STAGE_MAPPINGS)
		return plugins_wait_word(cr, word, expected, 0, text, timeout_ms);
	return futex_wait(word, expected, timeout_ms);
}

int stage_wait(struct cr *cr)
{
	struct restorer_shared *shared = cr->restore->shared;
	uint32_t remaining;

	while ((remaining = futex_get(&shared->remaining)) != 0) {
		int err;

		if (futex_get(&shared->failed))
			return failure(cr);
		if (plan_is_cancelled(cr))
			return -ECANCELED;
		err = wait_word(cr, &shared->remaining, remaining, "the tasks to end the stage",
				LOOK_MS);
		if (err == -EDEADLK)
			return err;
		err = err == -ETIMEDOUT || err == -ECANCELED ? look(cr) : 0;
		if (!err)
			err = plugins_check_deadlines(cr);
		if (err)
			return err;
	}
	return futex_get(&shared->failed) ? failure(cr) : 0;
}

int seed_wait_exit(struct cr *cr, const struct seed *seed)
{
	_cleanup_close_ int pidfd = pidfd_new(seed_pid(cr, seed));
	int ret;

	if (pidfd < 0)
		return log_err(cr, pidfd, "pid %d: wait for its exit", seed->pid);
	do {
		ret = plan_wait_fd(cr, pidfd, POLLIN, LOOK_MS);
		if (ret == 0)
			ret = look(cr);
	} while (ret == 0);
	return ret < 0 ? ret : 0;
}

/* Who has been sent SIGKILL forks no more: when a round finds nobody new, there is nobody left. */
static void kill_rounds(struct cr *cr)
{
	struct seeds *seeds = cr->restore->seeds;
	_cleanup_free_ bool *is_killed = xcalloc(seeds->n, sizeof(*is_killed));
	const struct seed *seed;
	size_t n_killed;

	do {
		n_killed = 0;
		seeds_for_each(seed, seeds)
		{
			pid_t pid = seed_pid(cr, seed);

			if (!pid || is_killed[seed->index])
				continue;
			if (kill(pid, SIGKILL) < 0 && errno != ESRCH)
				log_warn(cr, "pid %d: could not be killed: %s", pid,
					 strerror(errno));
			is_killed[seed->index] = true;
			n_killed++;
		}
	} while (n_killed);
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, __WALL) >= 0 || errno == EINTR)
		;
}

void stages_kill_all(struct cr *cr)
{
	const struct seed *seed;

	if (!cr->restore || !cr->restore->stages || !cr->restore->stages->pids)
		return;
	kill_rounds(cr);
	/* The dead come to us when their parents are reaped; what a helper has forked only in the
	 * second round. */
	for (int round = 0; round < 2; round++) {
		seeds_for_each(seed, cr->restore->seeds)
		{
			pid_t pid = seed_pid(cr, seed);

			if (!pid)
				continue;
			/* Threads that we trace are ours to reap, and their process does not end
			 * before. */
			for (size_t i = 1; seed->task && i < seed->task->n_threads; i++)
				reap(seed->task->threads[i].host_tid);
			reap(pid);
			/* Another's child: gone, or as good as that. */
			wait_status(pid);
		}
	}
	seeds_for_each(seed, cr->restore->seeds) * seed_pid_slot(cr, seed) = 0;
}

/* ---- processes of the tree ---- */

static void arrive(struct restorer_shared *shared)
{
	if (futex_add(&shared->remaining, -1) == 0)
		futex_wake(&shared->remaining, INT32_MAX);
}

void stage_end(struct cr *cr, enum restore_stage stage)
{
	struct restorer_shared *shared = cr->restore->shared;

	arrive(shared);
	while (futex_get(&shared->stage) == stage) {
		/* Nobody will let us go on if the tool was killed; most die with their parent then,
		 * orphans do not. */
		int err = wait_word(cr, &shared->stage, stage, "the others to end the stage",
				    TOOL_LOOK_MS);

		/* It is over: to be killed is all there is to wait for. */
		if (err == -ECANCELED || err == -EDEADLK)
			err = futex_wait(&shared->stage, stage, TOOL_LOOK_MS);
		if (err == -ETIMEDOUT && kill(cr->restore->tool, 0) < 0 && errno == ESRCH)
			_exit(1);
	}
}

void stage_leave(struct cr *cr)
{
	arrive(cr->restore->shared);
}

void stage_fail(struct cr *cr)
{
	struct restorer_shared *shared = cr->restore->shared;

	futex_store(&shared->failed, 1);
	futex_wake(&shared->remaining, INT32_MAX);
	/* Children end with us: first everybody who waits for others is told that it is over. */
	plugins_give_up(cr);
	_exit(1);
}
