/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CRIU_TASK_RSEQ_H
#define CRIU_TASK_RSEQ_H

#include <stdint.h>

/* struct rseq_cs, the descriptor of a critical section in a task's memory. */
struct rseq_section {
	uint32_t version, flags;
	uint64_t start_ip, post_commit_offset, abort_ip;
};

enum rseq_fate {
	RSEQ_OUTSIDE, /* the thread is in no critical section */
	RSEQ_ABORT,   /* it must go on at abort_ip, and the section is over */
	RSEQ_KEEP,    /* it goes on where it is, with the section still in force */
};

/* What becomes of a thread that was stopped at ip; flags are those of its struct rseq. */
enum rseq_fate rseq_decide(uint64_t ip, uint32_t flags, const struct rseq_section *section);

#endif
