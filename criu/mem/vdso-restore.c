// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: the vDSO of a task. If what was saved is the same code as that of this kernel, then ours
 * is moved to where the task had it, code and data together; that can only be done by the blob,
 * since our C library calls it. Else the task gets its saved code as plain memory, redirected
 * (vdso.c) to ours, which is put nearby, and zeros in place of the old data: code that was
 * interrupted in there sees no clock mode in it and makes the system call. vvar contents are never
 * saved.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "cr.h"
#include "mem/mem-priv.h"
#include "mem/vdso.h"
#include "pie/mem-args.h"
#include "task/task.h"
#include "util/log.h"
#include "util/str.h"

/* A jump of five bytes reaches 2 GiB; the vDSO itself is some pages. */
#define REACH      (2040ull << 20)
#define HOLD_ALIGN (2ull << 20)

int vdso_find_own(const struct vma_list *list, struct vdso_own *ret)
{
	*ret = (struct vdso_own){0};
	for (size_t i = 0; i < list->n; i++) {
		const struct vma_facts *facts = &list->items[i];
		bool is_code = str_equal(facts->path, "[vdso]");

		if (!is_code && !str_starts_with(facts->path, "[vvar"))
			continue;
		if (ret->n && ret->end != facts->start)
			ret->n = 0;
		if (ret->n == VDSO_MAX_AREAS)
			return -ENOENT;
		if (!ret->n)
			ret->start = facts->start;
		ret->areas[ret->n++] = (struct vdso_area){facts->start, facts->end};
		ret->end = facts->end;
		ret->data_size = facts->start - ret->start;
		if (is_code)
			return 0;
	}
	ret->n = 0;
	return -ENOENT;
}

static bool is_own(const struct mm_restore *saved, const struct vdso_own *own)
{
	const struct vdso_area *code = vdso_code(own);
	const void *image = (const void *)(uintptr_t)code->start;
	const struct vma *vdso = saved->vdso, *vvar = saved->vvar;
	uint64_t size = code->end - code->start;

	if (!vvar || vvar->end != vdso->start || vvar->end - vvar->start != own->data_size ||
	    vdso->end - vdso->start != size)
		return false;
	return vdso_is_same(vdso->copy, image, size);
}

static int redirect(struct cr *cr, struct task *task, struct vdso_own *own)
{
	struct vma *vdso = task->mm->restore->vdso;
	size_t size = vdso->end - vdso->start;
	const struct vdso_area *code = vdso_code(own);
	struct vdso_symbols ours, saved;
	const char *name = "";
	int err;

	err = vdso_parse((const void *)(uintptr_t)code->start, code->end - code->start, &ours);
	if (err)
		return log_err(cr, err, "read the vDSO of this kernel");
	err = vdso_parse(vdso->copy, size, &saved);
	if (err)
		return log_refuse(cr, err, "pid %d: what was saved at %" PRIx64 " is no vDSO",
				  task->pid, vdso->start);
	err = place_take_near(cr->mem->place, vdso->start, own->end - own->start, REACH,
			      &own->target);
	if (err)
		err = place_take(cr->mem->place, 0, own->end - own->start, HOLD_ALIGN,
				 &own->target);
	if (err)
		return log_err(cr, err, "pid %d: find room for the vDSO of this kernel", task->pid);
	err = vdso_redirect(vdso->copy, size, vdso->start, &saved, &ours,
			    own->target + own->data_size, &name);
	if (err)
		return log_refuse(cr, err, "pid %d: the saved vDSO's %s cannot be redirected",
				  task->pid, name);
	log_info(cr, "pid %d: its vDSO is of another kernel: %zu functions redirected to %" PRIx64,
		 task->pid, saved.n, own->target + own->data_size);
	return 0;
}

static int map_saved(struct cr *cr, struct task *task, struct vma *vma)
{
	struct mapped_file none = {.fd = -1};
	int err;

	if (!vma)
		return 0;
	err = vma_map(cr, task, vma, &none);
	if (err)
		return err;
	if (vma->copy)
		memcpy((void *)(uintptr_t)vma->mapped_at, vma->copy, vma->end - vma->start);
	return vma_finish(cr, task, vma);
}

int vdso_restore(struct cr *cr, struct task *task)
{
	const struct mm_restore *saved = task->mm->restore;
	struct vdso_own *own = cr->mem->vdso;
	int err;

	own->target = 0;
	if (!own->n || !saved->vdso)
		return map_saved(cr, task, saved->vvar);
	/* It may not have been saved where the task could not read it. */
	if (!saved->vdso->copy)
		return log_refuse(cr, -EBADMSG,
				  "pid %d: the vDSO at %" PRIx64 " has no pages in the images",
				  task->pid, saved->vdso->start);
	if (is_own(saved, own)) {
		own->target = saved->vvar->start;
	} else {
		err = redirect(cr, task, own);
		if (!err)
			err = map_saved(cr, task, saved->vdso);
		if (!err)
			err = map_saved(cr, task, saved->vvar);
		if (err)
			return err;
	}
	err = place_take(cr->mem->place, own->target, own->end - own->start, HOLD_ALIGN,
			 &own->moved_to);
	if (err)
		return log_err(cr, err, "pid %d: find room for the vDSO", task->pid);
	return 0;
}

void vdso_args(const struct vdso_own *own, struct mem_args *args, struct spans *keep)
{
	if (!own->n || !own->target)
		return;
	for (size_t i = 0; i < own->n; i++) {
		const struct vdso_area *area = &own->areas[i];
		uint64_t distance = area->start - own->start;
		uint64_t size = area->end - area->start;

		args->early[args->n_early++] =
			(struct mem_move){area->start, own->moved_to + distance, size};
		args->moves[args->n_moves++] =
			(struct mem_move){own->moved_to + distance, own->target + distance, size};
	}
	spans_add(keep, own->moved_to, own->moved_to + (own->end - own->start));
}
