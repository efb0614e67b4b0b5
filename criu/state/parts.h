/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts that parts.c lists; each is defined in the file of its name (registers and TLS: arch/).
 */
#ifndef CRIU_STATE_PARTS_H
#define CRIU_STATE_PARTS_H

#include "images/core.pb-c.h"
#include "state/part.h"

/* What core_entry.mtype is on this architecture; with the registers in arch/. */
extern const CoreEntry__March core_march;

extern const struct task_part task_part_process;
extern const struct task_part task_part_personality;
extern const struct task_part task_part_comm;
extern const struct task_part task_part_loginuid;
extern const struct task_part task_part_oom;
extern const struct task_part task_part_rlimit;
extern const struct task_part task_part_sigaction;
extern const struct task_part task_part_sigmask;
extern const struct task_part task_part_sigqueue;
extern const struct task_part task_part_itimer;
extern const struct task_part task_part_posix_timer;
extern const struct task_part task_part_subreaper;
extern const struct task_part task_part_membarrier;

extern const struct thread_part thread_part_registers;
extern const struct thread_part thread_part_tid_address;
extern const struct thread_part thread_part_robust_list;
extern const struct thread_part thread_part_rseq;
extern const struct thread_part thread_part_sched;
extern const struct thread_part thread_part_sigmask;
extern const struct thread_part thread_part_sigqueue;
extern const struct thread_part thread_part_altstack;
extern const struct thread_part thread_part_pdeath;
extern const struct thread_part thread_part_creds;
extern const struct thread_part thread_part_lsm;
extern const struct thread_part thread_part_seccomp;
extern const struct thread_part thread_part_comm;
extern const struct thread_part thread_part_cgroup;

#endif
