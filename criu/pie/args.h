/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the restorer blob is told: the only contract between it and the host. A task's arguments are
 * one block of memory that starts with struct task_args; everything of variable length lies behind
 * it and is referred to by its distance from the start (struct args_ref), so that the block can be
 * built anywhere and copied to where the blob runs. state/args-builder.h builds it.
 *
 * The blob runs in an area of its own that no mapping of the tree overlaps and that has the same
 * address in all tasks: first struct restorer_shared, which all processes share, then the code, the
 * arguments, and a stack for each thread. When everything is restored all threads sleep in it
 * ("held"); whoever lets them go unmaps the area and sets their registers from outside.
 *
 * Parts of a task's state fill in what is theirs; a member that stays zero leaves that state as
 * fork(2) gave it.
 */
#ifndef CRIU_PIE_ARGS_H
#define CRIU_PIE_ARGS_H

#include <stdint.h>

#include "compel/base/futex.h"
#include "pie/mem-args.h"

/* n items that begin offset bytes behind the start of struct task_args. */
struct args_ref {
	uint32_t offset, n;
};

/*
 * The stages that a restore passes, in this order. A stage ends when every process that takes part
 * in it has reached its end; the coordinator then lets all go on to the next one.
 */
enum restore_stage {
	STAGE_START,
	STAGE_FORK,     /* all processes exist, sessions are made, group leaders lead */
	STAGE_GROUPS,   /* everyone is in its process group */
	STAGE_FILES,    /* descriptors, working directory, root */
	STAGE_MAPPINGS, /* mappings that plugins own; only where there are plugins */
	STAGE_MEMORY,   /* the blob: all memory in place, all threads there */
	STAGE_CREDS,    /* traced: seccomp filters, credentials and what depends on them */
	STAGE_SIGNALS,  /* final disposition of SIGCHLD, pending signals, timers run */
	STAGES,
};

/* Where a blob was when a call failed: id, what was tried ("pid 7: <text>: <reason>"). */
#define RESTORER_STEPS(STEP)                                                  \
	STEP(NONE, "restore")                                                 \
	STEP(SHARED_UNMAP, "unmap our own memory")                            \
	STEP(EARLY_MOVE, "move the vDSO to its address")                      \
	STEP(MOVE, "move memory to its address")                              \
	STEP(PKEY_ALLOC, "allocate a protection key")                         \
	STEP(PKEY_FREE, "free a protection key")                              \
	STEP(PROTECT, "set the protection of memory")                         \
	STEP(MM_MAP, "set code, data, argument addresses and the executable") \
	STEP(CLOSE, "close the tool's descriptors")                           \
	STEP(THP, "set PR_SET_THP_DISABLE")                                   \
	STEP(MEMBARRIER, "register for membarrier")                           \
	STEP(CLONE_THREAD, "create a thread")                                 \
	STEP(ROBUST_LIST, "set the robust list")                              \
	STEP(RSEQ, "register the restartable sequence area")                  \
	STEP(ALTSTACK, "set the alternate signal stack")                      \
	STEP(COMM, "set the name")                                            \
	STEP(SIGACTION, "set the disposition of a signal")                    \
	STEP(TIMER_CREATE, "create a POSIX timer")                            \
	STEP(TIMER_SET, "arm a POSIX timer")                                  \
	STEP(ITIMER, "arm an interval timer")                                 \
	STEP(RLIMIT, "set a resource limit")                                  \
	STEP(PERSONALITY, "set the personality")                              \
	STEP(NO_NEW_PRIVS, "set no_new_privs")                                \
	STEP(SECCOMP, "install a seccomp filter")                             \
	STEP(SECUREBITS, "set the securebits")                                \
	STEP(GROUPS, "set the supplementary groups")                          \
	STEP(GIDS, "set the group ids")                                       \
	STEP(UIDS, "set the user ids")                                        \
	STEP(FSIDS, "set the ids for file access")                            \
	STEP(BOUNDING, "drop a capability from the bounding set")             \
	STEP(CAPS, "set the capabilities")                                    \
	STEP(AMBIENT, "raise an ambient capability")                          \
	STEP(DUMPABLE, "set whether it may be dumped")                        \
	STEP(SUBREAPER, "set whether it is a child subreaper")                \
	STEP(PDEATH, "set the parent death signal")                           \
	STEP(SIGQUEUE, "queue a pending signal")

enum restorer_step {
#define STEP(id, text) STEP_##id,
	RESTORER_STEPS(STEP)
#undef STEP
};

/* Shared by all processes of a restore, at one address in all of them. */
struct restorer_shared {
	struct futex stage;     /* enum restore_stage that runs */
	struct futex remaining; /* processes (from STAGE_MEMORY on: threads) that have not reached
				   its end */
	struct futex failed;    /* 1: something went wrong, nobody goes on */
	struct futex level; /* STAGE_SIGNALS: tasks of this depth in the tree and deeper go on */
	/* The first failure within a blob; taken by whoever sets `has_error` first. */
	struct futex has_error; /* 1 being written, 2 complete */
	uint32_t step;          /* enum restorer_step */
	int32_t pid, tid, err;
	uint64_t detail; /* number of the signal, capability, resource, address …, whatever step is
			    about */
};

/* Credentials. Everything is in terms of the user namespace of the task. */
struct creds_args {
	uint32_t is_set; /* 0: as inherited */
	uint32_t uid, euid, suid, fsuid;
	uint32_t gid, egid, sgid, fsgid;
	uint32_t securebits;
	uint64_t cap_inheritable, cap_permitted, cap_effective, cap_ambient;
	uint64_t cap_drop; /* to be dropped from the bounding set */
	uint64_t cap_own;  /* permitted set that the restorer itself has: what it may use on the way
			    */
	struct args_ref groups; /* of uint32_t */
};

struct seccomp_filter_args {
	struct args_ref code; /* of struct sock_filter (8 bytes) */
	uint32_t flags;       /* SECCOMP_FILTER_FLAG_* */
	uint32_t reserved;
};

#define ARGS_SIGINFO_SIZE 128

struct thread_args {
	int32_t tid;
	uint32_t seccomp_mode;   /* 0 none, 1 strict, 2 filter */
	struct args_ref filters; /* of struct seccomp_filter_args, in the order of installation */
	uint64_t clear_tid_addr;
	uint64_t robust_head, robust_size; /* size 0: none */
	uint64_t rseq_addr;                /* 0: none */
	uint32_t rseq_size, rseq_signature;
	uint64_t altstack_sp, altstack_size;
	uint32_t altstack_flags;
	uint32_t has_altstack;
	uint32_t pdeath_sig;
	uint32_t no_new_privs;
	char comm[16];
	struct creds_args creds;
	struct args_ref
		pending; /* of ARGS_SIGINFO_SIZE bytes each: signals for this thread alone */
};

/* rt_sigaction(2) of the kernel. */
struct sigaction_args {
	uint64_t handler, flags, restorer, mask;
};

#define ARGS_N_SIGNALS 64

struct itimer_args {
	int64_t interval_sec, interval_usec, value_sec, value_usec;
};

struct posix_timer_args {
	int32_t id, clock, signo, notify, notify_tid;
	int32_t reserved;
	uint64_t sival;
	int64_t interval_sec, interval_nsec, value_sec, value_nsec;
};

struct rlimit_args {
	uint64_t soft, hard;
};

#define ARGS_N_LIMITS 16

struct task_args {
	/* The engine's. */
	uint64_t area, area_size; /* all that is the blob's own, unmapped at the very end: shared
				     memory included */
	uint64_t shared;          /* struct restorer_shared */
	uint64_t stacks;          /* of stack_size bytes, one a thread, in the order of `threads` */
	uint64_t stack_size;
	uint64_t size; /* of this block */
	int32_t pid;
	uint32_t depth;          /* in the tree, from 0 */
	uint32_t first_own_fd;   /* descriptors from here on are the tool's */
	uint32_t has_timer_ids;  /* the kernel creates timers with a given id */
	struct args_ref threads; /* of struct thread_args; [0] is the leader */
	struct futex
		threads_done; /* threads of this task that are through with their credentials */

	/* mem/ */
	struct mem_args mem;
	struct args_ref keep;     /* of struct mem_span; mem.keep is not used */
	struct args_ref moves;    /* of struct mem_move; mem.moves is not used */
	struct args_ref protects; /* of struct mem_protect; mem.protects is not used */

	/* state/ */
	struct args_ref sigactions; /* of struct sigaction_args, for signals 1 to 64 in order; 9 and
				       19 are not looked at */
	struct args_ref pending;    /* of ARGS_SIGINFO_SIZE bytes each: signals for the process */
	struct itimer_args itimers[3]; /* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF */
	struct args_ref posix_timers;  /* of struct posix_timer_args, ids ascending */
	struct rlimit_args limits[ARGS_N_LIMITS];
	uint32_t personality; /* 0 is set, too */
	uint32_t child_subreaper;
	uint32_t membarrier; /* bits: commands of membarrier(2) that register */
};

#endif
