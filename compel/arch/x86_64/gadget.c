// SPDX-License-Identifier: LGPL-2.1-only
/*
 * x86_64's useful instructions. They need not be where the compiler put them: any address at which
 * the bytes say so will do. Given a shadow stack, a `ret` to a place that was not called
 * faults, so such threads are told apart.
 */
#include <elf.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "compel/base/bits.h"
#include "compel/lib/arch.h"

#ifndef NT_X86_SHSTK
#define NT_X86_SHSTK 0x204
#endif

static const unsigned char syscall_code[] = {0x0f, 0x05};
static const unsigned char return_code = 0xc3;
static const unsigned char pop_code[] = {0x58, 0xc3}; /* pop %rax; ret */

/* What may come before a system call instruction to make it the restorer's: mov $15 to %rax, in its
 * two forms. */
static const struct {
	unsigned char size, bytes[7];
} restorers[] = {
	{7, {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0}},
	{5, {0xb8, 0x0f, 0, 0, 0}},
};

/* The address where the restorer begins whose system call is at code + at, or 0. */
static uint64_t restorer_before(const unsigned char *code, size_t at, uint64_t address)
{
	for (size_t i = 0; i < ARRAY_SIZE(restorers); i++) {
		size_t n = restorers[i].size;

		if (at >= n && memcmp(code + at - n, restorers[i].bytes, n) == 0)
			return address + at - n;
	}
	return 0;
}

static void look_at_syscall(const unsigned char *code, size_t size, size_t at, uint64_t address,
			    struct gadgets *g)
{
	if (!g->syscall)
		g->syscall = address + at;
	if (!g->syscall_ret && at + 2 < size && code[at + 2] == return_code)
		g->syscall_ret = address + at;
	if (!g->restorer)
		g->restorer = restorer_before(code, at, address);
}

/* Looks for the second byte of the instruction, the rarer one in code; for what replaces the
 * restorer only without one. */
void compel_arch_gadgets_scan(const unsigned char *code, size_t size, uint64_t address,
			      struct gadgets *g)
{
	const unsigned char *end = code + size, *at = code + 1;
	const unsigned char *pop;

	while (at < end && (at = memchr(at, syscall_code[1], end - at))) {
		if (at[-1] == syscall_code[0])
			look_at_syscall(code, size, at - 1 - code, address, g);
		if (g->syscall_ret && g->restorer)
			return;
		at++;
	}
	pop = g->pop_number || g->restorer ? NULL : memmem(code, size, pop_code, sizeof(pop_code));
	if (pop)
		g->pop_number = address + (pop - code);
}

bool compel_arch_gadgets_verify(const struct gadgets *g,
				int (*read)(void *opaque, uint64_t from, void *to, size_t size),
				void *opaque)
{
	unsigned char code[16];
	struct gadgets again = {0};

	if (g->syscall &&
	    (read(opaque, g->syscall, code, 2) < 0 || memcmp(code, syscall_code, 2) != 0))
		return false;
	if (g->pop_number &&
	    (read(opaque, g->pop_number, code, 2) < 0 || memcmp(code, pop_code, 2) != 0))
		return false;
	if (g->syscall_ret && (read(opaque, g->syscall_ret, code, 3) < 0 ||
			       memcmp(code, syscall_code, 2) != 0 || code[2] != return_code))
		return false;
	if (!g->restorer)
		return true;
	if (read(opaque, g->restorer, code, 7) < 0 ||
	    (code[0] != restorers[1].bytes[0] && read(opaque, g->restorer, code, 9) < 0))
		return false;
	compel_arch_gadgets_scan(code, code[0] == restorers[1].bytes[0] ? 7 : 9, g->restorer,
				 &again);
	return again.restorer == g->restorer;
}

bool compel_arch_has_shadow_stack(pid_t tid)
{
	uint64_t pointer = 0;
	struct iovec iov = {&pointer, sizeof(pointer)};

	return ptrace(PTRACE_GETREGSET, tid, (void *)NT_X86_SHSTK, &iov) == 0 && pointer;
}
