// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump, second part: which pages of a task have to be saved. Private memory that is present or
 * swapped out, is no zero page and, in a file mapping, was copied on write; the vDSO and rings of
 * AIO whole; nothing of shared memory (objects.c), clock data and droppable memory. Neighbouring
 * private mappings are asked for in one go: a task may have tens of thousands; across the gaps
 * between them only where the kernel passes over those by itself. Guard regions
 * (MADV_GUARD_INSTALL) are found on the same way.
 *
 * Kernels without PAGEMAP_SCAN (before 6.7) have eight bytes read for each page of a mapping,
 * whether there is one or not. Large reservations are therefore looked at in slices, between which
 * the run can be cancelled, and not at all where smaps says that they are empty.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "kernel/maps.h"
#include "kernel/pagemap.h"
#include "kernel/proc.h"
#include "mem/mem-priv.h"
#include "run.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

struct scan {
	struct cr *cr;
	struct task *task;
	struct mm *mm;
	unsigned int at; /* mapping that the last region was in, or one before the next */
};

static uint32_t flags_of_pages(const struct vma *vma)
{
	return PE_PRESENT | vma_page_flags(vma) | (vma->prot & PROT_READ ? 0 : PAGES_FORCED);
}

/* Regions may reach over several mappings, but come in order. */
static int add_region(void *arg, const struct page_run *region)
{
	struct scan *scan = arg;
	struct mm_dump *dump = scan->mm->dump;

	for (; scan->at < scan->mm->n_vmas; scan->at++) {
		const struct vma *vma = &scan->mm->vmas[scan->at];
		uint64_t start = MAX(vma->start, region->start);
		uint64_t end = MIN(vma->end, region->end);

		if (vma->start >= region->end)
			break;
		if (start < end && region->categories & PAGE_GUARD)
			spans_add(&dump->guards, start, end);
		else if (start < end && uprobes_may_be_in(scan->cr, vma))
			uprobes_add_pages(scan->cr, scan->task, vma, start, end,
					  flags_of_pages(vma));
		else if (start < end && vma_has_private_pages(vma))
			pages_add(&dump->pages, start, end, flags_of_pages(vma));
		if (vma->end > region->end)
			break;
	}
	return 0;
}

static struct page_query query_for(const struct pagemap *pagemap)
{
	uint64_t without = PAGE_FILE | (pagemap_knows(pagemap, PAGE_PFNZERO) ? PAGE_PFNZERO : 0);

	return (struct page_query){
		.inverted = without,
		.all_of = without,
		.any_of = PAGE_PRESENT | PAGE_SWAPPED,
		.report = pagemap_knows(pagemap, PAGE_GUARD) ? PAGE_GUARD : 0,
	};
}

static bool is_saved_whole(const struct vma *vma)
{
	return vma->status & (VMA_AREA_VDSO | VMA_AREA_AIORING);
}

/*
 * Is it scanned, in one go with its neighbours? Others are left out: they may be large, and walking
 * them is for nothing but guard regions, of which the kernel tells (6.18 and later) where they may
 * be.
 */
static bool is_scanned(const struct vma *vma)
{
	return !is_saved_whole(vma) && (vma_has_private_pages(vma) || vma->facts->flags & VMA_GU);
}

static void add_empty(void *arg, uint64_t start, uint64_t end)
{
	spans_add(arg, start, end);
}

/* Those of a task whose reservations exceed by far what it uses; none where that is not so, or the
 * kernel passes over them by itself. Below the limits smaps takes longer than the entries. */
static int find_empty(struct task *task, const struct pagemap *pagemap, struct spans *ret)
{
	const uint64_t many_bytes = UINT64_C(64) << 30, times = 16;
	const struct mm *mm = task->mm;
	struct proc_stat stat;
	uint64_t bytes = 0;
	int err;

	for (unsigned int i = 0; i < mm->n_vmas; i++)
		if (is_scanned(&mm->vmas[i]))
			bytes += mm->vmas[i].end - mm->vmas[i].start;
	if (pagemap_skips_gaps(pagemap) || bytes < many_bytes)
		return 0;
	err = proc_read_stat(task_proc_fd(task), &stat);
	if (err < 0 || (uint64_t)stat.rss * MEM_PAGE > bytes / times)
		return err;
	return maps_find_empty(task_proc_fd(task), add_empty, ret);
}

/* Both in order: *at goes on from one mapping to the next. */
static bool is_within(const struct spans *spans, size_t *at, const struct vma *vma)
{
	while (*at < spans->n && spans->items[*at].end <= vma->start)
		(*at)++;
	return *at < spans->n && spans->items[*at].start <= vma->start &&
	       vma->end <= spans->items[*at].end;
}

static void choose(struct cr *cr, struct task *task, const struct pagemap *pagemap, bool *ret)
{
	_cleanup_(spans_release) struct spans empty = {};
	int err = find_empty(task, pagemap, &empty);
	unsigned int n_empty = 0;
	size_t at = 0;

	for (unsigned int i = 0; i < task->mm->n_vmas; i++) {
		const struct vma *vma = &task->mm->vmas[i];
		/* Guard regions are no pages, but something to be saved. */
		bool is_empty = is_within(&empty, &at, vma) && !(vma->facts->flags & VMA_GU);

		ret[i] = is_scanned(vma) && !is_empty;
		n_empty += is_empty;
	}
	if (n_empty)
		log_debug(cr, "pid %d: %u mappings are empty", task->host_pid, n_empty);
	/* What it told before is true. */
	if (err < 0)
		log_debug(cr, "pid %d: which mappings are empty: error %d", task->host_pid, err);
}

/* Are i and the mapping behind it scanned in one go? */
static bool goes_on(const struct mm *mm, unsigned int i, const bool *is_chosen,
		    const struct pagemap *pagemap)
{
	return i + 1 < mm->n_vmas && is_chosen[i + 1] &&
	       (pagemap_skips_gaps(pagemap) || mm->vmas[i + 1].start == mm->vmas[i].end);
}

static int scan_range(struct scan *scan, const struct pagemap *pagemap, uint64_t start,
		      uint64_t end)
{
	const uint64_t slice = pagemap_skips_gaps(pagemap) ? UINT64_MAX : UINT64_C(16) << 30;
	const struct page_query query = query_for(pagemap);

	while (start < end) {
		uint64_t stop = end - start > slice ? start + slice : end;
		int err = plan_is_cancelled(scan->cr)
				  ? -ECANCELED
				  : pagemap_scan(pagemap, start, stop, &query, add_region, scan);

		if (err)
			return err;
		start = stop;
	}
	return 0;
}

static int scan_with(struct cr *cr, struct task *task, const struct pagemap *pagemap)
{
	struct mm *mm = task->mm;
	struct scan scan = {.cr = cr, .task = task, .mm = mm};
	_cleanup_free_ bool *is_chosen = xcalloc(mm->n_vmas, sizeof(*is_chosen));
	int err = 0;

	choose(cr, task, pagemap, is_chosen);
	for (unsigned int i = 0; i < mm->n_vmas && !err; i++) {
		const struct vma *vma = &mm->vmas[i];
		unsigned int last = i;

		if (is_saved_whole(vma))
			pages_add(&mm->dump->pages, vma->start, vma->end, flags_of_pages(vma));
		if (!is_chosen[i])
			continue;
		while (goes_on(mm, last, is_chosen, pagemap))
			last++;
		scan.at = i;
		err = scan_range(&scan, pagemap, vma->start, mm->vmas[last].end);
		for (; i < last; i++)
			mm->dump->n_scanned += (mm->vmas[i].end - mm->vmas[i].start) / MEM_PAGE;
		mm->dump->n_scanned += (mm->vmas[i].end - mm->vmas[i].start) / MEM_PAGE;
	}
	return err;
}

int mem_scan(struct cr *cr, struct task *task)
{
	struct pagemap *pagemap;
	int err;

	err = pagemap_open(task_proc_fd(task), PAGEMAP_BEST, &pagemap);
	if (err)
		return log_err(cr, err, "pid %d: open its page map", task->host_pid);
	err = scan_with(cr, task, pagemap);
	pagemap_free(pagemap);
	if (err == -ECANCELED)
		return err;
	if (err)
		return log_err(cr, err, "pid %d: scan its pages", task->host_pid);
	log_debug(cr, "pid %d: %" PRIu64 " pages in %zu runs", task->host_pid,
		  task->mm->dump->pages.n_present, task->mm->dump->pages.n);
	return 0;
}
