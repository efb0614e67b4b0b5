/* SPDX-License-Identifier: LGPL-2.1-only */
/* Going on with the registers of a signal frame that was laid out before. Each architecture has its
 * own file of this name. */
#ifndef COMPEL_ARCH_LEAVE_H
#define COMPEL_ARCH_LEAVE_H

#include <stdint.h>

#include <asm/unistd.h>

/* The kernel expects the stack pointer where it would be after the frame's return address was
 * popped. */
static inline void __attribute__((noreturn)) leave_through(uint64_t frame)
{
	__asm__ volatile("mov %0, %%rsp\n\t"
			 "syscall"
			 :
			 : "r"(frame + 8), "a"((long)__NR_rt_sigreturn)
			 : "memory");
	__builtin_unreachable();
}

#endif
