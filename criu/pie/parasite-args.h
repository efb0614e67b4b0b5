/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the dump parasite is asked and what it answers: the only contract between it and the host.
 * Plain fixed-size data, as both are built by different rules. It holds only what a task can learn
 * about itself alone; all else is read from outside.
 *
 * The host sends the command PARASITE_TASK with a struct parasite_task_args that names as many
 * timers as the process has, and has each further thread run parasite_thread() with the address of
 * a struct parasite_thread_args.
 */
#ifndef CRIU_PIE_PARASITE_ARGS_H
#define CRIU_PIE_PARASITE_ARGS_H

#include <stdint.h>

#define PARASITE_N_SIGNALS 64

/* As rt_sigaction(2) of the kernel has it on x86-64. */
struct parasite_sigaction {
	uint64_t handler, flags, restorer, mask;
};

/* setitimer(2): seconds and microseconds, interval and time left. */
struct parasite_itimer {
	int64_t interval_sec, interval_usec, value_sec, value_usec;
};

struct parasite_posix_timer {
	int32_t id;      /* in */
	int32_t overrun; /* timer_getoverrun(2) */
	int64_t interval_sec, interval_nsec, value_sec, value_nsec;
};

/* What each thread has of its own. */
struct parasite_thread_facts {
	uint64_t tid_address; /* PR_GET_TID_ADDRESS: set_tid_address(2), CLONE_CHILD_CLEARTID */
	uint64_t altstack_sp, altstack_size;
	uint32_t altstack_flags; /* sigaltstack(2); not SS_ONSTACK: that is a matter of the stack
				    pointer */
	uint32_t pdeath_sig;
	uint32_t securebits; /* PR_GET_SECUREBITS, keep-caps included */
	uint32_t reserved;
};

struct parasite_thread_args {
	int32_t err;  /* out: 0, or the negative errno of the call named by step */
	int32_t step; /* out: enum parasite_step */
	struct parasite_thread_facts facts;
};

/* What a process has as a whole, and its leader. */
struct parasite_task_args {
	int32_t err;             /* out */
	int32_t step;            /* out: enum parasite_step */
	uint32_t n_timers;       /* in */
	uint32_t has_membarrier; /* in: the kernel knows MEMBARRIER_CMD_GET_REGISTRATIONS */
	uint32_t has_pkeys;      /* in: CPU and kernel have protection keys */
	uint32_t pkeys; /* those that pkey_alloc(2) gave and pkey_free(2) did not take back */
	struct parasite_thread_facts leader;
	uint64_t brk;
	int32_t dumpable;     /* PR_GET_DUMPABLE */
	int32_t thp_disabled; /* PR_GET_THP_DISABLE */
	int32_t child_subreaper;
	uint32_t membarrier_registrations;
	struct parasite_itimer itimers[3]; /* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF */
	struct parasite_sigaction
		actions[PARASITE_N_SIGNALS]; /* by signal number - 1; 9 and 19 too */
	struct parasite_posix_timer timers[];
};

/* Which call failed. */
enum parasite_step {
	PARASITE_STEP_NONE,
	PARASITE_STEP_TID_ADDRESS,
	PARASITE_STEP_ALTSTACK,
	PARASITE_STEP_PDEATH_SIG,
	PARASITE_STEP_SECUREBITS,
	PARASITE_STEP_BRK,
	PARASITE_STEP_DUMPABLE,
	PARASITE_STEP_THP,
	PARASITE_STEP_SUBREAPER,
	PARASITE_STEP_MEMBARRIER,
	PARASITE_STEP_PKEYS,
	PARASITE_STEP_ITIMER,
	PARASITE_STEP_SIGACTION,
	PARASITE_STEP_POSIX_TIMER,
};

/* Commands of the blob. */
enum parasite_command {
	PARASITE_TASK = 1,
};

#endif
