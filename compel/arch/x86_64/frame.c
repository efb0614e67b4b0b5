// SPDX-License-Identifier: LGPL-2.1-only
/*
 * x86_64's signal frames as rt_sigreturn reads them, and registers that lead into them. A frame
 * without FPU image would reset the FPU, so each names one: the XSAVE image that ptrace gave, plus
 * the words in its software area by which the kernel knows how far it goes. The alternate signal
 * stack cannot be read from outside; a frame with nonsense for one leaves it as it is.
 *
 * A link is: address of `pop %rax; ret`, 15, address of `syscall`, then the ucontext; or, where the
 * process has a restorer, its address in place of the third word, which is then also where a ret
 * enters.
 */
#include <asm/sigcontext.h>
#include <asm/unistd.h>
#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "compel/base/bits.h"
#include "compel/lib/arch.h"
#include "compel/lib/regs-priv.h"

/* uc_flags, from the kernel's <asm/ucontext.h>, which clashes with libc's. */
enum { CONTEXT_FP_XSTATE = 1, CONTEXT_SIGCONTEXT_SS = 2, CONTEXT_STRICT_RESTORE_SS = 4 };

enum {
	FLAGS_CLEAN = 0x202, /* interrupts on, and a bit that is always set: no trap, no backward
				strings */
	BAD_ALTSTACK_FLAGS = 0x7ffffff0,
	SYSCALL_LENGTH = 2,
	CPUID_XSAVE = 0xd,
	XSAVE_LEGACY = 512,
	XSAVE_HEADER = 64,
	TILE_DATA = 18, /* the one component so far that a thread gets only when it uses it */
};

const unsigned int compel_arch_redzone = 128;

struct link {
	uint64_t pop_number, number;
	uint64_t return_to; /* the signal frame begins here */
	uint64_t flags, link;
	uint64_t stack_at;
	uint32_t stack_flags, unused;
	uint64_t stack_size;
	struct sigcontext context;
	uint64_t sigmask;
};

_Static_assert(sizeof(struct link) <= ARCH_LINK_SIZE, "room for a link");

/*
 * A thread that never used its tiles has a smaller state than ptrace shows, and the kernel refuses
 * a frame's image that is larger. CPUID is slow in a virtual machine, hence once.
 */
size_t compel_arch_fpu_limit(void)
{
	uint32_t size = 0, offset = 0, c, d;

	if (__get_cpuid_count(CPUID_XSAVE, TILE_DATA, &size, &offset, &c, &d) && size)
		return offset;
	return SIZE_MAX;
}

static size_t image_end(const struct compel_regs *regs, size_t limit)
{
	uint64_t present;

	if (regs->fpu_size < XSAVE_LEGACY + XSAVE_HEADER)
		return regs->fpu_size;
	memcpy(&present, (char *)regs->fpu + XSAVE_LEGACY, sizeof(present));
	return present >> TILE_DATA & 1 ? regs->fpu_size : MIN(regs->fpu_size, limit);
}

size_t compel_arch_fpu_image_size(const struct compel_regs *regs, size_t limit)
{
	return image_end(regs, limit) + FP_XSTATE_MAGIC2_SIZE;
}

void compel_arch_fpu_image_fill(void *image, const struct compel_regs *regs, size_t limit)
{
	uint32_t end = image_end(regs, limit);
	uint32_t magic2 = FP_XSTATE_MAGIC2;
	struct _fpx_sw_bytes sw = {0};
	char *sw_at = (char *)image + XSAVE_LEGACY - sizeof(sw);

	memcpy(image, regs->fpu, end);
	memcpy((char *)image + end, &magic2, sizeof(magic2));
	if (end < XSAVE_LEGACY + XSAVE_HEADER) {
		memset(sw_at, 0, sizeof(sw));
		return;
	}
	/* ptrace keeps the enabled features where a frame has both magic and these. */
	memcpy(&sw.xfeatures, sw_at, sizeof(sw.xfeatures));
	sw.magic1 = FP_XSTATE_MAGIC1;
	sw.xstate_size = end;
	sw.extended_size = end + FP_XSTATE_MAGIC2_SIZE;
	memcpy(sw_at, &sw, sizeof(sw));
}

static void context_fill(struct sigcontext *c, const struct user_regs_struct *r, uint64_t fpu_image)
{
	c->r8 = r->r8;
	c->r9 = r->r9;
	c->r10 = r->r10;
	c->r11 = r->r11;
	c->r12 = r->r12;
	c->r13 = r->r13;
	c->r14 = r->r14;
	c->r15 = r->r15;
	c->rdi = r->rdi;
	c->rsi = r->rsi;
	c->rbp = r->rbp;
	c->rbx = r->rbx;
	c->rdx = r->rdx;
	c->rax = r->rax;
	c->rcx = r->rcx;
	c->rsp = r->rsp;
	c->rip = r->rip;
	c->eflags = r->eflags;
	c->cs = r->cs;
	c->ss = r->ss;
	c->fpstate = (struct _fpstate *)fpu_image;
}

void compel_arch_link_fill(void *memory, uint64_t address, const struct gadgets *g,
			   const struct user_regs_struct *regs, uint64_t sigmask,
			   uint64_t fpu_image)
{
	struct link *link = memory;

	memset(link, 0, sizeof(*link));
	link->pop_number = g->pop_number;
	link->number = __NR_rt_sigreturn;
	link->return_to = g->restorer ? g->restorer : g->syscall;
	link->flags = CONTEXT_FP_XSTATE | CONTEXT_SIGCONTEXT_SS | CONTEXT_STRICT_RESTORE_SS;
	link->stack_flags = BAD_ALTSTACK_FLAGS;
	context_fill(&link->context, regs, fpu_image);
	link->sigmask = sigmask;
}

uint64_t compel_arch_link_entry(uint64_t address, const struct gadgets *g)
{
	return g->restorer ? compel_arch_link_frame(address) : address;
}

uint64_t compel_arch_link_frame(uint64_t address)
{
	return address + offsetof(struct link, return_to);
}

void compel_arch_set_syscall(struct user_regs_struct *r, uint64_t ip, uint64_t sp, long nr,
			     const uint64_t args[6])
{
	r->rip = ip;
	r->rsp = sp;
	r->rax = nr;
	r->orig_rax = -1;
	r->eflags = FLAGS_CLEAN;
	r->rdi = args[0];
	r->rsi = args[1];
	r->rdx = args[2];
	r->r10 = args[3];
	r->r8 = args[4];
	r->r9 = args[5];
}

/* A function finds the stack as if it had been called: 8 below a multiple of 16. It must not
 * return. */
void compel_arch_set_call(struct user_regs_struct *r, uint64_t function, uint64_t stack_top,
			  uint64_t arg)
{
	r->rip = function;
	r->rsp = round_down(stack_top, 16) - 8;
	r->rbp = 0;
	r->rdi = arg;
	r->rax = 0;
	r->orig_rax = -1;
	r->eflags = FLAGS_CLEAN;
}

void compel_arch_set_sigreturn(struct user_regs_struct *r, uint64_t syscall_at, uint64_t frame)
{
	static const uint64_t none[6];

	compel_arch_set_syscall(r, syscall_at, frame + 8, __NR_rt_sigreturn, none);
}

void compel_arch_change_syscall(struct user_regs_struct *r, uint64_t ip, uint64_t sp, long nr,
				const uint64_t args[6])
{
	compel_arch_set_syscall(r, ip, sp, nr, args);
	r->rax = -ENOSYS; /* as the kernel has it at this stop */
	r->orig_rax = nr;
}

uint64_t compel_arch_after_syscall(uint64_t ip)
{
	return ip + SYSCALL_LENGTH;
}

uint64_t compel_arch_sp(const struct user_regs_struct *r)
{
	return r->rsp;
}

uint64_t compel_arch_ip(const struct user_regs_struct *r)
{
	return r->rip;
}

void compel_arch_set_ip(struct user_regs_struct *r, uint64_t ip)
{
	r->rip = ip;
}
