/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dump: what is known of a task and of a thread before it is written. Everything that can be seen from outside is read while
 * the tree is frozen and not yet infected; what only the task itself can tell is in the answers of the parasite
 * (pie/parasite-args.h). The parts of state/ turn facts into messages.
 */
#ifndef CRIU_TASK_DUMP_H
#define CRIU_TASK_DUMP_H

#include <linux/ptrace.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/proc.h"
#include "pie/parasite-args.h"
#include "task/task.h"

struct cr;
struct compel_session;
struct sock_filter;

/* Pending signals as PTRACE_PEEKSIGINFO gives them: raw siginfo_t, 128 bytes each, in the order they will be delivered. */
#define SIGINFO_SIZE 128
struct signal_queue {
	uint8_t (*items)[SIGINFO_SIZE];
	size_t n, capacity;
};

/* A seccomp filter as it was installed. */
struct seccomp_program {
	struct sock_filter *code;
	size_t n;
	uint32_t flags; /* SECCOMP_FILTER_FLAG_* that ptrace(2) tells: LOG */
};

struct thread_dump {
	int proc; /* /proc/PID/task/TID, O_PATH */
	int stop_signo; /* signal of the group stop the thread was found in, 0: it was running */

	/* From /proc, by workers. */
	struct proc_status status;
	char comm[PROC_COMM_LEN];
	struct proc_cgroups cgroups;
	struct {
		uint32_t policy, priority;
		int32_t nice;
	} sched;
	uint64_t robust_list, robust_list_length;

	/* From ptrace, by the tracing thread. */
	uint64_t blocked; /* signal mask */
	struct signal_queue pending;
	struct ptrace_rseq_configuration rseq;
	struct seccomp_program *filters; /* newest first */
	size_t n_filters;
	uint32_t seccomp_id; /* index of the oldest in seccomp.img, with mode filter and n_filters > 0 */
	bool has_seccomp_id;
	struct arch_thread_state *arch; /* arch/cpu.h: registers, FPU, TLS */

	/* From struct rseq in its memory. */
	uint64_t rseq_cs_pointer; /* rseq_cs that is to be written back just before the thread goes on, 0: none */
	uint64_t rseq_abort_ip;   /* where the thread goes on instead of in its critical section, 0: it was in none */

	/* From the parasite. */
	struct parasite_thread_facts facts;
	uint32_t cg_set;
};

struct task_dump {
	int proc;  /* /proc/PID, O_PATH */
	int pidfd; /* -1 for a zombie */
	struct proc_stat stat;
	uint32_t personality;
	uint32_t loginuid;
	bool has_loginuid;
	int oom_score_adj;
	struct proc_limit limits[PROC_N_LIMITS];
	struct proc_timer *timers;
	size_t n_timers;
	struct signal_queue pending; /* for the process as a whole */
	struct compel_session *session; /* while infected */
	struct parasite_task_args *facts; /* with n_timers timers */
	size_t facts_size;
};

/* The state of the dump itself, off cr->dump. */
struct dump;

/*
 * Freezes the tree of cr->opts->tree: cr->tree is made, every thread of every task is seized and stopped. Refuses, with
 * nothing touched, a root that cannot be dumped. 0 or -errno.
 */
int tree_freeze(struct cr *cr);
/* Lets go of every task, as it was found: running, stopped, or in a frozen cgroup. */
void tree_thaw(struct cr *cr);

#endif
