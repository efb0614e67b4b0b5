// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers on x86-64, set with ptrace(2) while the thread is stopped in the blob. The kernel is
 * told that it is in no system call (orig_rax -1), so that it restarts none: images hold registers
 * that begin an interrupted call anew by themselves.
 *
 * FPU: the XSAVE area is built from the message in the standard format, at the offsets of this CPU,
 * with the components that both image and CPU have and the image says are in use; all others are in
 * their initial state. Without XSAVE it is the FXSAVE part.
 */
#include "arch/registers.h"

#include <asm/ldt.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "arch/x86_64/fpu.h"
#include "cr.h"
#include "images/core-x86.pb-c.h"
#include "images/core.pb-c.h"
#include "task/restore.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#define SYSCALL_SIZE 2 /* 0f 05 */

int registers_prepare(struct cr *cr)
{
	cr->restore->xsave = xcalloc(1, sizeof(*cr->restore->xsave));
	xsave_layout_get(cr->restore->xsave);
	return 0;
}

void registers_release(struct cr *cr)
{
	free(cr->restore->xsave);
	cr->restore->xsave = NULL;
}

void registers_enter_blob(uint64_t entry, uint64_t stack, uint64_t args)
{
	__asm__ volatile("mov %0, %%rsp\n"
			 "xor %%ebp, %%ebp\n"
			 "call *%1\n"
			 "ud2\n"
			 :
			 : "r"(stack), "r"(entry), "D"(args)
			 : "memory");
	__builtin_unreachable();
}

int registers_call(pid_t host_tid, long nr, const uint64_t args[6])
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, host_tid, NULL, &regs) < 0)
		return -errno;
	regs.rip -= SYSCALL_SIZE;
	regs.orig_rax = (unsigned long long)-1;
	regs.rax = (unsigned long long)nr;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	return ptrace(PTRACE_SETREGS, host_tid, NULL, &regs) < 0 ? -errno : 0;
}

int registers_call_result(pid_t host_tid, long *ret)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, host_tid, NULL, &regs) < 0)
		return -errno;
	*ret = (long)regs.rax;
	return 0;
}

static int restore_general(const UserX86RegsEntry *e, pid_t host_tid)
{
	struct user_regs_struct regs = {
		.r15 = e->r15,
		.r14 = e->r14,
		.r13 = e->r13,
		.r12 = e->r12,
		.rbp = e->bp,
		.rbx = e->bx,
		.r11 = e->r11,
		.r10 = e->r10,
		.r9 = e->r9,
		.r8 = e->r8,
		.rax = e->ax,
		.rcx = e->cx,
		.rdx = e->dx,
		.rsi = e->si,
		.rdi = e->di,
		.orig_rax = (unsigned long long)-1,
		.rip = e->ip,
		.cs = e->cs,
		.eflags = e->flags,
		.rsp = e->sp,
		.ss = e->ss,
		.fs_base = e->fs_base,
		.gs_base = e->gs_base,
		.ds = e->ds,
		.es = e->es,
		.fs = e->fs,
		.gs = e->gs,
	};

	return ptrace(PTRACE_SETREGS, host_tid, NULL, &regs) < 0 ? -errno : 0;
}

static int restore_fpu(const struct cr *cr, const UserX86FpregsEntry *e, pid_t host_tid)
{
	uint8_t area[XSAVE_SIZE_MAX] __attribute__((aligned(64)));
	struct iovec io = {area, sizeof(area)};

	if (ptrace(PTRACE_GETREGSET, host_tid, NT_X86_XSTATE, &io) < 0) {
		fpu_from_message(e, area, FXSAVE_SIZE, NULL);
		return ptrace(PTRACE_SETFPREGS, host_tid, NULL, area) < 0 ? -errno : 0;
	}
	fpu_from_message(e, area, io.iov_len, cr->restore->xsave);
	return ptrace(PTRACE_SETREGSET, host_tid, NT_X86_XSTATE, &io) < 0 ? -errno : 0;
}

static bool is_empty(const UserDescT *e)
{
	return e->seg_not_present && e->read_exec_only && !e->base_addr && !e->limit;
}

static int restore_segments(const ThreadInfoX86 *info, pid_t host_tid)
{
	for (size_t i = 0; i < info->n_tls; i++) {
		const UserDescT *e = info->tls[i];
		struct user_desc desc = {
			.entry_number = e->entry_number,
			.base_addr = e->base_addr,
			.limit = e->limit,
			.seg_32bit = e->seg_32bit,
			.contents = (unsigned int)(e->contents_h << 1 | e->contents_l),
			.read_exec_only = e->read_exec_only,
			.limit_in_pages = e->limit_in_pages,
			.seg_not_present = e->seg_not_present,
			.useable = e->usable,
		};

		if (is_empty(e))
			continue;
		if (ptrace(PTRACE_SET_THREAD_AREA, host_tid, e->entry_number, &desc) < 0)
			return -errno;
	}
	return 0;
}

int registers_restore(struct cr *cr, const struct thread *thread)
{
	const ThreadInfoX86 *info = thread->core->thread_info;
	const char *what = "general registers";
	int err = restore_segments(info, thread->host_tid);

	/* Segments first: general registers hold selectors that may mean them. */
	if (err < 0)
		what = "thread-local segments";
	else
		err = restore_general(info->gpregs, thread->host_tid);
	if (!err) {
		what = "FPU state";
		err = restore_fpu(cr, info->fpregs, thread->host_tid);
	}
	if (err < 0)
		return log_err(cr, err, "pid %d: set the %s of thread %d", thread->task->pid, what,
			       thread->tid);
	return 0;
}
