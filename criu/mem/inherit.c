// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: copy on write between parent and child. What a parent and its child both have as the
 * same private mapping (extent, flags, file) is mapped and filled by the parent before it forks;
 * the child then compares its saved pages with what it inherited and writes those that differ. It
 * is an optimisation of memory, nothing more: each task has all its pages in its own images, and a
 * process that is forked by another than its parent (an orphan) inherits nothing, and maps all
 * anew.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "mem/mem-priv.h"
#include "task/task.h"
#include "util/log.h"

static bool can_be_inherited(const struct vma *vma)
{
	const uint64_t unshared = 1ull << MADV_DONTFORK | 1ull << MADV_WIPEONFORK;

	return vma_is_mapped(vma) && (vma->status & (VMA_ANON_PRIVATE | VMA_FILE_PRIVATE)) &&
	       !(vma->status & VMA_EXT_PLUGIN) && (vma->flags & MAP_TYPE) == MAP_PRIVATE &&
	       !(vma->flags & MAP_HUGETLB) && !(vma->madv & unshared);
}

static bool is_same_mapping(const struct vma *a, const struct vma *b)
{
	/* A lock is not inherited. */
	return a->start == b->start && a->end == b->end &&
	       (a->flags | MAP_LOCKED) == (b->flags | MAP_LOCKED) && a->shmid == b->shmid &&
	       a->pgoff == b->pgoff && a->madv == b->madv &&
	       (a->status | VMA_AREA_HEAP) == (b->status | VMA_AREA_HEAP) &&
	       a->fdflags == b->fdflags;
}

static void plan_child(struct task *parent, struct task *child)
{
	struct mm *mm = child->mm;
	unsigned int p = 0;

	for (unsigned int i = 0; i < mm->n_vmas; i++) {
		struct vma *vma = &mm->vmas[i];
		struct vma *other;

		while (p < parent->mm->n_vmas && parent->mm->vmas[p].start < vma->start)
			p++;
		if (p == parent->mm->n_vmas)
			return;
		other = &parent->mm->vmas[p];
		if (!can_be_inherited(vma) || !can_be_inherited(other) ||
		    !is_same_mapping(vma, other))
			continue;
		/* Without pages on both sides there is nothing to share. */
		if (!vma_is_filled(child, vma) || !vma_is_filled(parent, other))
			continue;
		vma->inherit = other;
		other->is_passed_on = true;
	}
}

void mem_plan_inheritance(struct cr *cr)
{
	struct task *task;

	tree_for_each_task (task, cr->tree)
		if (task->mm && task->parent && task->parent->mm)
			plan_child(task->parent, task);
}

int mem_take_inheritance(struct cr *cr, struct task *task)
{
	struct task *present = cr->mem->present;
	struct mm *mm = task->mm;

	if (present == task)
		return 0;
	for (unsigned int i = 0; i < mm->n_vmas; i++)
		if (present && task->parent == present && mm->vmas[i].inherit)
			mm->vmas[i].mapped_at = mm->vmas[i].inherit->mapped_at;
		else
			mm->vmas[i].inherit = NULL;
	cr->mem->present = task;
	if (!present)
		return 0;

	/* Two walks over ascending addresses: what of theirs is not ours goes. */
	for (unsigned int i = 0, own = 0; i < present->mm->n_vmas; i++) {
		const struct vma *theirs = &present->mm->vmas[i];

		while (own < mm->n_vmas && mm->vmas[own].start < theirs->start)
			own++;
		if (!theirs->mapped_at || (own < mm->n_vmas && mm->vmas[own].inherit == theirs))
			continue;
		if (munmap((void *)(uintptr_t)theirs->mapped_at, theirs->end - theirs->start) < 0)
			return log_err(cr, -errno, "pid %d: unmap memory of its parent at %" PRIx64,
				       task->pid, theirs->mapped_at);
	}
	return 0;
}

static int drop(struct cr *cr, struct task *task, const struct vma *vma, uint64_t start,
		uint64_t end)
{
	if (madvise((void *)(uintptr_t)(vma->mapped_at + (start - vma->start)), end - start,
		    MADV_DONTNEED) == 0)
		return 0;
	return log_err(cr, -errno, "pid %d: drop pages at %" PRIx64 "-%" PRIx64, task->pid, start,
		       end);
}

/* Of [start, end), where the task has no pages: drops what its parent had there. */
static int drop_theirs(struct cr *cr, struct task *task, const struct vma *vma, uint64_t start,
		       uint64_t end)
{
	const struct content *theirs = &task->parent->mm->restore->content;

	for (size_t i = content_find(theirs, start);
	     i < theirs->n && theirs->extents[i].start < end; i++) {
		const struct content_extent *extent = &theirs->extents[i];
		int err = drop(cr, task, vma, MAX(extent->start, start),
			       MIN(extent->start + extent->size, end));

		if (err)
			return err;
	}
	return 0;
}

int mem_drop_pages(struct cr *cr, struct task *task, const struct vma *vma)
{
	const struct content *own = &task->mm->restore->content;
	uint64_t start = vma->start;
	int err;

	for (size_t i = content_find(own, start); i < own->n && own->extents[i].start < vma->end;
	     i++) {
		if (own->extents[i].start > start) {
			err = drop_theirs(cr, task, vma, start, own->extents[i].start);
			if (err)
				return err;
		}
		start = own->extents[i].start + own->extents[i].size;
	}
	return start < vma->end ? drop_theirs(cr, task, vma, start, vma->end) : 0;
}
