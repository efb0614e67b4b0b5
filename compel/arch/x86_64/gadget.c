// SPDX-License-Identifier: LGPL-2.1-only
/*
 * x86_64's useful instructions. They need not be where the compiler put them: any address at which
 * the bytes say it will do. Given a shadow stack, a `ret` to a place that was not called faults, so
 * such threads are told apart.
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

struct pattern {
	size_t gadget; /* offset in struct gadgets */
	unsigned char size;
	unsigned char bytes[9];
};

static const struct pattern patterns[] = {
	{offsetof(struct gadgets, syscall), 2, {0x0f, 0x05}},
	{offsetof(struct gadgets, syscall_ret), 3, {0x0f, 0x05, 0xc3}},
	/* mov $15, %rax; syscall, and the shorter mov $15, %eax */
	{offsetof(struct gadgets, restorer), 9, {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}},
	{offsetof(struct gadgets, restorer), 7, {0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05}},
	{offsetof(struct gadgets, pop_number), 2, {0x58, 0xc3}},
};

static uint64_t *gadget_of(struct gadgets *g, const struct pattern *p)
{
	return (uint64_t *)((char *)g + p->gadget);
}

void arch_gadgets_scan(const unsigned char *code, size_t size, uint64_t address, struct gadgets *g)
{
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		const struct pattern *p = &patterns[i];
		const unsigned char *found;

		if (*gadget_of(g, p))
			continue;
		found = memmem(code, size, p->bytes, p->size);
		if (found)
			*gadget_of(g, p) = address + (found - code);
	}
}

bool arch_gadgets_verify(const struct gadgets *g,
			 int (*read)(void *opaque, uint64_t from, void *to, size_t size),
			 void *opaque)
{
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		const struct pattern *p = &patterns[i];
		uint64_t at = *gadget_of((struct gadgets *)g, p);
		unsigned char bytes[sizeof(p->bytes)];
		struct gadgets again = {0};

		if (!at)
			continue;
		if (read(opaque, at, bytes, p->size) < 0)
			return false;
		/* A restorer has two forms: whichever it was, it has to be there as a whole. */
		if (p->gadget == offsetof(struct gadgets, restorer)) {
			if (read(opaque, at, bytes, bytes[0] == 0xb8 ? 7 : 9) < 0)
				return false;
			arch_gadgets_scan(bytes, bytes[0] == 0xb8 ? 7 : 9, at, &again);
			if (again.restorer != at)
				return false;
		} else if (memcmp(bytes, p->bytes, p->size) != 0) {
			return false;
		}
	}
	return true;
}

bool arch_has_shadow_stack(pid_t tid)
{
	uint64_t pointer = 0;
	struct iovec iov = {&pointer, sizeof(pointer)};

	return ptrace(PTRACE_GETREGSET, tid, (void *)NT_X86_SHSTK, &iov) == 0 && pointer;
}
