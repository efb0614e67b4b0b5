/* SPDX-License-Identifier: GPL-2.0-only */
/* Makes a thread on a stack of its own, without libc. Each architecture has its own file of this
 * name. */
#ifndef CRIU_PIE_CLONE_THREAD_H
#define CRIU_PIE_CLONE_THREAD_H

#include <linux/sched.h>

#include <asm/unistd.h>

/*
 * clone3(2) with these arguments, in which stack and stack_size say where the new thread begins:
 * there it calls run(arg), which must not return. The thread's id or negative errno.
 */
static inline long clone_thread(struct clone_args *args, void (*run)(void *), void *arg)
{
	register void (*r8)(void *) __asm__("r8") = run;
	register void *r9 __asm__("r9") = arg;
	long ret;

	__asm__ volatile("syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 1f\n"
			 "xor %%ebp, %%ebp\n"
			 "mov %%r9, %%rdi\n"
			 "call *%%r8\n"
			 "ud2\n"
			 "1:\n"
			 : "=a"(ret)
			 : "a"(__NR_clone3), "D"(args), "S"(sizeof(*args)), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#endif
