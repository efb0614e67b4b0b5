/* SPDX-License-Identifier: GPL-2.0-only */
/* struct run, shared between plan.c, cancel.c, fault.c, limits.c and
 * progress.c. It lies in memory that
 * forked tasks share. */
#ifndef CRIU_ENGINE_RUN_PRIV_H
#define CRIU_ENGINE_RUN_PRIV_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define FAULTS_MAX      16
#define FAULT_NAME_SIZE 48
#define RUN_SIGNALS     3

struct cr;
struct plan;

enum fault_mode {
	FAULT_BEFORE,
	FAULT_AFTER,
	FAULT_KILL,
	FAULT_KILL_AFTER,
	FAULT_SIGNAL,
	FAULT_STOP,
};

struct fault {
	char name[FAULT_NAME_SIZE];
	enum fault_mode mode;
};

struct run {
	pid_t owner;           /* the tool, among the processes that share this */
	uint32_t last_undo_id; /* guardian.c: forked children add records, too; atomic */
	/* cancel.c */
	uint32_t signal; /* that cancelled the run, 0: none; atomic */
	int cancel_fd;   /* eventfd */
	bool is_deaf;    /* undoing or in its final steps */
	struct sigaction old[RUN_SIGNALS];
	struct sigaction old_pipe, old_xfsz;
	/* plan.c */
	bool is_committed;
	/* limits.c */
	struct rlimit own_limit; /* of descriptors, before it was raised */
	bool has_own_limit;
	/* fault.c */
	struct fault faults[FAULTS_MAX];
	size_t n_faults;
	/* progress.c */
	bool has_progress; /* stderr is a terminal and not the log */
	bool has_line;     /* something stands there that must be cleared */
	const char *step;
	uint64_t step_start_us;
	uint64_t shown_us;      /* atomic */
	uint64_t total, amount; /* atomic */
};

/* Reads CRIU_FAIL_STEP. -EINVAL, logged, for what the plan does not have. */
int fault_parse(struct cr *cr, const struct plan *plan);
/* 0 or the logged error with which the step is to fail, before it runs or after. Does not return
 * where it is to be killed. */
int fault_step(struct cr *cr, const char *name, bool is_after);

/* Takes over the signals; 0 or -errno, logged. cancel_stop() gives them back. */
int cancel_start(struct cr *cr);
void cancel_stop(struct cr *cr);
/* From now on the run cannot be cancelled (any more). */
void cancel_deafen(struct cr *cr);

void progress_start(struct cr *cr, const char *step);
void progress_stop(struct cr *cr);
/* Shows how it stands, at most every so often. */
void progress_tick(struct cr *cr);
/* How often plan_wait_fd() is to tick, -1 for not at all. */
int progress_interval_ms(const struct cr *cr);

#endif
