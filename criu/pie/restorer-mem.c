// SPDX-License-Identifier: GPL-2.0-only
/*
 * The address space: away with everything of ours, the task's memory to where it was, and what the
 * kernel is told of it as a whole. The order is that of pie/mem-args.h. Membership in membarrier(2)
 * comes before there are threads: then it costs nothing.
 */
#include <linux/mman.h>
#include <linux/prctl.h>

#include "compel/pie/syscall.h"
#include "pie/restorer.h"

static void unmap(struct restorer *r, uint64_t start, uint64_t end)
{
	if (start < end)
		must(r, STEP_SHARED_UNMAP, sys(munmap, start, end - start), start);
}

/* All that is neither in keep nor the blob's. */
static void unmap_rest(struct restorer *r)
{
	const struct task_args *args = r->args;
	const struct mem_span *keep = args_at(r, args->keep);
	uint64_t at = 0, area_end = args->area + args->area_size;
	uint32_t i = 0;

	for (; i < args->keep.n && keep[i].end <= args->area; i++) {
		unmap(r, at, keep[i].start);
		at = keep[i].end;
	}
	unmap(r, at, args->area);
	at = area_end;
	for (; i < args->keep.n; i++) {
		unmap(r, at, keep[i].start);
		at = keep[i].end;
	}
	unmap(r, at, args->mem.task_size);
}

static void move(struct restorer *r, enum restorer_step step, const struct mem_move *m)
{
	must(r, step, sys(mremap, m->from, m->size, m->size, MREMAP_MAYMOVE | MREMAP_FIXED, m->to),
	     m->to);
}

static void register_membarrier(struct restorer *r)
{
	uint32_t bits = r->args->membarrier;

	for (uint32_t bit = 1; bit; bit <<= 1)
		if (bits & bit)
			must(r, STEP_MEMBARRIER, sys(membarrier, bit, 0, 0), bit);
}

void restore_memory(struct restorer *r)
{
	struct task_args *args = r->args;
	const struct mem_move *moves = args_at(r, args->moves);

	for (uint32_t i = 0; i < args->mem.n_early; i++)
		move(r, STEP_EARLY_MOVE, &args->mem.early[i]);
	unmap_rest(r);
	for (uint32_t i = 0; i < args->moves.n; i++)
		move(r, STEP_MOVE, &moves[i]);
	restore_protection(r);

	args->mem.map.auxv = args->mem.map.auxv_size ? (uint64_t)args->mem.auxv : 0;
	must(r, STEP_MM_MAP,
	     sys(prctl, PR_SET_MM, PR_SET_MM_MAP, &args->mem.map, sizeof(args->mem.map), 0), 0);
	if ((int32_t)args->mem.map.exe_fd >= 0)
		must(r, STEP_CLOSE, sys(close, args->mem.map.exe_fd), args->mem.map.exe_fd);
	must(r, STEP_THP, sys(prctl, PR_SET_THP_DISABLE, args->mem.thp_disable, 0, 0, 0), 0);
	register_membarrier(r);
}
