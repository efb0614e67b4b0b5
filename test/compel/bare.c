// SPDX-License-Identifier: GPL-2.0-only
/*
 * A static program without libc, whose only system call instructions have no return after them, and
 * which has no restorer: there is nothing to build a way back of. It counts rounds of nanosleep in
 * the report that is mapped from its argument.
 */
#include <asm/unistd.h>
#include <stdint.h>

#include "test/compel/victim.h"

static inline long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	/* The bytes after the instruction are a jump, never a return. */
	__asm__ volatile("syscall; jmp 1f; 1:"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static void work(const char *path)
{
	long fd = call(__NR_open, (long)path, 2, 0, 0, 0, 0);
	struct victim_report *r = (struct victim_report *)call(
		__NR_mmap, 0, sizeof(struct victim_report), 3, 1, fd, 0);

	call(__NR_close, fd, 0, 0, 0, 0, 0);
	r->ready = 1;
	for (;;) {
		long t[2] = {0, 3000000};

		if (call(__NR_nanosleep, (long)t, 0, 0, 0, 0, 0) != 0)
			r->failed = 1;
		r->rounds[0]++;
	}
}

__attribute__((naked, used)) void _start(void)
{
	__asm__("mov 16(%rsp), %rdi; and $-16, %rsp; call bare_main");
}

__attribute__((used)) void bare_main(const char *path)
{
	work(path);
}
