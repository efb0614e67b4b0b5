// SPDX-License-Identifier: GPL-2.0-only
/*
 * The area of the restorer blob: one range of addresses that no task of the tree uses, the same in
 * all processes because it is mapped before the first fork. Its parts, in order: words that all
 * processes share, the blob's code, room for the arguments of any task, a stack for each thread of
 * any task. Only what a task touches of it costs it memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "blob-restorer.h"
#include "compel/base/bits.h"
#include "cr.h"
#include "engine/restore-priv.h"
#include "files/files.h"
#include "kernel/features.h"
#include "mem/mem.h"
#include "pie/args.h"
#include "state/args-builder.h"
#include "task/restore.h"
#include "util/log.h"

#define PAGE       4096ul
#define STACK_SIZE 16384ul

/* Bytes that the arguments of a task grow by once it is known where its memory lies. */
static size_t args_growth(const struct task *task)
{
	return (2 * (size_t)task->mm->n_vmas + 256) * sizeof(struct mem_move);
}

static void *area_at(const struct cr *cr, uint64_t offset)
{
	return (void *)(cr->restore->area + offset);
}

static int map_parts(struct cr *cr, size_t code_size)
{
	int flags = MAP_ANONYMOUS | MAP_NORESERVE;
	void *area = area_at(cr, 0), *code = area_at(cr, PAGE);

	if (mmap(area, cr->restore->area_size, PROT_READ | PROT_WRITE,
		 flags | MAP_PRIVATE | MAP_FIXED_NOREPLACE, -1, 0) != area)
		return log_err(cr, -errno, "restorer: map its area");
	/* Huge pages would cost more to clear than all the rest. */
	madvise(area, cr->restore->area_size, MADV_NOHUGEPAGE);
	if (mmap(area, PAGE, PROT_READ | PROT_WRITE, flags | MAP_SHARED | MAP_FIXED, -1, 0) != area)
		return log_err(cr, -errno, "restorer: map its shared memory");
	memcpy(code, blob_restorer.image, blob_restorer.image_size);
	if (mprotect(code, code_size, PROT_READ | PROT_EXEC) < 0)
		return log_err(cr, -errno, "restorer: make its code executable");
	return 0;
}

int area_map(struct cr *cr)
{
	struct restore *restore = cr->restore;
	size_t code_size = round_up(blob_restorer.memory_size, PAGE), room = 0, n_threads = 0;
	struct task *task;
	int err;

	tree_for_each_task (task, cr->tree) {
		if (!task_is_alive(task))
			continue;
		n_threads = MAX(n_threads, task->n_threads);
		room = MAX(room, args_size(task->restore->args) + args_growth(task));
	}
	room = round_up(room, PAGE);
	restore->area_size = PAGE + code_size + room + n_threads * STACK_SIZE;
	err = mem_reserve(cr, restore->area_size, &restore->area);
	if (!err)
		err = map_parts(cr, code_size);
	if (err) {
		restore->area = 0;
		return err;
	}
	restore->shared = area_at(cr, 0);
	restore->entry = restore->area + PAGE + BLOB_RESTORER_restorer_run;
	restore->args = restore->area + PAGE + code_size;
	restore->stacks = restore->args + room;
	restore->stack_size = STACK_SIZE;
	return 0;
}

void area_unmap(struct cr *cr)
{
	if (!cr->restore->area)
		return;
	munmap(area_at(cr, 0), cr->restore->area_size);
	cr->restore->area = 0;
	cr->restore->shared = NULL;
}

static void put_mem_args(struct args_builder *b, const struct mem_args *mem)
{
	struct args_ref keep = args_put(b, mem->keep, sizeof(*mem->keep), mem->n_keep);
	struct args_ref moves = args_put(b, mem->moves, sizeof(*mem->moves), mem->n_moves);
	struct args_ref protects =
		args_put(b, mem->protects, sizeof(*mem->protects), mem->n_protects);

	args_task(b)->mem = *mem;
	args_task(b)->keep = keep;
	args_task(b)->moves = moves;
	args_task(b)->protects = protects;
}

int area_put_args(struct cr *cr, struct task *task)
{
	const struct restore *restore = cr->restore;
	struct args_builder *b = task->restore->args;
	struct task_args *args;
	struct mem_args mem = {0};
	int err = mem_restore_args(cr, task, &mem);

	if (err)
		return err;
	put_mem_args(b, &mem);
	mem_args_release(&mem);
	args = args_task(b);
	args->area = restore->area;
	args->area_size = restore->area_size;
	args->shared = (uint64_t)restore->shared;
	args->stacks = restore->stacks;
	args->stack_size = restore->stack_size;
	args->size = args_size(b);
	args->pid = task->pid;
	args->depth = task->restore->depth;
	args->first_own_fd = (uint32_t)files_first_free_fd(cr);
	args->has_timer_ids = cr->restore->has_timer_ids;
	for (size_t i = 0; i < task->n_threads; i++)
		args_thread(b, i)->tid = task->threads[i].tid;
	if (restore->args + args->size > restore->stacks)
		return log_refuse(cr, -ENOSPC, "restorer: %zu bytes of arguments do not fit",
				  args_size(b));
	memcpy((void *)restore->args, args, args->size);
	return 0;
}
