/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What an architecture supplies to the session, under the same names each: instructions to be found
 * in a process's own code, and signal frames to go on from.
 *
 * A link is a piece of memory that makes a thread go on with given registers. A `ret` that takes
 * its target from the link's entry reaches rt_sigreturn, which loads the frame inside; or registers
 * may be set to issue rt_sigreturn on that frame at once. Links are chained: the registers in one
 * session_say "system call, then ret into the next".
 */
#ifndef COMPEL_LIB_ARCH_H
#define COMPEL_LIB_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct compel_regs;

/* Addresses in the process; 0: not found. */
struct gadgets {
	uint64_t syscall;     /* a system call instruction */
	uint64_t syscall_ret; /* one with a return after it */
	uint64_t restorer;    /* code that issues rt_sigreturn: every libc has it */
	uint64_t pop_number;  /* without it: code that pops the call's number from the stack and
				 returns */
};

enum { ARCH_LINK_SIZE = 352, ARCH_FPU_ALIGN = 64 };

static inline bool gadgets_are_complete(const struct gadgets *g)
{
	return g->syscall_ret && (g->restorer || g->pop_number);
}

/* Looks through code that is at address in the process, for what g lacks. */
void compel_arch_gadgets_scan(const unsigned char *code, size_t size, uint64_t address,
			      struct gadgets *g);

/* Are the instructions that g names still there? read copies from the process. */
bool compel_arch_gadgets_verify(const struct gadgets *g,
				int (*read)(void *opaque, uint64_t from, void *to, size_t size),
				void *opaque);

/* Does the processor check returns of this thread against a shadow stack (so that no chain can
 * work)? */
bool compel_arch_has_shadow_stack(pid_t tid);

/* Bytes of the FPU image a frame needs, and the image itself. limit is compel_arch_fpu_limit(),
 * asked once. */
size_t compel_arch_fpu_limit(void);
size_t compel_arch_fpu_image_size(const struct compel_regs *regs, size_t limit);
void compel_arch_fpu_image_fill(void *image, const struct compel_regs *regs, size_t limit);

/* Fills link[ARCH_LINK_SIZE], which will be at address, with registers, mask and the address of the
 * FPU image. */
void compel_arch_link_fill(void *link, uint64_t address, const struct gadgets *g,
			   const struct user_regs_struct *regs, uint64_t sigmask,
			   uint64_t fpu_image);

/* Of the link at address: the stack pointer with which a ret goes into it; and its frame. */
uint64_t compel_arch_link_entry(uint64_t address, const struct gadgets *g);
uint64_t compel_arch_link_frame(uint64_t address);

/* Registers that issue a system call at address ip, with this stack; that begin a function; that
 * take a frame. */
void compel_arch_set_syscall(struct user_regs_struct *r, uint64_t ip, uint64_t sp, long nr,
			     const uint64_t args[6]);
void compel_arch_set_call(struct user_regs_struct *r, uint64_t function, uint64_t stack_top,
			  uint64_t arg);
void compel_arch_set_sigreturn(struct user_regs_struct *r, uint64_t syscall_at, uint64_t frame);

/* At the stop before a system call: makes it another one, after which the thread is at ip with that
 * stack. */
void compel_arch_change_syscall(struct user_regs_struct *r, uint64_t ip, uint64_t sp, long nr,
				const uint64_t args[6]);

/* The address after the system call instruction at ip. */
uint64_t compel_arch_after_syscall(uint64_t ip);

uint64_t compel_arch_sp(const struct user_regs_struct *r);
uint64_t compel_arch_ip(const struct user_regs_struct *r);
void compel_arch_set_ip(struct user_regs_struct *r, uint64_t ip);

/* Bytes below the stack pointer that belong to the program all the same. */
extern const unsigned int compel_arch_redzone;

#endif
