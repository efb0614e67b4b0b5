/* SPDX-License-Identifier: LGPL-2.1-only */
/* Rounding, array sizes, minimum and maximum: arithmetic that host code and blobs share. */
#ifndef COMPEL_BASE_BITS_H
#define COMPEL_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define MIN(a, b)                       \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ < b_ ? a_ : b_;      \
	})

#define MAX(a, b)                       \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ > b_ ? a_ : b_;      \
	})

/* unit must be a power of two. */
static inline uint64_t round_down(uint64_t value, uint64_t unit)
{
	return value & ~(unit - 1);
}

static inline uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) & ~(unit - 1);
}

static inline bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* Do [start, start+length) and [other, other+other_length) share a byte? */
static inline bool ranges_overlap(uint64_t start, uint64_t length, uint64_t other,
				  uint64_t other_length)
{
	return start < other + other_length && other < start + length;
}

#endif
