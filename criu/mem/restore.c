// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: the order of things. The coordinator plans once for the tree (mem_prepare()): which
 * addresses nobody needs, what children inherit, shared objects. Each task then maps and fills its
 * memory in its own process, before and after it forks, and describes to the blob what only it can
 * do: take away what was ours and move the rest to its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "files/files.h"
#include "images/lib/image.h"
#include "kernel/proc.h"
#include "mem/fill.h"
#include "mem/mem-priv.h"
#include "mem/objects.h"
#include "mem/vdso.h"
#include "pie/mem-args.h"
#include "run.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/str.h"

#include "images/mm.pb-c.h"

/* Less than this is filled by one thread. */
#define PARALLEL_MIN (32ull << 20)
/* How far our stack may grow, and what it has to keep clear of. */
#define STACK_ROOM (64ull << 20)

/* --- in the coordinator --- */

static int read_own_mappings(struct cr *cr, struct vma_list *ret)
{
	_cleanup_close_ int dir = proc_open(getpid());
	int err = dir < 0 ? dir : maps_read(dir, ret);

	return err ? log_err(cr, err, "read our own mappings") : 0;
}

static void add_own(struct cr *cr, const struct vma_list *list, struct spans *used)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct vma_facts *facts = &list->items[i];

		if (facts->start >= MEM_TASK_SIZE)
			continue;
		spans_add(used, facts->start, facts->end);
		if (str_equal(facts->path, "[stack]"))
			cr->mem->own_stack = (struct span){facts->start - STACK_ROOM, facts->end};
	}
}

static int prepare_place(struct cr *cr)
{
	struct vma_list list = {0};
	struct spans used = {0};
	struct task *task;
	int err;

	err = read_own_mappings(cr, &list);
	if (err)
		return err;
	cr->mem->vdso = xcalloc(1, sizeof(*cr->mem->vdso));
	if (vdso_find_own(&list, cr->mem->vdso))
		log_warn(cr, "this process has no vDSO: tasks get none");
	add_own(cr, &list, &used);
	vma_list_release(&list);
	tree_for_each_task (task, cr->tree) {
		for (unsigned int i = 0; task->mm && i < task->mm->n_vmas; i++)
			if (task->mm->vmas[i].end <= MEM_TASK_SIZE)
				spans_add(&used, task->mm->vmas[i].start, task->mm->vmas[i].end);
	}
	spans_sort(&used);
	cr->mem->place = place_new(&used);
	spans_release(&used);
	if (!cr->mem->place)
		return log_err(cr, -ENOMEM, "find address space that no task uses");
	return 0;
}

int mem_prepare(struct cr *cr)
{
	struct task *task;
	int err;

	err = prepare_place(cr);
	if (err)
		return err;
	mem_plan_inheritance(cr);
	tree_for_each_task (task, cr->tree) {
		const struct content *content = task->mm ? &task->mm->restore->content : NULL;

		for (size_t i = 0; content && i < content->n; i++)
			cr->mem->total_size += content->extents[i].size;
	}
	progress_set_total(cr, cr->mem->total_size);
	/* Tasks read from these directories; numbers of their own descriptors are not ours. */
	for (uint32_t i = 0; i < cr->mem->n_dirs; i++) {
		err = image_dir_move_fd(cr->mem->dirs[i], files_first_free_fd(cr));
		if (err)
			return log_refuse(cr, err, "%s", image_last_error(cr->mem->dirs[i]));
	}
	return mem_objects_restore(cr);
}

int mem_reserve(struct cr *cr, uint64_t size, uint64_t *ret_start)
{
	/* A page on each side stays free. */
	int err = place_take(cr->mem->place, 0, size + MEM_PAGE, 2ull << 20, ret_start);

	return err ? log_err(cr, err, "find %" PRIu64 " bytes of address space that no task uses",
			     size)
		   : 0;
}

/* --- in the task's process --- */

/* A copy to work on, of what is not simply mapped. */
static void add_copy(const struct content *content, struct vma *vma, struct fill_pieces *pieces)
{
	if (vma->copy)
		return;
	vma->copy = xcalloc(1, vma->end - vma->start);
	fill_add(pieces, content, vma->start, vma->end, (uintptr_t)vma->copy, false);
}

static int map_and_add(struct cr *cr, struct task *task, struct vma *vma, struct mapped_file *last,
		       struct fill_pieces *pieces)
{
	int err;

	if (!vma->mapped_at) {
		err = vma_map(cr, task, vma, last);
		if (err)
			return err;
	}
	if (vma->is_filled)
		return 0;
	fill_add(pieces, &task->mm->restore->content, vma->start, vma->end, vma->mapped_at,
		 vma->inherit != NULL);
	vma->is_filled = true;
	return vma->inherit ? mem_drop_pages(cr, task, vma) : 0;
}

/* Only for what was passed on, or for all. */
static int map_all(struct cr *cr, struct task *task, bool is_passed_on, struct fill_pieces *pieces)
{
	struct mapped_file last = {.fd = -1};
	struct mm *mm = task->mm;
	int err = 0;

	for (unsigned int i = 0; !err && i < mm->n_vmas; i++) {
		struct vma *vma = &mm->vmas[i];

		if (vma_is_mapped(vma) && (vma->is_passed_on || !is_passed_on))
			err = map_and_add(cr, task, vma, &last, pieces);
		else if ((vma->status & (VMA_AREA_VDSO | VMA_AREA_AIORING)) && !is_passed_on &&
			 vma_is_filled(task, vma))
			add_copy(&mm->restore->content, vma, pieces);
	}
	if (last.fd >= 0)
		close(last.fd);
	return err;
}

static int fill(struct cr *cr, struct task *task, bool is_passed_on)
{
	struct fill_pieces pieces = {0};
	char what[32];
	bool parallel;
	int err;

	snprintf(what, sizeof(what), "pid %d", task->pid);
	err = map_all(cr, task, is_passed_on, &pieces);
	/* Where tasks are many, they keep all CPUs busy by themselves. */
	parallel = pieces.size >= PARALLEL_MIN &&
		   pieces.size >= cr->mem->total_size / pool_size(cr->pool);
	if (!err)
		err = fill_run(cr, &task->mm->restore->content, &pieces, parallel, what);
	if (parallel)
		pool_stop(cr->pool);
	fill_release(&pieces);
	return err;
}

int mem_restore_inherit(struct cr *cr, struct task *task)
{
	int err;

	if (!task->mm)
		return 0;
	err = mem_take_inheritance(cr, task);
	return err ? err : fill(cr, task, true);
}

int mem_restore_devices(struct cr *cr, struct task *task)
{
	struct mapped_file last = {.fd = -1};
	struct mm *mm = task->mm;
	int err = mm ? mem_take_inheritance(cr, task) : 0;

	for (unsigned int i = 0; mm && !err && i < mm->n_vmas; i++)
		if ((mm->vmas[i].status & VMA_EXT_PLUGIN) && !mm->vmas[i].mapped_at)
			err = vma_map(cr, task, &mm->vmas[i], &last);
	if (last.fd >= 0)
		close(last.fd);
	return err;
}

int mem_restore_fill(struct cr *cr, struct task *task)
{
	struct mm *mm = task->mm;
	int err;

	if (!mm)
		return 0;
	err = mem_take_inheritance(cr, task);
	if (!err)
		err = fill(cr, task, false);
	if (!err)
		err = vdso_restore(cr, task);
	if (!err)
		err = aio_restore(cr, task);
	if (!err)
		err = mem_install_guards(cr, task);
	for (unsigned int i = 0; !err && i < mm->n_vmas; i++)
		if (vma_is_mapped(&mm->vmas[i]))
			err = vma_finish(cr, task, &mm->vmas[i]);
	for (unsigned int i = 0; i < mm->n_vmas; i++) {
		free(mm->vmas[i].copy);
		mm->vmas[i].copy = NULL;
	}
	return err;
}

/* --- what the blob is told --- */

static int fill_map_args(struct cr *cr, struct task *task, struct mem_args *ret)
{
	const MmEntry *e = task->mm->entry;
	_cleanup_close_ int fd = -1;
	int err;

	ret->map = (struct mem_map_args){
		.start_code = e->mm_start_code,
		.end_code = e->mm_end_code,
		.start_data = e->mm_start_data,
		.end_data = e->mm_end_data,
		.start_brk = e->mm_start_brk,
		.brk = e->mm_brk,
		.start_stack = e->mm_start_stack,
		.arg_start = e->mm_arg_start,
		.arg_end = e->mm_arg_end,
		.env_start = e->mm_env_start,
		.env_end = e->mm_env_end,
		.auxv_size = e->n_mm_saved_auxv * sizeof(uint64_t),
	};
	memcpy(ret->auxv, e->mm_saved_auxv, ret->map.auxv_size);
	ret->auxv_words = e->n_mm_saved_auxv;
	err = files_open(cr, task, e->exe_file_id, O_RDONLY, &fd);
	if (!err)
		err = fd_move_above(&fd, files_first_free_fd(cr));
	if (err)
		return log_err(cr, err, "pid %d: open its executable", task->pid);
	ret->map.exe_fd = TAKE_FD(fd);
	return 0;
}

int mem_restore_args(struct cr *cr, struct task *task, struct mem_args *ret)
{
	const struct mm *mm = task->mm;
	struct spans keep = {0};
	int err;

	*ret = (struct mem_args){
		.task_size = MEM_TASK_SIZE,
		.dumpable = mm->entry->has_dumpable ? mm->entry->dumpable : -1,
		.thp_disable = mm->entry->has_thp_disabled && mm->entry->thp_disabled,
	};
	err = fill_map_args(cr, task, ret);
	if (err)
		return err;

	ret->moves = xcalloc(mm->n_vmas + VDSO_MAX_AREAS, sizeof(*ret->moves));
	for (unsigned int i = 0; i < mm->n_vmas; i++) {
		const struct vma *vma = &mm->vmas[i];
		uint64_t size = vma->end - vma->start;

		if (!vma->mapped_at)
			continue;
		spans_add(&keep, vma->mapped_at, vma->mapped_at + size);
		if (vma->mapped_at != vma->start)
			ret->moves[ret->n_moves++] =
				(struct mem_move){vma->mapped_at, vma->start, size};
	}
	pkeys_args(task, ret);
	vdso_args(cr->mem->vdso, ret, &keep);
	spans_sort(&keep);
	ret->keep = xcalloc(keep.n, sizeof(*ret->keep));
	ret->n_keep = keep.n;
	for (size_t i = 0; i < keep.n; i++)
		ret->keep[i] = (struct mem_span){keep.items[i].start, keep.items[i].end};
	spans_release(&keep);
	return 0;
}

void mem_args_release(struct mem_args *args)
{
	free(args->keep);
	free(args->moves);
	free(args->protects);
	args->keep = NULL;
	args->moves = NULL;
	args->protects = NULL;
}
