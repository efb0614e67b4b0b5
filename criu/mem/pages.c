// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page maps in memory and the arithmetic on them (pages.h): nothing here makes a system call, so
 * that all of it is tested without a task. Addresses are those of the task, or offsets in a shared
 * memory object.
 */
#include "mem/pages.h"

#include <stdlib.h>

#include "compel/base/bits.h"
#include "mem/vma-status.h"
#include "util/alloc.h"

void pages_add(struct pages *pages, uint64_t start, uint64_t end, uint32_t flags)
{
	uint64_t n_pages = (end - start) / MEM_PAGE;
	struct pages_run *last = pages->n ? &pages->runs[pages->n - 1] : NULL;

	if (!n_pages)
		return;
	if (flags & PE_PRESENT)
		pages->n_present += n_pages;
	if (last && pages_run_end(last) == start && pages_run_flags(last) == flags) {
		last->n_pages += n_pages;
		return;
	}

	pages->runs = array_grow(pages->runs, &pages->capacity, pages->n + 1, sizeof(*pages->runs));
	pages->runs[pages->n++] = (struct pages_run){start | flags, n_pages};
}

void pages_release(struct pages *pages)
{
	free(pages->runs);
	*pages = (struct pages){0};
}

size_t pages_find(const struct pages *pages, uint64_t address)
{
	size_t low = 0, high = pages->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (pages_run_end(&pages->runs[middle]) > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

bool pages_next(const struct pages *pages, struct pages_cursor *cursor, uint64_t max,
		struct pages_piece *ret)
{
	for (; cursor->run < pages->n; cursor->run++, cursor->skip = 0) {
		const struct pages_run *run = &pages->runs[cursor->run];
		uint64_t size = run->n_pages * MEM_PAGE;

		if (!(pages_run_flags(run) & PE_PRESENT) || cursor->skip == size)
			continue;
		ret->address = pages_run_start(run) + cursor->skip;
		ret->size = MIN(size - cursor->skip, max);
		ret->flags = pages_run_flags(run);
		cursor->skip += ret->size;
		cursor->offset += ret->size;
		return true;
	}
	return false;
}

void pages_skip(const struct pages *pages, struct pages_cursor *cursor, uint64_t bytes)
{
	struct pages_piece piece;

	while (bytes && pages_next(pages, cursor, bytes, &piece))
		bytes -= piece.size;
}
