// SPDX-License-Identifier: GPL-2.0-only
/*
 * General registers, FPU state and thread-local segments of a thread on x86-64. A thread that was
 * caught in a system call which the kernel is going to restart gets registers with which it issues
 * the call anew: whoever restores it has no kernel that remembers. Calls that sleep for a time
 * (nanosleep(2), poll(2)) then begin with all of their time again.
 */
#include "state/parts.h"

#include <asm/ldt.h>
#include <errno.h>
#include <string.h>
#include <sys/user.h>

#include "arch/x86_64/fpu.h"
#include "compel/regs.h"
#include "cr.h"
#include "images/core-x86.pb-c.h"
#include "images/core.pb-c.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

#define USER_CS        0x33
#define USER_DS        0x2b
#define USER_SPACE_END 0x7ffffffff000ull

#define N_TLS           3
#define FIRST_TLS_ENTRY 12

const CoreEntry__March core_march = CORE_ENTRY__MARCH__X86_64;

static UserX86RegsEntry *general_to_message(const struct user_regs_struct *regs)
{
	UserX86RegsEntry *entry = message_new(&user_x86_regs_entry__descriptor);

	entry->r15 = regs->r15;
	entry->r14 = regs->r14;
	entry->r13 = regs->r13;
	entry->r12 = regs->r12;
	entry->bp = regs->rbp;
	entry->bx = regs->rbx;
	entry->r11 = regs->r11;
	entry->r10 = regs->r10;
	entry->r9 = regs->r9;
	entry->r8 = regs->r8;
	entry->ax = regs->rax;
	entry->cx = regs->rcx;
	entry->dx = regs->rdx;
	entry->si = regs->rsi;
	entry->di = regs->rdi;
	entry->orig_ax = regs->orig_rax;
	entry->ip = regs->rip;
	entry->cs = regs->cs;
	entry->flags = regs->eflags;
	entry->sp = regs->rsp;
	entry->ss = regs->ss;
	entry->fs_base = regs->fs_base;
	entry->gs_base = regs->gs_base;
	entry->ds = regs->ds;
	entry->es = regs->es;
	entry->fs = regs->fs;
	entry->gs = regs->gs;
	entry->has_mode = true;
	entry->mode = USER_X86_REGS_MODE__NATIVE;
	return entry;
}

static UserDescT *segment_to_message(const struct user_desc *desc, unsigned int number)
{
	UserDescT *entry = message_new(&user_desc_t__descriptor);

	entry->entry_number = number;
	entry->read_exec_only = true;
	entry->seg_not_present = true;
	if (!desc)
		return entry;
	entry->base_addr = desc->base_addr;
	entry->limit = desc->limit;
	entry->seg_32bit = desc->seg_32bit;
	entry->contents_h = desc->contents & 2;
	entry->contents_l = desc->contents & 1;
	entry->read_exec_only = desc->read_exec_only;
	entry->limit_in_pages = desc->limit_in_pages;
	entry->seg_not_present = desc->seg_not_present;
	entry->usable = desc->useable;
	return entry;
}

static void tls_to_message(const struct compel_regs *regs, ThreadInfoX86 *info)
{
	unsigned int count = 0;
	size_t size = 0;
	const uint8_t *slots = compel_regs_tls(regs, &count, &size);

	info->tls = xcalloc(N_TLS, sizeof(*info->tls));
	info->n_tls = N_TLS;
	for (unsigned int i = 0; i < N_TLS; i++) {
		struct user_desc desc;
		bool is_there = slots && i < count && size >= sizeof(desc);

		if (is_there)
			memcpy(&desc, slots + i * size, sizeof(desc));
		info->tls[i] = segment_to_message(is_there ? &desc : NULL, FIRST_TLS_ENTRY + i);
	}
}

static int registers_dump(struct cr *cr, struct thread *thread)
{
	struct compel_regs *regs = thread->dump->regs;
	ThreadInfoX86 *info = message_new(&thread_info_x86__descriptor);
	uint64_t orig_ax;
	const void *area;
	size_t size;

	/* Which call it was is kept for people who look: the number has no part in going on. */
	orig_ax = compel_regs_general(regs)->orig_rax;
	compel_regs_reissue(regs);
	info->gpregs = general_to_message(compel_regs_general(regs));
	info->gpregs->orig_ax = orig_ax;
	area = compel_regs_fpu(regs, &size);
	info->fpregs = fpu_to_message(area, size, cr->dump->xsave);
	tls_to_message(regs, info);
	thread->core->thread_info = info;
	return 0;
}

static int registers_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const ThreadInfoX86 *info = thread->core->thread_info;
	const UserX86RegsEntry *regs = info->gpregs;
	const char *fault = fpu_fault(info->fpregs);

	if (fault)
		return log_refuse(cr, -EBADMSG, "core-%d.img: field thread_info.fpregs.%s",
				  thread->tid, fault);
	if (regs->cs != USER_CS || regs->ss != USER_DS)
		fault = "cs, ss: are not those of a program of 64 bits";
	else if (regs->ip >= USER_SPACE_END || regs->fs_base >= USER_SPACE_END ||
		 regs->gs_base >= USER_SPACE_END)
		fault = "ip, fs_base, gs_base: point into the kernel";
	if (fault)
		return log_refuse(cr, -EBADMSG, "core-%d.img: field thread_info.gpregs.%s",
				  thread->tid, fault);
	return 0;
}

const struct thread_part thread_part_registers = {
	.name = "registers",
	.dump = registers_dump,
	.load = registers_load,
};
