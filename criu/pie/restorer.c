// SPDX-License-Identifier: GPL-2.0-only
/*
 * The restorer blob: what becomes of a process when our own code in it is to make room for the
 * task. It is entered at the end of the memory stage, on a stack of its own, with all signals
 * blocked; it never returns. It puts memory in place, makes the threads, and lets each thread
 * restore itself, stage by stage; in the end all sleep until somebody outside sets their registers.
 *
 * It runs where no libc and no stack of ours is left: it uses system calls, its arguments and
 * nothing else. It must not write static data (its code is mapped read-only) and has no
 * relocations.
 */
#include "pie/restorer.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <time.h>

#include "compel/pie/entry.h"
#include "compel/pie/string.h"
#include "compel/pie/syscall.h"

#if defined(__x86_64__)
#include "pie/x86_64/clone-thread.h"
#else
#error "no clone-thread.h for this architecture"
#endif

/* A millisecond each. */
#define CLONE_TRIES 2000

#define THREAD_FLAGS \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static void futex_sleep(struct futex *f, uint32_t expected)
{
	sys(futex, &f->word, FUTEX_WAIT, expected, 0, 0, 0);
}

static void futex_wake_all(struct futex *f)
{
	sys(futex, &f->word, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
}

static void arrive(struct restorer *r)
{
	if (futex_add(&r->shared->remaining, -1) == 0)
		futex_wake_all(&r->shared->remaining);
}

void restorer_fail(struct restorer *r, enum restorer_step step, long err, uint64_t detail)
{
	struct restorer_shared *shared = r->shared;
	uint32_t none = 0;

	if (__atomic_compare_exchange_n(&shared->has_error.word, &none, 1, 0, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE)) {
		shared->step = step;
		shared->pid = r->args->pid;
		shared->tid = r->thread->tid;
		shared->err = (int32_t)err;
		shared->detail = detail;
		futex_store(&shared->has_error, 2);
	}
	futex_store(&shared->failed, 1);
	futex_wake_all(&shared->remaining);
	for (;;)
		sys(exit_group, 1);
}

/* Reaches the end of the stage and sleeps until the next one begins. */
static void stage_end(struct restorer *r, enum restore_stage stage)
{
	arrive(r);
	while (futex_get(&r->shared->stage) == stage)
		futex_sleep(&r->shared->stage, stage);
}

/* Everything is done: until this thread is given its own registers. */
static void __attribute__((noreturn)) hold(void)
{
	struct futex forever = {0};

	for (;;)
		futex_sleep(&forever, 0);
}

static void creds_stage(struct restorer *r)
{
	struct task_args *args = r->args;

	thread_restore_creds(r);
	if (futex_add(&args->threads_done, 1) == args->threads.n)
		futex_wake_all(&args->threads_done);
}

static void thread_run(void *arg)
{
	/* What the leader has written there lies in this thread's own stack. */
	struct restorer *r = arg;

	thread_restore(r);
	stage_end(r, STAGE_MEMORY);
	thread_restore_pending(r);
	creds_stage(r);
	arrive(r);
	hold();
}

/* The number of a thread that has gone comes free a moment after anybody could have seen it; one
 * that somebody has was refused before. */
static long create_thread(struct restorer *r, struct clone_args *ca)
{
	struct timespec pause = {.tv_nsec = 1000000};
	long ret;

	for (int tries = 0;; tries++) {
		ret = clone_thread(ca, thread_run, r);
		if (ret != -EEXIST || tries == CLONE_TRIES)
			return ret;
		sys(nanosleep, &pause, 0);
	}
}

static void create_threads(struct restorer *leader)
{
	struct task_args *args = leader->args;
	struct thread_args *threads = args_at(leader, args->threads);

	for (uint32_t i = 1; i < args->threads.n; i++) {
		uint64_t top = args->stacks + (i + 1) * args->stack_size;
		struct restorer *r = (struct restorer *)(top - 64);
		struct clone_args ca = {.flags = THREAD_FLAGS, .set_tid_size = 1};

		*r = *leader;
		r->thread = &threads[i];
		ca.stack = top - args->stack_size;
		ca.stack_size = args->stack_size - 64;
		ca.set_tid = (uint64_t)&r->thread->tid;
		must(leader, STEP_CLONE_THREAD, create_thread(r, &ca), (uint64_t)r->thread->tid);
	}
}

static void wait_for_creds(struct restorer *r)
{
	struct task_args *args = r->args;
	uint32_t done;

	while ((done = futex_get(&args->threads_done)) < args->threads.n)
		futex_sleep(&args->threads_done, done);
}

static void wait_for_turn(struct restorer *r)
{
	uint32_t level;

	while ((level = futex_get(&r->shared->level)) > r->args->depth)
		futex_sleep(&r->shared->level, level);
}

compel_entry void restorer_run(struct task_args *args);
compel_entry void restorer_run(struct task_args *args)
{
	struct restorer r = {.args = args, .shared = (struct restorer_shared *)args->shared};

	r.thread = args_at(&r, args->threads);
	restore_memory(&r);
	create_threads(&r);
	thread_restore(&r);
	task_restore_signals(&r);
	stage_end(&r, STAGE_MEMORY);

	/* Not before: a table shared with another task was in use until everyone's memory was
	 * there. */
	must(&r, STEP_CLOSE, sys(close_range, args->first_own_fd, ~0u, 0), 0);
	task_restore_limits(&r);
	creds_stage(&r);
	wait_for_creds(&r);
	task_restore_flags(&r);
	stage_end(&r, STAGE_CREDS);

	wait_for_turn(&r);
	task_restore_pending(&r);
	arrive(&r);
	hold();
}
