// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: one mapping at a time, in the task's own process. A mapping goes to its final address if
 * nothing of ours is there, which the kernel itself tells (MAP_FIXED_NOREPLACE); else to a free
 * range, from where the blob moves it when we are gone. All that mremap(2) keeps is done here:
 * contents, protection, advice, locks, guard regions. Memory that is to be filled is writable until
 * then. Advice that fork(2) heeds (DONTFORK, WIPEONFORK) comes last, when all children of this task
 * exist.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "files/files.h"
#include "mem/mem-priv.h"
#include "mem/objects.h"
#include "task/task.h"
#include "util/log.h"

#define ALIGN_OF_TABLES (2ull << 20)

/* Advice that is given when the contents are there, and whether it is only about speed. */
static const struct {
	int advice;
	bool is_hint;
} late_advice[] = {
	{MADV_RANDOM, true},    {MADV_SEQUENTIAL, true}, {MADV_DONTFORK, false},
	{MADV_MERGEABLE, true}, {MADV_DONTDUMP, false},  {MADV_WIPEONFORK, false},
};

bool vma_is_mapped(const struct vma *vma)
{
	return (vma->status & VMA_AREA_REGULAR) && !(vma->status & (VMA_AREA_VDSO | VMA_AREA_VVAR));
}

bool vma_is_filled(const struct task *task, const struct vma *vma)
{
	const struct content *content = &task->mm->restore->content;
	size_t i = content_find(content, vma->start);

	return i < content->n && content->extents[i].start < vma->end;
}

static bool is_object_mapping(const struct vma *vma)
{
	return vma->status & VMA_ANON_SHARED;
}

/* *ret_fd stays another's; -1 for anonymous memory. */
static int open_backing(struct cr *cr, struct task *task, const struct vma *vma,
			struct mapped_file *last, int *ret_fd)
{
	int err;

	*ret_fd = -1;
	if (is_object_mapping(vma)) {
		*ret_fd = mem_object_find_shmid(cr, vma->shmid)->fd;
		return 0;
	}
	if (!vma_has_file(vma))
		return 0;
	if (last->fd < 0 || last->id != vma->shmid || last->flags != vma->fdflags) {
		if (last->fd >= 0)
			close(last->fd);
		last->fd = -1;
		err = files_open(cr, task, vma->shmid, vma->fdflags, &last->fd);
		if (err)
			return err;
		last->id = vma->shmid;
		last->flags = vma->fdflags;
	}
	*ret_fd = last->fd;
	return 0;
}

static int mmap_flags(const struct vma *vma)
{
	uint32_t flags = vma->flags & ~(MAP_LOCKED | MAP_STACK | MAP_DENYWRITE | MAP_EXECUTABLE);

	/* What has a file is of huge pages because the file is. */
	if (vma_has_file(vma) || is_object_mapping(vma))
		flags &= ~(MAP_ANONYMOUS | MAP_HUGETLB | 63u << MAP_HUGE_SHIFT);
	return (int)flags;
}

/* What a mapping is made of: a descriptor, -1 for anonymous memory, and the offset in it. */
struct backing {
	int fd;
	uint64_t pgoff;
};

static void *map_at(uint64_t at, const struct vma *vma, int prot, const struct backing *backing)
{
	return mmap((void *)(uintptr_t)at, vma->end - vma->start, prot,
		    mmap_flags(vma) | MAP_FIXED_NOREPLACE, backing->fd, (off_t)backing->pgoff);
}

/* Kernels before 4.17 take the address for a hint. */
static void *map_exactly_at(uint64_t at, const struct vma *vma, int prot,
			    const struct backing *backing)
{
	void *p = map_at(at, vma, prot, backing);

	if (p == MAP_FAILED || (uintptr_t)p == at)
		return p;
	munmap(p, vma->end - vma->start);
	errno = EEXIST;
	return MAP_FAILED;
}

static bool can_be_in_place(const struct cr *cr, const struct vma *vma)
{
	const struct span *stack = &cr->mem->own_stack;

	return vma->end <= stack->start || vma->start >= stack->end;
}

static int advise_before(struct cr *cr, struct task *task, const struct vma *vma)
{
	static const int early_advice[] = {MADV_HUGEPAGE, MADV_NOHUGEPAGE};

	for (size_t i = 0; i < ARRAY_SIZE(early_advice); i++) {
		if (!(vma->madv >> early_advice[i] & 1))
			continue;
		if (madvise((void *)(uintptr_t)vma->mapped_at, vma->end - vma->start,
			    early_advice[i]) < 0)
			log_warn(cr,
				 "pid %d: mapping %" PRIx64 "-%" PRIx64
				 ": advice %d about huge pages is not taken",
				 task->pid, vma->start, vma->end, early_advice[i]);
	}
	return 0;
}

/*
 * Until the blob sets it. Memory that can only be executed makes the kernel take a protection key,
 * whatever key comes next, for this process and all that it forks.
 */
static int protection_for_now(const struct vma *vma)
{
	return vma->prot == PROT_EXEC ? PROT_READ | PROT_EXEC : (int)vma->prot;
}

/* Until it is filled. Never more than writable, since policies forbid memory that is both written
 * and executed. */
static int first_protection(const struct task *task, const struct vma *vma)
{
	const uint32_t both = PROT_READ | PROT_WRITE;

	return (vma->prot & both) != both && vma_is_filled(task, vma) ? (int)both
								      : protection_for_now(vma);
}

int vma_map(struct cr *cr, struct task *task, struct vma *vma, struct mapped_file *last_file)
{
	int prot = first_protection(task, vma);
	uint64_t align = MAX(vma_page_size(vma), ALIGN_OF_TABLES);
	uint64_t at = vma->start;
	_cleanup_close_ int own_fd = -1;
	struct backing backing = {.fd = -1, .pgoff = vma->pgoff};
	void *p = MAP_FAILED;
	int err = 0;

	if (vma->status & VMA_EXT_PLUGIN)
		err = mem_update_vma(cr, task, vma, &own_fd, &backing.pgoff);
	if (err)
		return err;
	backing.fd = own_fd;
	if (own_fd < 0)
		err = open_backing(cr, task, vma, last_file, &backing.fd);
	if (err)
		return err;
	errno = EEXIST;
	if (can_be_in_place(cr, vma))
		p = map_exactly_at(at, vma, prot, &backing);
	if (p == MAP_FAILED && errno == EEXIST) {
		err = place_take(cr->mem->place, vma->start, vma->end - vma->start, align, &at);
		if (err)
			return log_err(cr, err,
				       "pid %d: find room for mapping %" PRIx64 "-%" PRIx64,
				       task->pid, vma->start, vma->end);
		p = map_exactly_at(at, vma, prot, &backing);
	}
	if (p == MAP_FAILED)
		return log_err(cr, -errno,
			       "pid %d: map %" PRIx64 "-%" PRIx64 " (flags %#x, file %#" PRIx64
			       ", offset %#" PRIx64 ")",
			       task->pid, vma->start, vma->end, vma->flags, vma->shmid,
			       backing.pgoff);
	vma->mapped_at = at;
	return vma->madv ? advise_before(cr, task, vma) : 0;
}

static int advise(struct cr *cr, struct task *task, const struct vma *vma)
{
	/* MAP_DROPPABLE brings what is set, and refuses to be told. */
	if (!vma->madv || (vma->flags & MAP_TYPE) == MAP_DROPPABLE)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(late_advice); i++) {
		if (!(vma->madv >> late_advice[i].advice & 1))
			continue;
		if (madvise((void *)(uintptr_t)vma->mapped_at, vma->end - vma->start,
			    late_advice[i].advice) == 0)
			continue;
		if (!late_advice[i].is_hint)
			return log_err(cr, -errno,
				       "pid %d: mapping %" PRIx64 "-%" PRIx64 ": advice %d",
				       task->pid, vma->start, vma->end, late_advice[i].advice);
		log_warn(cr, "pid %d: mapping %" PRIx64 "-%" PRIx64 ": advice %d is not taken",
			 task->pid, vma->start, vma->end, late_advice[i].advice);
	}
	return 0;
}

static int lock(struct cr *cr, struct task *task, const struct vma *vma)
{
	if (!(vma->flags & MAP_LOCKED))
		return 0;
	if (mlock((void *)(uintptr_t)vma->mapped_at, vma->end - vma->start) == 0)
		return 0;
	/* Locked it is, but not all of it could be brought in: no access, or beyond the end of the
	 * file. */
	if (errno == ENOMEM && (!vma->prot || vma_has_file(vma)))
		return 0;
	return log_err(cr, -errno, "pid %d: lock mapping %" PRIx64 "-%" PRIx64, task->pid,
		       vma->start, vma->end);
}

static bool needs_protection(const struct task *task, const struct vma *vma)
{
	/* What is inherited is as the parent was to have it. */
	if (vma->inherit && vma->inherit->prot != vma->prot)
		return true;
	return first_protection(task, vma) != protection_for_now(vma);
}

int vma_finish(struct cr *cr, struct task *task, const struct vma *vma)
{
	int err;

	err = advise(cr, task, vma);
	if (!err)
		err = lock(cr, task, vma);
	if (err || !needs_protection(task, vma))
		return err;
	if (mprotect((void *)(uintptr_t)vma->mapped_at, vma->end - vma->start,
		     protection_for_now(vma)) < 0)
		return log_err(cr, -errno, "pid %d: protect mapping %" PRIx64 "-%" PRIx64,
			       task->pid, vma->start, vma->end);
	return 0;
}

static int install_guard(struct cr *cr, struct task *task, const struct vma *vma, uint64_t start,
			 uint64_t end)
{
	void *at = (void *)(uintptr_t)(vma->mapped_at + (start - vma->start));

	if (madvise(at, end - start, MADV_GUARD_INSTALL) == 0)
		return 0;
	return log_err(cr, -errno, "pid %d: make %" PRIx64 "-%" PRIx64 " a guard region", task->pid,
		       start, end);
}

int mem_install_guards(struct cr *cr, struct task *task)
{
	const struct spans *guards = &task->mm->restore->guards;
	const struct mm *mm = task->mm;
	unsigned int i = 0;

	for (size_t g = 0; g < guards->n; g++) {
		const struct span *guard = &guards->items[g];

		while (i < mm->n_vmas && mm->vmas[i].end <= guard->start)
			i++;
		for (unsigned int j = i; j < mm->n_vmas && mm->vmas[j].start < guard->end; j++) {
			const struct vma *vma = &mm->vmas[j];
			int err;

			if (!vma_is_mapped(vma))
				continue;
			err = install_guard(cr, task, vma, MAX(guard->start, vma->start),
					    MIN(guard->end, vma->end));
			if (err)
				return err;
		}
	}
	return 0;
}
