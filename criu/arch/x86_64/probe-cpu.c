// SPDX-License-Identifier: GPL-2.0-only
/* Probes of what is about this architecture: hardware breakpoints, and mapping the vDSO at a chosen
 * address. */
#include "kernel/probes.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/spawn.h"

/* asm/prctl.h */
#define MAP_VDSO_32 0x2002
#define MAP_VDSO_64 0x2003

/* A process that has a vDSO gets no second one: EEXIST from a kernel that could map it. */
static int map_vdso(int which)
{
	if (syscall(SYS_arch_prctl, which, 0) >= 0 || errno == EEXIST)
		return 1;
	return probe_errno(-1);
}

static int map_vdso_32(void)
{
	return map_vdso(MAP_VDSO_32);
}

static int map_vdso_64(void)
{
	return map_vdso(MAP_VDSO_64);
}

int probe_compat_cr(void)
{
	return probe_in_child(map_vdso_32);
}

int probe_can_map_vdso(void)
{
	return probe_in_child(map_vdso_64);
}

static void __attribute__((noinline)) breakpoint_target(void)
{
	__asm__ volatile("" ::: "memory");
}

static int set_debug_register(pid_t pid, int number, unsigned long value)
{
	size_t offset = offsetof(struct user, u_debugreg) + (size_t)number * sizeof(long);

	return ptrace(PTRACE_POKEUSER, pid, offset, value) < 0 ? -errno : 0;
}

/* Some hypervisors let the registers be set and then nothing comes of it, so the child must really
 * stop. */
static int stops_at_breakpoint(pid_t pid)
{
	int err = set_debug_register(pid, 0, (uintptr_t)breakpoint_target), status;

	/* Register 0, local, on execution. */
	if (err == 0)
		err = set_debug_register(pid, 7, 1);
	if (err < 0)
		return probe_answer(err);
	if (ptrace(PTRACE_CONT, pid, NULL, NULL) < 0)
		return -errno;
	status = spawn_wait(pid);
	return status >= 0 && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
}

int probe_breakpoints(void)
{
	pid_t pid = fork();
	int status, answer;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(errno);
		raise(SIGSTOP);
		breakpoint_target();
		_exit(0);
	}
	status = spawn_wait(pid);
	if (status < 0 || !WIFSTOPPED(status))
		return status < 0 ? status : -WEXITSTATUS(status);
	answer = stops_at_breakpoint(pid);
	kill(pid, SIGKILL);
	spawn_wait(pid);
	return answer;
}
