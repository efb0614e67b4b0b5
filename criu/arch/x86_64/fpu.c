// SPDX-License-Identifier: GPL-2.0-only
/*
 * FPU and vector registers of a thread on x86-64. The kernel gives them as one XSAVE area in the standard format: the legacy FXSAVE
 * part, a header that says which components are in use, and the components at offsets that the CPU chooses. The image has an array
 * for each component that the format knows and this CPU has, whether in use or not; AMX tiles have no place in it.
 */
#include "arch/x86_64/fpu.h"

#include <cpuid.h>
#include <string.h>

#include "images/core-x86.pb-c.h"
#include "state/message.h"

/* Bytes 464..471 of the FXSAVE area: what the kernel enabled, XCR0. */
#define XCR0_OFFSET 464

/* struct fxregs_state, the first 416 bytes that have a meaning. */
struct fxsave {
	uint16_t cwd, swd, twd, fop;
	uint64_t rip, rdp;
	uint32_t mxcsr, mxcsr_mask;
	uint32_t st_space[32];
	uint32_t xmm_space[64];
};

void xsave_layout_get(struct xsave_layout *ret)
{
	unsigned int a, b, c, d;

	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = XSAVE_YMM; i < XSAVE_COMPONENTS; i++)
		if (__get_cpuid_count(0xd, i, &a, &b, &c, &d) && a)
			ret->offset[i] = b;
}

static void *words(const uint8_t *from, size_t size, size_t word, size_t *ret_n)
{
	*ret_n = size / word;
	return xmemdup(from, size);
}

/* The component, or NULL if CPU, kernel or the area at hand have none. */
static const uint8_t *component(const uint8_t *area, size_t size, uint64_t xcr0,
				const struct xsave_layout *layout, enum xsave_component which,
				size_t length)
{
	uint32_t at = layout->offset[which];

	if (!at || !(xcr0 >> which & 1) || at + length > size)
		return NULL;
	return area + at;
}

static UserX86XsaveEntry *xsave_to_message(const uint8_t *area, size_t size,
					   const struct xsave_layout *layout)
{
	UserX86XsaveEntry *xsave = message_new(&user_x86_xsave_entry__descriptor);
	const uint8_t *at;
	uint64_t xcr0;

	memcpy(&xcr0, area + XCR0_OFFSET, sizeof(xcr0));
	memcpy(&xsave->xstate_bv, area + FXSAVE_SIZE, sizeof(xsave->xstate_bv));
	at = component(area, size, xcr0, layout, XSAVE_YMM, 256);
	if (at)
		xsave->ymmh_space = words(at, 256, 4, &xsave->n_ymmh_space);
	at = component(area, size, xcr0, layout, XSAVE_BNDREGS, 64);
	if (at)
		xsave->bndreg_state = words(at, 64, 8, &xsave->n_bndreg_state);
	at = component(area, size, xcr0, layout, XSAVE_BNDCSR, 64);
	if (at)
		xsave->bndcsr_state = words(at, 64, 8, &xsave->n_bndcsr_state);
	at = component(area, size, xcr0, layout, XSAVE_OPMASK, 64);
	if (at)
		xsave->opmask_reg = words(at, 64, 8, &xsave->n_opmask_reg);
	at = component(area, size, xcr0, layout, XSAVE_ZMM_HI256, 512);
	if (at)
		xsave->zmm_upper = words(at, 512, 8, &xsave->n_zmm_upper);
	at = component(area, size, xcr0, layout, XSAVE_HI16_ZMM, 1024);
	if (at)
		xsave->hi16_zmm = words(at, 1024, 8, &xsave->n_hi16_zmm);
	at = component(area, size, xcr0, layout, XSAVE_PKRU, 8);
	if (at)
		xsave->pkru = words(at, 8, 4, &xsave->n_pkru);
	return xsave;
}

UserX86FpregsEntry *fpu_to_message(const void *area, size_t size, const struct xsave_layout *layout)
{
	UserX86FpregsEntry *entry = message_new(&user_x86_fpregs_entry__descriptor);
	struct fxsave fx;

	memcpy(&fx, area, sizeof(fx));
	entry->cwd = fx.cwd;
	entry->swd = fx.swd;
	entry->twd = fx.twd;
	entry->fop = fx.fop;
	entry->rip = fx.rip;
	entry->rdp = fx.rdp;
	entry->mxcsr = fx.mxcsr;
	entry->mxcsr_mask = fx.mxcsr_mask;
	entry->n_st_space = 32;
	entry->st_space = xmemdup(fx.st_space, sizeof(fx.st_space));
	entry->n_xmm_space = 64;
	entry->xmm_space = xmemdup(fx.xmm_space, sizeof(fx.xmm_space));
	if (size >= FXSAVE_SIZE + XSAVE_HEADER_SIZE)
		entry->xsave = xsave_to_message(area, size, layout);
	return entry;
}
