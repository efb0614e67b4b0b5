// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restartable sequences: a critical section is a range of instructions that must run through on one
 * CPU without being preempted. If it is, the kernel has the thread go on at the section's abort
 * handler, from where it tries again. A checkpoint is a preemption; whoever runs code of his own in
 * the thread afterwards, or restores it, must do what the kernel would have done, as that looks
 * only at where the thread is when it returns to user mode next. See Documentation of rseq(2),
 * RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL: a section with it survives interruptions such as ours.
 */
#include "task/rseq.h"

#include <linux/rseq.h>

enum rseq_fate rseq_decide(uint64_t ip, uint32_t flags, const struct rseq_section *section)
{
	/* The kernel compares in the same way: one unsigned difference, so that ip below the start
	 * is outside as well. */
	if (ip - section->start_ip >= section->post_commit_offset)
		return RSEQ_OUTSIDE;
	if ((flags | section->flags) & RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL)
		return RSEQ_KEEP;
	return RSEQ_ABORT;
}
