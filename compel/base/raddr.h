/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * raddr: an address in another task. A struct of one member, so that the compiler refuses to take
 * it for a pointer or for a plain number; it costs nothing at run time.
 */
#ifndef COMPEL_BASE_RADDR_H
#define COMPEL_BASE_RADDR_H

#include <stdbool.h>
#include <stdint.h>

struct raddr {
	uint64_t value;
};

#define RADDR_NULL ((struct raddr){0})

static inline struct raddr raddr_of(uint64_t value)
{
	return (struct raddr){value};
}

static inline struct raddr raddr_add(struct raddr at, uint64_t bytes)
{
	return (struct raddr){at.value + bytes};
}

static inline bool raddr_is_null(struct raddr at)
{
	return at.value == 0;
}

#endif
