// SPDX-License-Identifier: LGPL-2.1-only
/*
 * x86_64's registers: where a system call's number and result are, and the three GDT slots for
 * thread-local segments that 32-bit code and old programs use (64-bit ones have fs_base and gs_base
 * among the general registers).
 */
#include <asm/ldt.h>
#include <asm/unistd.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "compel/base/bits.h"
#include "compel/lib/regs-priv.h"

enum {
	USER_CS = 0x33, /* the kernel's __USER_CS: 64-bit code */
	GDT_TLS_MIN =
		12, /* arch/x86/include/asm/segment.h: GDT_ENTRY_TLS_MIN, GDT_ENTRY_TLS_ENTRIES */
	GDT_TLS_COUNT = 3,
	SYSCALL_LENGTH = 2, /* of `syscall`, and of `int $0x80` and `sysenter` */
};

const unsigned int compel_arch_regset_fpu = NT_X86_XSTATE;
const unsigned int compel_arch_regset_fpu_plain = NT_PRFPREG; /* processors without XSAVE */

/* The old requests give the tracer's layout whatever the tracee runs; the regset would give a
 * 32-bit task's own. */
int compel_arch_general_get(pid_t tid, struct user_regs_struct *ret_regs)
{
	return ptrace(PTRACE_GETREGS, tid, NULL, ret_regs) < 0 ? -errno : 0;
}

int compel_arch_general_set(pid_t tid, const struct user_regs_struct *regs)
{
	return ptrace(PTRACE_SETREGS, tid, NULL, regs) < 0 ? -errno : 0;
}

int compel_arch_tls_get(pid_t tid, struct compel_regs *regs)
{
	struct user_desc *desc = (struct user_desc *)regs->tls;

	_Static_assert(GDT_TLS_COUNT * sizeof(*desc) <= ARCH_TLS_ROOM, "room for the TLS slots");
	for (int i = 0; i < GDT_TLS_COUNT; i++) {
		if (ptrace(PTRACE_GET_THREAD_AREA, tid, (void *)(long)(GDT_TLS_MIN + i), &desc[i]) <
		    0)
			return -errno;
	}
	regs->nr_tls = GDT_TLS_COUNT;
	regs->tls_size = sizeof(*desc);
	return 0;
}

bool compel_arch_is_compat(const struct user_regs_struct *r)
{
	return r->cs != USER_CS;
}

long compel_arch_syscall_nr(const struct user_regs_struct *r)
{
	return (long)r->orig_rax;
}

/* A 32-bit task's result is sign-extended by the kernel in pt_regs, so this holds for both. */
long compel_arch_syscall_result(const struct user_regs_struct *r)
{
	return (long)r->rax;
}

/* Looks for `mov $nr, %eax; syscall` just before. Only four calls are restarted like that. */
void compel_arch_syscall_name_restarted(pid_t tid, struct user_regs_struct *r)
{
	static const uint32_t restarted[] = {__NR_poll, __NR_nanosleep, __NR_clock_nanosleep,
					     __NR_futex};
	static const unsigned char syscall_code[] = {0x0f, 0x05};
	unsigned char code[7];
	struct iovec here = {code, sizeof(code)};
	struct iovec there = {(void *)(r->rip - sizeof(code)), sizeof(code)};
	uint32_t nr;

	if (r->orig_rax != __NR_restart_syscall || compel_arch_is_compat(r) ||
	    process_vm_readv(tid, &here, 1, &there, 1, 0) != sizeof(code) || code[0] != 0xb8 ||
	    memcmp(code + 5, syscall_code, sizeof(syscall_code)) != 0)
		return;
	memcpy(&nr, code + 1, sizeof(nr));
	for (size_t i = 0; i < ARRAY_SIZE(restarted); i++) {
		if (nr == restarted[i])
			r->orig_rax = nr;
	}
}

void compel_arch_syscall_reissue(struct user_regs_struct *r)
{
	r->rax = r->orig_rax;
	r->orig_rax = -1;
	r->rip -= SYSCALL_LENGTH;
}
