/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dump: what is known of a task and of a thread before it is written. Everything that can be seen
 * from outside is read while the tree is frozen and not yet infected; what only the task itself can
 * tell is in the answers of the parasite (pie/parasite-args.h). The parts of state/ turn facts into
 * messages.
 */
#ifndef CRIU_TASK_DUMP_H
#define CRIU_TASK_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "images/core.pb-c.h"
#include "images/inventory.pb-c.h"
#include "kernel/proc.h"
#include "pie/parasite-args.h"
#include "task/task.h"

struct cr;
struct compel_regs;
struct compel_session;
struct freeze;
struct kobj_ids;
struct sock_filter;
struct xsave_layout;

/* Pending signals as PTRACE_PEEKSIGINFO gives them: raw siginfo_t, 128 bytes each, in the order
 * they will be delivered. */
#define SIGINFO_SIZE 128
struct signal_queue {
	uint8_t (*items)[SIGINFO_SIZE];
	size_t n, capacity;
};

/* As PTRACE_GET_RSEQ_CONFIGURATION fills it. */
struct rseq_registration {
	uint64_t pointer; /* of the struct rseq; 0: not registered */
	uint32_t size, signature, flags, reserved;
};

/* A seccomp filter as it was installed. */
struct seccomp_program {
	struct sock_filter *code;
	size_t n;
	uint32_t flags; /* SECCOMP_FILTER_FLAG_* that ptrace(2) tells: LOG */
};

/* The kinds of namespaces, in the order in which they are numbered. */
enum ns_index {
	NS_PID,
	NS_NET,
	NS_IPC,
	NS_UTS,
	NS_TIME,
	NS_MNT,
	NS_USER,
	NS_CGROUP,
	NS_INDEXES,
};

struct thread_dump {
	int proc;       /* /proc/PID/task/TID, O_PATH */
	int stop_signo; /* signal of the group stop the thread was found in, 0: it was running */

	/* From /proc, by workers. */
	struct proc_status status;
	struct {
		uint32_t policy, priority;
		int32_t nice;
	} sched;
	uint64_t robust_list, robust_list_length;
	char *lsm_profile, *lsm_sockcreate; /* NULL: none */

	/* From ptrace, by the tracing thread. */
	struct signal_queue pending;
	struct rseq_registration rseq;
	struct seccomp_program *filters; /* newest first */
	size_t n_filters;
	uint32_t seccomp_id; /* index of the oldest in seccomp.img, with mode filter and n_filters >
				0 */
	bool has_seccomp_id;
	struct compel_regs *regs; /* registers, FPU, TLS, signal mask */

	/* From struct rseq in its memory. */
	uint64_t
		rseq_cs_pointer; /* to be written back just before the thread goes on, 0: nothing */

	/* From the parasite. */
	struct parasite_thread_facts facts;
};

struct task_dump {
	int proc;  /* /proc/PID, O_PATH */
	int pidfd; /* -1 for a zombie */
	struct proc_stat stat;
	uint64_t namespaces[NS_INDEXES]; /* inodes; 0: no such kind */
	uint32_t personality;
	uint32_t loginuid;
	bool has_loginuid;
	int oom_score_adj;
	struct proc_limit limits[PROC_N_LIMITS];
	struct proc_timer *timers;
	size_t n_timers;
	struct signal_queue pending;      /* for the process as a whole */
	struct compel_session *session;   /* while infected */
	struct parasite_task_args *facts; /* with n_timers timers */
	size_t facts_size;
};

/* The state of the dump itself, off cr->dump. */
struct dump {
	struct freeze *freeze;            /* task/freeze.c */
	struct TaskKobjIdsEntry root_ids; /* of this tool, for the inventory */
	struct kobj_ids *ids;             /* task/kobj-ids.c */
	Lsmtype lsm;                      /* state/lsm.h: of this machine */
	char *cgroups;                    /* text of our own /proc/self/cgroup */
	struct xsave_layout *xsave; /* arch/x86_64/fpu.h: CPUID is slow in a virtual machine */
	struct proc_timens_offsets offsets,
		own_offsets;                 /* of the tree's time namespace, and ours */
	struct timespec monotonic, boottime; /* clocks at the freeze */
	bool goes_on; /* the tree has been let go of, or killed: nothing may look at it any more */
	bool is_killed;
	int resume_error;  /* of the first plugin that could not resume its device */
	int script_status; /* what the failing post-dump script exited with, 0: none failed */
};

/*
 * Makes cr->dump, with what can be known before anything is touched. 0 or -errno, logged.
 * dump_free() frees it and the whole tree, after mem_free() and files_free().
 */
int dump_start(struct cr *cr);
void dump_free(struct cr *cr);

/* The plan's steps, in this order. Each returns 0 or -errno, logged. */

/* Refuses, with nothing touched, a tree that cannot be dumped; lists the running tree. */
int tree_list(struct cr *cr);
/* A live process of the tree as it was listed last; parent is 0 for the root. */
struct listed_task {
	pid_t pid, parent;
};
/* How many there are; the caller frees *ret. After tree_list(). */
size_t tree_listed(const struct cr *cr, struct listed_task **ret);
/* Lets a frozen tree go and lists it anew, to be frozen once more. */
int tree_refreeze(struct cr *cr);
/* Freezes the tree: every thread of every task is seized and stopped, and cr->tree made of them. */
int tree_freeze(struct cr *cr);
/* Refuses to go on when somebody else has killed a task of the frozen tree; asked between steps. */
int tree_check_alive(struct cr *cr);
/* What is said about a stopped task and its threads by ptrace(2) alone. In the tracing thread. */
int task_peek(struct cr *cr, struct task *task);
/* The rest of it, once task_collect() is through; seccomp filters hold again when the thread is let
 * go. */
int task_peek_rest(struct cr *cr, struct task *task);
/* /proc facts that more than one part needs. Workers. Between the two of a thread its dump->proc is
 * open. */
int task_collect(struct cr *cr, struct task *task);
int thread_collect(struct cr *cr, struct thread *thread);
void thread_collect_end(struct thread *thread);
/* Inodes of the namespaces of a task; 0 or -errno, unlogged (a task that is ending has none). */
int namespaces_read(int proc, uint64_t ret[NS_INDEXES]);
/* Refuses namespaces other than the tool's own. */
int namespaces_check(struct cr *cr, pid_t pid, const uint64_t theirs[NS_INDEXES]);
/* Refuses a thread, its dump->proc open, in others than its process. 0 or -errno, logged. */
int namespaces_check_thread(struct cr *cr, const struct thread *thread);
/* Ids of shared kernel objects and of namespaces; refuses sharing and namespaces that cannot be
 * dumped. */
int kobj_ids_collect(struct cr *cr);
/* Runs the parasite in all tasks and takes it out again. */
int parasite_ask(struct cr *cr);
/* Takes the parasite out of where it still is, whatever happened. */
void parasite_cure(struct cr *cr);
/* Lets go of every task, as it was found; SIGSTOP leaves them stopped. Nothing is traced after it.
 */
void tree_thaw(struct cr *cr, int signo);
/* Nothing of the tree is there any more to be let go. */
void tree_forget(struct cr *cr);
/*
 * Kills every task, none of which runs again, and waits, if asked to, until they are dead. If not,
 * their parents hear of it when the calling thread, which traces them, ends. 0 or -errno, logged.
 */
int tree_kill(struct cr *cr, bool is_death_awaited);

#endif
