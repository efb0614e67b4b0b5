// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts of a process and of a thread that core-N.img holds. The order is that in which they are
 * dumped and loaded; none depends on another one's dump. What has to happen in a certain order
 * inside of a restored task is the blob's matter.
 */
#include "state/parts.h"

#include <stddef.h>

const struct task_part *const task_parts[] = {
	&task_part_process,     &task_part_personality,
	&task_part_comm,        &task_part_loginuid,
	&task_part_oom,         &task_part_rlimit,
	&task_part_sigaction,   &task_part_sigmask,
	&task_part_sigqueue,    &task_part_itimer,
	&task_part_posix_timer, &task_part_subreaper,
	&task_part_membarrier,  NULL,
};

const struct thread_part *const thread_parts[] = {
	&thread_part_registers, &thread_part_tid_address, &thread_part_robust_list,
	&thread_part_rseq,      &thread_part_sched,       &thread_part_sigmask,
	&thread_part_sigqueue,  &thread_part_altstack,    &thread_part_pdeath,
	&thread_part_creds,     &thread_part_lsm,         &thread_part_seccomp,
	&thread_part_comm,      &thread_part_cgroup,      NULL,
};
