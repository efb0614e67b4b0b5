// SPDX-License-Identifier: GPL-2.0-only
/* Probes of what is about tasks: tracing, pids, signals, seccomp, namespaces, timers. */
#include "kernel/probes.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/prctl.h>
#include <linux/sched.h>

#include "compel/base/cleanup.h"
#include "kernel/kcmp.h"
#include "kernel/pidfd-ns.h"
#include "kernel/proc.h"
#include "util/fd.h"
#include "util/spawn.h"

/* Newer than the headers that we may be built with. */
#define SUSPEND_SECCOMP          (1 << 21)
#define GET_RSEQ_CONFIGURATION   0x420f
#define TIMER_CREATE_RESTORE_IDS 77
#define CAP_CHECKPOINT_RESTORE_  40
#define MEMBARRIER_GET           (1 << 9)

int probe_kcmp(void)
{
	return probe_answer(kcmp_compare(getpid(), getpid(), KCMP_KIND_VM, 0, 0));
}

int probe_kcmp_epoll(void)
{
	/* A descriptor that is no epoll: the kernel that knows the question says so. */
	int order = kcmp_epoll_target(getpid(), 0, getpid(), -1, 0, 0);

	if (order == -EBADF)
		return 1;
	return probe_answer(order);
}

/* ---- ptrace ---- */

static int is_traced(pid_t pid)
{
	return 1;
}

int probe_ptrace_seize(void)
{
	return probe_traced(is_traced);
}

static int peek_siginfo(pid_t pid)
{
	struct __ptrace_peeksiginfo_args args = {.nr = 1};
	siginfo_t info;

	return probe_errno(ptrace(PTRACE_PEEKSIGINFO, pid, &args, &info));
}

int probe_ptrace_peeksiginfo(void)
{
	return probe_traced(peek_siginfo);
}

static int get_sigmask(pid_t pid)
{
	uint64_t mask;

	return probe_errno(ptrace(PTRACE_GETSIGMASK, pid, sizeof(mask), &mask));
}

int probe_ptrace_sigmask(void)
{
	return probe_traced(get_sigmask);
}

static int suspend_seccomp(pid_t pid)
{
	return probe_errno(ptrace(PTRACE_SETOPTIONS, pid, NULL, SUSPEND_SECCOMP));
}

int probe_seccomp_suspend(void)
{
	return probe_traced(suspend_seccomp);
}

/* A task without filters: EINVAL from a kernel that can show them, EIO from one that does not know
 * the request. */
static int get_seccomp_filter(pid_t pid)
{
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, NULL) >= 0 || errno == EINVAL ||
	    errno == ENOENT)
		return 1;
	return probe_errno(-1);
}

int probe_seccomp_filters(void)
{
	return probe_traced(get_seccomp_filter);
}

static int get_rseq(pid_t pid)
{
	uint64_t configuration[3];

	return probe_errno(ptrace((enum __ptrace_request)GET_RSEQ_CONFIGURATION, pid,
				  sizeof(configuration), configuration));
}

int probe_get_rseq_conf(void)
{
	return probe_traced(get_rseq);
}

int probe_rseq(void)
{
	/* Refused for its arguments, if there is such a call. */
	return syscall(SYS_rseq, NULL, 0, ~0, 0) < 0 && errno == ENOSYS ? 0 : 1;
}

/* ---- pids ---- */

int probe_pidfd_open(void)
{
	_cleanup_close_ int fd = pidfd_new(getpid());

	return probe_answer(fd);
}

int probe_pidfd_getfd(void)
{
	_cleanup_close_ int fd = pidfd_new(getpid()), copy = -1;

	if (fd < 0)
		return probe_answer(fd);
	copy = pidfd_fetch(fd, fd);
	return probe_answer(copy);
}

int probe_pidfd_namespaces(void)
{
	_cleanup_close_ int fd = pidfd_new_thread(gettid());
	uint64_t inode;

	if (fd < 0)
		return probe_answer(fd);
	return probe_answer(pidfd_namespace(fd, PIDFD_NS_UTS, &inode));
}

int probe_pidfd_store(void)
{
	return probe_pidfd_getfd();
}

static pid_t clone_with_pid(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1,
	};
	long child = syscall(SYS_clone3, &args, sizeof(args));

	if (child == 0)
		_exit(0);
	return child < 0 ? -errno : (pid_t)child;
}

/* Takes the pid of a child that is gone, so that it is a free one. */
int probe_clone3_set_tid(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return -errno;
	spawn_wait(pid);
	pid = clone_with_pid(pid);
	/* Somebody took it meanwhile: that is looked at after what we ask for. */
	if (pid == -EEXIST)
		return 1;
	if (pid < 0)
		return pid == -E2BIG ? 0 : probe_answer(pid);
	spawn_wait(pid);
	return 1;
}

int probe_ns_pid(void)
{
	_cleanup_close_ int dir = proc_open(getpid());
	struct proc_status status;
	int err = dir < 0 ? dir : proc_read_status(dir, &status);

	if (err < 0)
		return err;
	proc_status_release(&status);
	return status.ns_pid.n > 0;
}

int probe_cap_checkpoint_restore(void)
{
	return probe_errno(prctl(PR_CAPBSET_READ, CAP_CHECKPOINT_RESTORE_, 0, 0, 0));
}

/* ---- memory layout and memory of others ---- */

int probe_prctl_mm_map(void)
{
	unsigned int size;

	return probe_errno(prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0));
}

/* Our own layout as it is, and our own executable anew: refused with EBUSY because it is mapped, if
 * it is not for lack of rights. */
int probe_exe_unprivileged(void)
{
	_cleanup_close_ int dir = proc_open(getpid()),
			    exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct prctl_mm_map map;
	struct proc_stat st;
	int err = dir < 0 ? dir : proc_read_stat(dir, &st);

	if (err < 0 || exe < 0)
		return err < 0 ? err : -errno;
	map = (struct prctl_mm_map){
		.start_code = st.start_code,
		.end_code = st.end_code,
		.start_data = st.start_data,
		.end_data = st.end_data,
		.start_brk = st.start_brk,
		.brk = (uintptr_t)sbrk(0),
		.start_stack = st.start_stack,
		.arg_start = st.arg_start,
		.arg_end = st.arg_end,
		.env_start = st.env_start,
		.env_end = st.env_end,
		.exe_fd = (uint32_t)exe,
	};
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) == 0 || errno == EBUSY)
		return 1;
	return errno == EPERM ? 0 : probe_errno(-1);
}

int probe_process_vm(void)
{
	char from = 1, to = 0;
	struct iovec local = {&to, 1}, remote = {&from, 1};

	return probe_errno(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
}

/* ---- namespaces ---- */

int probe_userns(void)
{
	return probe_path("/proc/self/ns/user");
}

int probe_cgroupns(void)
{
	return probe_path("/proc/self/ns/cgroup");
}

int probe_timens(void)
{
	return probe_path("/proc/self/timens_offsets");
}

int probe_external_net_ns(void)
{
	return probe_path("/proc/self/ns/net");
}

/* ---- others ---- */

int probe_timer_cr_ids(void)
{
	return probe_errno(prctl(TIMER_CREATE_RESTORE_IDS, 2 /* GET */, 0, 0, 0));
}

int probe_membarrier_get(void)
{
	return probe_errno(syscall(SYS_membarrier, MEMBARRIER_GET, 0, 0));
}
