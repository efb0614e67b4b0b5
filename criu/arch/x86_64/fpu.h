/* SPDX-License-Identifier: GPL-2.0-only */
/* The FPU state of an image and the XSAVE area of the kernel (fpu.c). */
#ifndef CRIU_ARCH_X86_64_FPU_H
#define CRIU_ARCH_X86_64_FPU_H

#include <stddef.h>
#include <stdint.h>

#define FXSAVE_SIZE       512
#define XSAVE_HEADER_SIZE 64

/* Room for all that a CPU may have, AMX tiles included. */
#define XSAVE_SIZE_MAX 16384

struct UserX86FpregsEntry;

/* XSAVE components by their bit in XSTATE_BV. */
enum xsave_component {
	XSAVE_YMM = 2,
	XSAVE_BNDREGS = 3,
	XSAVE_BNDCSR = 4,
	XSAVE_OPMASK = 5,
	XSAVE_ZMM_HI256 = 6,
	XSAVE_HI16_ZMM = 7,
	XSAVE_PKRU = 9,
	XSAVE_COMPONENTS,
};

/* Where each component lies in the standard format of the XSAVE area; 0: this CPU does not have it.
 */
struct xsave_layout {
	uint32_t offset[XSAVE_COMPONENTS];
};

/* As CPUID leaf 0xd tells. */
void xsave_layout_get(struct xsave_layout *ret);

/*
 * The message for the size bytes that PTRACE_GETREGSET NT_X86_XSTATE gave (no less than
 * FXSAVE_SIZE; without a header there is no `xsave`). On the heap, to be freed with
 * image_message_free().
 */
struct UserX86FpregsEntry *fpu_to_message(const void *area, size_t size,
					  const struct xsave_layout *layout);

/* What is wrong with a message, or NULL. */
const char *fpu_fault(const struct UserX86FpregsEntry *entry);

/*
 * The area of size bytes for PTRACE_SETREGSET NT_X86_XSTATE, of which area holds what
 * PTRACE_GETREGSET gave (it says what the kernel enabled); with FXSAVE_SIZE bytes and no layout
 * that for PTRACE_SETFPREGS. entry has passed fpu_fault().
 */
void fpu_from_message(const struct UserX86FpregsEntry *entry, void *area, size_t size,
		      const struct xsave_layout *layout);

#endif
