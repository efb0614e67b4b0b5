// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free address space. Ranges are taken one after the other from the middle of the largest gap that
 * the mappings of all tasks and our own leave: there the kernel, which maps from the top down and
 * grows the heap from below, puts nothing of ours. A range keeps the place within 2 MiB that its
 * final address has, so that mremap(2) can move whole page tables. test/unit/mem/test-place.c.
 */
#include "mem/place.h"

#include <errno.h>
#include <stdlib.h>

#include "compel/base/bits.h"
#include "mem/vma-status.h"
#include "util/alloc.h"

/* Addresses that are never given out: where NULL pointers with offsets lead to. */
#define PLACE_MIN (16ull << 20)
#define PLACE_GAP MEM_PAGE

struct mem_place {
	struct spans used;         /* sorted */
	uint64_t first, next, end; /* place_take() gives out what lies between */
};

void spans_add(struct spans *spans, uint64_t start, uint64_t end)
{
	if (spans->n && spans->items[spans->n - 1].end == start) {
		spans->items[spans->n - 1].end = end;
		return;
	}
	spans->items =
		array_grow(spans->items, &spans->capacity, spans->n + 1, sizeof(*spans->items));
	spans->items[spans->n++] = (struct span){start, end};
}

void spans_release(struct spans *spans)
{
	free(spans->items);
	*spans = (struct spans){0};
}

static int compare_spans(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

void spans_sort(struct spans *spans)
{
	size_t n = 0;

	if (spans->n)
		qsort(spans->items, spans->n, sizeof(*spans->items), compare_spans);
	for (size_t i = 0; i < spans->n; i++) {
		struct span *last = n ? &spans->items[n - 1] : NULL;

		if (last && spans->items[i].start <= last->end)
			last->end = MAX(last->end, spans->items[i].end);
		else
			spans->items[n++] = spans->items[i];
	}
	spans->n = n;
}

bool spans_overlap(const struct spans *spans, uint64_t start, uint64_t end)
{
	size_t low = 0, high = spans->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spans->items[middle].end > start)
			high = middle;
		else
			low = middle + 1;
	}
	return low < spans->n && spans->items[low].start < end;
}

/* Gap number i, of n + 1: between the spans, before the first and behind the last. */
static struct span gap_at(const struct spans *used, size_t i)
{
	uint64_t start = i ? used->items[i - 1].end : 0;
	uint64_t end = i < used->n ? used->items[i].start : MEM_TASK_SIZE;

	start = MAX(start, PLACE_MIN);
	end = MAX(start, MIN(end, MEM_TASK_SIZE));
	return (struct span){start, end};
}

struct mem_place *place_new(const struct spans *used)
{
	struct mem_place *place = xcalloc(1, sizeof(*place));
	struct span best = {0};

	for (size_t i = 0; i < used->n; i++)
		spans_add(&place->used, used->items[i].start, used->items[i].end);
	for (size_t i = 0; i <= place->used.n; i++) {
		struct span gap = gap_at(&place->used, i);

		if (gap.end - gap.start > best.end - best.start)
			best = gap;
	}
	place->first = place->next = best.start + (best.end - best.start) / 4;
	place->end = best.end - (best.end - best.start) / 4;
	if (best.end - best.start < (64ull << 20)) {
		place_free(place);
		return NULL;
	}
	return place;
}

void place_free(struct mem_place *place)
{
	if (!place)
		return;
	spans_release(&place->used);
	free(place);
}

int place_take(struct mem_place *place, uint64_t address, uint64_t size, uint64_t align,
	       uint64_t *ret)
{
	uint64_t start = round_down(place->next, align) + address % align;

	if (start < place->next)
		start += align;
	if (size > place->end - MIN(start, place->end))
		return -ENOMEM;
	place->next = start + size;
	*ret = start;
	return 0;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

int place_take_near(struct mem_place *place, uint64_t address, uint64_t size, uint64_t reach,
		    uint64_t *ret)
{
	uint64_t best = 0;

	for (size_t i = 0; i <= place->used.n; i++) {
		struct span gap = gap_at(&place->used, i);
		uint64_t start;

		if (gap.end - gap.start < size + 2 * PLACE_GAP)
			continue;
		/* The end of the gap that is closer, with a page left free beside it. */
		start = gap.end <= address ? gap.end - PLACE_GAP - size : gap.start + PLACE_GAP;
		if (start < place->end && place->first < start + size)
			continue;
		if (!best || distance(start, address) < distance(best, address))
			best = start;
	}
	if (!best || distance(best, address) > reach || distance(best + size, address) > reach)
		return -ENOMEM;
	spans_add(&place->used, best, best + size);
	spans_sort(&place->used);
	*ret = best;
	return 0;
}
