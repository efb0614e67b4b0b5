// SPDX-License-Identifier: GPL-2.0-only
/*
 * FPU and vector registers of a thread on x86-64. The kernel gives them as one XSAVE area in the
 * standard format: the legacy FXSAVE part, a header that says which components are in use, and the
 * components at offsets that the CPU chooses. The image has an array for each component that the
 * format knows and this CPU has, whether in use or not; AMX tiles have no place in it.
 */
#include "arch/x86_64/fpu.h"

#include <cpuid.h>
#include <stdbool.h>
#include <string.h>

#include "images/core-x86.pb-c.h"
#include "state/message.h"

/* Bytes 464..471 of the FXSAVE area: what the kernel enabled, XCR0. */
#define XCR0_OFFSET 464
/* CPUID leaf 7, register ECX: CET shadow stacks. */
#define CPUID_7_ECX_SHSTK (1u << 7)

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

static bool cpu_has_shadow_stacks(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & CPUID_7_ECX_SHSTK;
}

/* Off: a task that has a shadow stack is refused before. Written where the CPU could have one. */
static UserX86CetEntry *cet_to_message(void)
{
	UserX86CetEntry *cet = xmalloc(sizeof(*cet));

	user_x86_cet_entry__init(cet);
	return cet;
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
	if (cpu_has_shadow_stacks())
		xsave->cet = cet_to_message();
	return xsave;
}

struct component_image {
	enum xsave_component which;
	const void *data;
	size_t size, expected; /* bytes */
};

#define N_COMPONENT_IMAGES 7

static void components_of(const UserX86XsaveEntry *x,
			  struct component_image ret[N_COMPONENT_IMAGES])
{
	const struct component_image images[N_COMPONENT_IMAGES] = {
		{XSAVE_YMM, x->ymmh_space, x->n_ymmh_space * 4, 256},
		{XSAVE_BNDREGS, x->bndreg_state, x->n_bndreg_state * 8, 64},
		{XSAVE_BNDCSR, x->bndcsr_state, x->n_bndcsr_state * 8, 64},
		{XSAVE_OPMASK, x->opmask_reg, x->n_opmask_reg * 8, 64},
		{XSAVE_ZMM_HI256, x->zmm_upper, x->n_zmm_upper * 8, 512},
		{XSAVE_HI16_ZMM, x->hi16_zmm, x->n_hi16_zmm * 8, 1024},
		{XSAVE_PKRU, x->pkru, x->n_pkru * 4, 8},
	};

	memcpy(ret, images, sizeof(images));
}

const char *fpu_fault(const UserX86FpregsEntry *e)
{
	struct component_image images[N_COMPONENT_IMAGES];

	if (e->n_st_space != 32)
		return "st_space: does not have 32 words";
	if (e->n_xmm_space != 64)
		return "xmm_space: does not have 64 words";
	if (e->mxcsr & 0xfffd0000u)
		return "mxcsr: has reserved bits";
	if (!e->xsave)
		return NULL;
	components_of(e->xsave, images);
	for (size_t i = 0; i < N_COMPONENT_IMAGES; i++)
		if ((e->xsave->xstate_bv >> images[i].which & 1) && images[i].size &&
		    images[i].size < images[i].expected)
			return "xsave: a component is too short";
	if (e->xsave->cet && e->xsave->cet->cet & 1)
		return "xsave.cet: shadow stacks cannot be restored yet";
	return NULL;
}

static void xsave_from_message(const UserX86XsaveEntry *x, uint8_t *area, size_t size,
			       uint64_t xcr0, const struct xsave_layout *layout)
{
	struct component_image images[N_COMPONENT_IMAGES];
	uint64_t in_use = x->xstate_bv & 3;

	components_of(x, images);
	for (size_t i = 0; i < N_COMPONENT_IMAGES; i++) {
		const struct component_image *c = &images[i];
		const uint8_t *at = component(area, size, xcr0, layout, c->which, c->expected);

		if (!(x->xstate_bv >> c->which & 1) || !c->size || !at)
			continue;
		memcpy(area + (at - area), c->data, c->expected);
		in_use |= 1ull << c->which;
	}
	memcpy(area + FXSAVE_SIZE, &in_use, sizeof(in_use));
}

void fpu_from_message(const UserX86FpregsEntry *e, void *area, size_t size,
		      const struct xsave_layout *layout)
{
	const uint64_t legacy = 3; /* x87 and SSE */
	struct fxsave fx = {
		.cwd = (uint16_t)e->cwd,
		.swd = (uint16_t)e->swd,
		.twd = (uint16_t)e->twd,
		.fop = (uint16_t)e->fop,
		.rip = e->rip,
		.rdp = e->rdp,
		.mxcsr = e->mxcsr,
		.mxcsr_mask = e->mxcsr_mask,
	};
	uint64_t xcr0 = 0;

	memcpy(fx.st_space, e->st_space, sizeof(fx.st_space));
	memcpy(fx.xmm_space, e->xmm_space, sizeof(fx.xmm_space));
	if (layout)
		memcpy(&xcr0, (uint8_t *)area + XCR0_OFFSET, sizeof(xcr0));
	memset(area, 0, size);
	memcpy(area, &fx, sizeof(fx));
	if (!layout || size < FXSAVE_SIZE + XSAVE_HEADER_SIZE)
		return;
	if (e->xsave)
		xsave_from_message(e->xsave, area, size, xcr0, layout);
	else
		memcpy((uint8_t *)area + FXSAVE_SIZE, &legacy, sizeof(legacy));
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
