/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /proc/PID as plain structs. dir is a descriptor of /proc/PID or of /proc/PID/task/TID (proc_open,
 * proc_open_task): one that is held keeps meaning the same task, also if the pid is used again
 * (then reads give -ESRCH). Every file is read in one go and checked: text that does not look as it
 * should is -EBADMSG, never a guess. The proc_parse_* forms take text that need not end with a zero
 * byte.
 *
 * pids here are as the /proc mount has them: ours ("host_pid").
 */
#ifndef CRIU_KERNEL_PROC_H
#define CRIU_KERNEL_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_COMM_LEN \
	16 /* TASK_COMM_LEN: 15 characters and a zero byte (kernel threads may show more; cut) */
#define PROC_PID_LEVELS 33 /* MAX_PID_NS_LEVEL + 1 */
#define PROC_N_LIMITS   16 /* RLIM_NLIMITS */

/* O_PATH descriptors of /proc/PID, /proc/PID/task/TID, or -errno (-ESRCH, if there is no such
 * task). */
int proc_open(pid_t host_pid);
int proc_open_task(int dir, pid_t host_tid);

/* ---- stat: the 52 fields of proc(5), by their names there ---- */
struct proc_stat {
	pid_t pid;
	char comm[64];
	char state;
	pid_t ppid, pgrp, session;
	int32_t tty_nr; /* device number of the controlling terminal, 0: none */
	pid_t tpgid;
	uint32_t flags; /* PF_* */
	uint64_t minflt, cminflt, majflt, cmajflt;
	uint64_t utime, stime; /* clock ticks */
	int64_t cutime, cstime;
	int64_t priority, nice;
	int64_t num_threads;
	uint64_t starttime; /* clock ticks since boot, in our time namespace */
	uint64_t vsize;     /* bytes; 0: no memory (kernel thread, zombie) */
	int64_t rss;        /* pages */
	uint64_t rsslim;
	uint64_t start_code, end_code,
		start_stack; /* 0 without ptrace rights, as are the addresses below */
	uint64_t kstkesp, kstkeip;
	uint64_t signal, blocked, sigignore, sigcatch;
	uint64_t wchan;
	uint64_t nswap, cnswap;
	int32_t exit_signal;
	int32_t processor;
	uint32_t rt_priority, policy;
	uint64_t delayacct_blkio_ticks;
	uint64_t guest_time;
	int64_t cguest_time;
	uint64_t start_data, end_data, start_brk;
	uint64_t arg_start, arg_end, env_start, env_end;
	int32_t exit_code; /* wait status */
};

int proc_read_stat(int dir, struct proc_stat *ret);
int proc_parse_stat(const char *text, size_t size, struct proc_stat *ret);

/* ---- status ---- */
/* Ids in each pid namespace from ours down to the task's own; 0: not visible there. n is 0 if the
 * kernel does not say. */
struct proc_ids {
	unsigned int n;
	pid_t id[PROC_PID_LEVELS];
};

struct proc_status {
	char name[64];
	uint32_t umask;
	char state;
	pid_t tgid, ngid, pid, ppid, tracer_pid;
	uint32_t uid[4],
		gid[4]; /* real, effective, saved, filesystem; as our user namespace has them */
	uint32_t fd_size;
	uint32_t *groups; /* released by proc_status_release() */
	size_t n_groups;
	struct proc_ids ns_tgid, ns_pid, ns_pgid, ns_sid;
	bool has_kthread; /* "Kthread:" is there (6.11 and later) */
	bool is_kthread;  /* Kthread: 1; older kernels: PF_KTHREAD in stat */
	bool has_mm;      /* Vm* lines are there */
	uint64_t vm_peak, vm_size, vm_locked, vm_pinned, vm_hwm, vm_rss, rss_anon, rss_file,
		rss_shmem; /* KiB */
	uint64_t vm_data, vm_stack, vm_exe, vm_lib, vm_pte, vm_swap, hugetlb;
	bool core_dumping;
	bool thp_enabled; /* false: PR_SET_THP_DISABLE, or no memory */
	uint32_t threads;
	uint64_t sigq_used, sigq_max;
	uint64_t sig_pending, shd_pending, sig_blocked, sig_ignored, sig_caught; /* bit signo - 1 */
	uint64_t cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
	bool no_new_privs;
	uint32_t seccomp; /* SECCOMP_MODE_* */
	uint32_t seccomp_filters;
	bool has_seccomp_filters;
};

int proc_read_status(int dir, struct proc_status *ret);
int proc_parse_status(const char *text, size_t size, struct proc_status *ret);
void proc_status_release(struct proc_status *status);

/* ---- limits: by RLIMIT_* number; UINT64_MAX is RLIM_INFINITY ---- */
struct proc_limit {
	uint64_t soft, hard;
};

int proc_read_limits(int dir, struct proc_limit ret[PROC_N_LIMITS]);
int proc_parse_limits(const char *text, size_t size, struct proc_limit ret[PROC_N_LIMITS]);

/* ---- cgroup ---- */
struct proc_cgroup {
	uint32_t hierarchy;      /* 0: cgroup2 */
	const char *controllers; /* "cpu,cpuacct", "name=systemd", "" for cgroup2 */
	const char *path;        /* in our cgroup namespace, " (deleted)" taken away */
	bool is_deleted;
};

struct proc_cgroups {
	char *text;
	struct proc_cgroup *items;
	size_t n;
};

int proc_read_cgroup(int dir, struct proc_cgroups *ret);
int proc_parse_cgroup(const char *text, size_t size, struct proc_cgroups *ret);
void proc_cgroups_release(struct proc_cgroups *cgroups);

/* ---- small ones ---- */
int proc_read_comm(int dir, char ret[PROC_COMM_LEN]);
/* UINT32_MAX: unset. -ENOENT: the kernel has no audit. */
int proc_read_loginuid(int dir, uint32_t *ret);
int proc_read_oom_score_adj(int dir, int *ret);
int proc_read_personality(int dir, uint32_t *ret);
/* Also what is behind AT_NULL is kept out; the caller frees *ret: pairs of type and value, n pairs
 * without the AT_NULL. */
int proc_read_auxv(int dir, uint64_t (**ret)[2], size_t *ret_n);
/* /proc/PID/{exe,cwd,root}, ns/…: the text of the link; the caller frees it. */
int proc_read_link(int dir, const char *name, char **ret);
/* ns/KIND: the inode of the namespace, as a stat(2) of it would give; the text of the link has it,
 * and costs half. -errno as of readlink(2). */
int proc_read_namespace(int dir, const char *name, uint64_t *ret);
int proc_parse_namespace(const char *text, size_t size, uint64_t *ret);
/* Children of one thread; dir: of its process. The caller frees *ret, here and below (NULL if there
 * are none). */
int proc_read_children(int dir, pid_t host_tid, pid_t **ret, size_t *ret_n);
int proc_parse_children(const char *text, size_t size, pid_t **ret, size_t *ret_n);
/* Threads of a process, in the kernel's order (the leader first while it lives); the caller frees
 * *ret. */
int proc_read_threads(int dir, pid_t **ret, size_t *ret_n);
/* All processes of /proc. */
int proc_read_processes(pid_t **ret, size_t *ret_n);

/* Offsets of the time namespace that children of the task will be in: seconds and nanoseconds. */
struct proc_timens_offsets {
	int64_t monotonic_sec, boottime_sec;
	uint32_t monotonic_nsec, boottime_nsec;
};

int proc_read_timens_offsets(int dir, struct proc_timens_offsets *ret);
int proc_parse_timens_offsets(const char *text, size_t size, struct proc_timens_offsets *ret);

/* uid_map, gid_map: at most 340 extents. */
struct proc_id_extent {
	uint32_t inside, outside, count;
};

int proc_read_id_map(int dir, const char *name, struct proc_id_extent **ret, size_t *ret_n);
int proc_parse_id_map(const char *text, size_t size, struct proc_id_extent **ret, size_t *ret_n);

/* ---- POSIX timers ---- */
struct proc_timer {
	int32_t id;
	int32_t signo;
	uint64_t sival; /* sigev_value.sival_ptr */
	int32_t notify; /* SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD; SIGEV_THREAD_ID added for a "tid"
			 */
	pid_t target;   /* "pid.N" or "tid.N", in our pid namespace */
	int32_t clock_id;
};

int proc_read_timers(int dir, struct proc_timer **ret, size_t *ret_n);
int proc_parse_timers(const char *text, size_t size, struct proc_timer **ret, size_t *ret_n);

#endif
