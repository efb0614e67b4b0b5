/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * System calls for blobs, without libc:
 *
 *	long fd = sys(openat, AT_FDCWD, path, O_RDONLY, 0);
 *
 * sys(name, up to six arguments) issues __NR_name, whatever call that is; the result is the
 *kernel's: negative errno or the answer. Arguments are numbers or pointers, each widened to a long
 *(a signed int keeps its sign). It is a macro because it must take any number of arguments of any
 *type.
 */
#ifndef COMPEL_PIE_SYSCALL_H
#define COMPEL_PIE_SYSCALL_H

#include <asm/unistd.h>

#include "compel/pie/arch.h"

#define sys(name, ...) COMPEL_SYS_PICK(__VA_ARGS__)(__NR_##name, ##__VA_ARGS__)

/* The seventh of what follows: the macro that fits the number of arguments given. */
#define COMPEL_SYS_PICK(...)                                                                    \
	COMPEL_SYS_SEVENTH(, ##__VA_ARGS__, COMPEL_SYS6, COMPEL_SYS5, COMPEL_SYS4, COMPEL_SYS3, \
			   COMPEL_SYS2, COMPEL_SYS1, COMPEL_SYS0)
#define COMPEL_SYS_SEVENTH(none, a, b, c, d, e, f, pick, ...) pick

#define COMPEL_SYS0(nr)          raw_syscall(nr, 0, 0, 0, 0, 0, 0)
#define COMPEL_SYS1(nr, a)       raw_syscall(nr, (long)(a), 0, 0, 0, 0, 0)
#define COMPEL_SYS2(nr, a, b)    raw_syscall(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define COMPEL_SYS3(nr, a, b, c) raw_syscall(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define COMPEL_SYS4(nr, a, b, c, d) \
	raw_syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define COMPEL_SYS5(nr, a, b, c, d, e) \
	raw_syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define COMPEL_SYS6(nr, a, b, c, d, e, f) \
	raw_syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif
