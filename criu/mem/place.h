/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Restore: where in the address space things can go that must not be in the way of any task's
 * mappings: what cannot be put at its final address yet, the blob, a vDSO that is not the saved
 * one.
 */
#ifndef CRIU_MEM_PLACE_H
#define CRIU_MEM_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
	uint64_t start, end;
};

struct spans {
	struct span *items;
	size_t n, capacity;
};

/* Appends; grows the last one if it touches it. */
void spans_add(struct spans *spans, uint64_t start, uint64_t end);
/* Sorts, and joins what overlaps or touches. */
void spans_sort(struct spans *spans);
bool spans_overlap(const struct spans *spans, uint64_t start, uint64_t end);
void spans_release(struct spans *spans);

struct mem_place;

/* used, sorted, is copied: every mapping of every task, and those of this process. NULL: hardly any
 * address space is left. */
struct mem_place *place_new(const struct spans *used);
void place_free(struct mem_place *place);
/*
 * A range nobody uses, of which no two overlap: its start is address modulo align (a power of two).
 * Ranges asked for one after the other lie as far from each other as their addresses, if that is
 * less than align. -ENOMEM.
 */
int place_take(struct mem_place *place, uint64_t address, uint64_t size, uint64_t align,
	       uint64_t *ret);
/* A range nobody uses, all of it at most reach away from address, page aligned. -ENOMEM. */
int place_take_near(struct mem_place *place, uint64_t address, uint64_t size, uint64_t reach,
		    uint64_t *ret);

#endif
