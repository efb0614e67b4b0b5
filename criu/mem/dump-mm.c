// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump, last part: mm-N.img, one entry that says what the address space looks like: its mappings,
 * the addresses the kernel keeps for /proc (code, data, break, stack, arguments, environment), the
 * auxiliary vector, the executable, rings of asynchronous I/O, protection keys. Guard regions
 * follow the mappings. The break, and what prctl(2) alone tells, comes from the parasite. Of a ring
 * of AIO the number of requests is worked out backwards, so that io_setup(2) makes a ring of the
 * same size.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/auxvec.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/lib/image.h"
#include "kernel/proc.h"
#include "mem/mem-priv.h"
#include "task/dump.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/mm.pb-c.h"

/* More are not read by CRIU 4.2. */
#define MAX_AUXV_WORDS 44

/* The start of a ring, as the kernel shares it with the task. */
struct aio_ring {
	uint32_t id, nr, head, tail, magic, compat, incompat, header_length;
};

static void fill_addresses(const struct task *task, MmEntry *e)
{
	const struct proc_stat *stat = &task->dump->stat;

	e->mm_start_code = stat->start_code;
	e->mm_end_code = stat->end_code;
	e->mm_start_data = stat->start_data;
	e->mm_end_data = stat->end_data;
	e->mm_start_stack = stat->start_stack;
	e->mm_start_brk = stat->start_brk;
	e->mm_brk = task->dump->facts->brk;
	e->mm_arg_start = stat->arg_start;
	e->mm_arg_end = stat->arg_end;
	e->mm_env_start = stat->env_start;
	e->mm_env_end = stat->env_end;
	e->has_dumpable = true;
	e->dumpable = task->dump->facts->dumpable;
	e->has_thp_disabled = true;
	e->thp_disabled = task->dump->facts->thp_disabled != 0;
}

static int fill_auxv(struct cr *cr, struct task *task, MmEntry *e)
{
	_cleanup_free_ uint64_t(*pairs)[2] = NULL;
	size_t n_pairs, n = 0;
	int err;

	err = proc_read_auxv(task_proc_fd(task), &pairs, &n_pairs);
	if (err)
		return log_err(cr, err, "pid %d: read its auxiliary vector", task->host_pid);
	e->mm_saved_auxv = xcalloc(MAX_AUXV_WORDS, sizeof(*e->mm_saved_auxv));
	for (size_t i = 0; i < n_pairs && n + 2 <= MAX_AUXV_WORDS; i++) {
		e->mm_saved_auxv[n++] = pairs[i][0];
		e->mm_saved_auxv[n++] = pairs[i][1];
	}
	if (n + 2 <= MAX_AUXV_WORDS) {
		e->mm_saved_auxv[n++] = AT_NULL;
		e->mm_saved_auxv[n++] = 0;
	}
	e->n_mm_saved_auxv = n;
	return 0;
}

static int fill_aio(struct cr *cr, struct task *task, const struct vma *vma, AioRingEntry *e)
{
	struct aio_ring ring;
	struct iovec local = {&ring, sizeof(ring)};
	struct iovec remote = {(void *)(uintptr_t)vma->start, sizeof(ring)};

	if (process_vm_readv(task->host_pid, &local, 1, &remote, 1, 0) != sizeof(ring))
		return log_err(cr, -errno, "pid %d: read the ring of asynchronous I/O at %" PRIx64,
			       task->host_pid, vma->start);
	aio_ring_entry__init(e);
	e->id = vma->start;
	/* The kernel doubles what is asked for, and rounds up to whole pages. */
	e->nr_req = ring.nr / 2 - 1;
	e->ring_len = vma->end - vma->start;
	return 0;
}

static int fill_aios(struct cr *cr, struct task *task, MmEntry *e)
{
	const struct mm *mm = task->mm;

	for (unsigned int i = 0; i < mm->n_vmas; i++) {
		AioRingEntry *aio;
		int err;

		if (!(mm->vmas[i].status & VMA_AREA_AIORING))
			continue;
		aio = xmalloc(sizeof(*aio));
		e->aios = xreallocarray(e->aios, e->n_aios + 1, sizeof(*e->aios));
		e->aios[e->n_aios++] = aio;
		err = fill_aio(cr, task, &mm->vmas[i], aio);
		if (err)
			return err;
	}
	return 0;
}

static void fill_vma(const struct vma *vma, VmaEntry *e)
{
	vma_entry__init(e);
	e->start = vma->start;
	e->end = vma->end;
	e->pgoff = vma->pgoff;
	e->shmid = vma->shmid;
	e->prot = vma->prot;
	e->flags = vma->flags;
	e->status = vma->status;
	e->fd = -1;
	e->has_madv = vma->madv != 0;
	e->madv = vma->madv;
	e->has_fdflags = vma_has_file(vma) || (vma->status & VMA_AREA_AIORING);
	e->fdflags = vma->fdflags;
	e->has_pkey = vma->has_pkey;
	e->pkey = vma->pkey;
}

static int write_mm(struct cr *cr, struct task *task)
{
	const struct mm *mm = task->mm;
	const struct spans *guards = &mm->dump->guards;
	MmEntry *e = mm->entry;
	size_t n = mm->n_vmas + guards->n;
	_cleanup_free_ VmaEntry *entries = xcalloc(n, sizeof(*entries));
	_cleanup_free_ VmaEntry **pointers = xcalloc(n, sizeof(*pointers));
	int err;

	for (size_t i = 0; i < n; i++) {
		if (i < mm->n_vmas) {
			fill_vma(&mm->vmas[i], &entries[i]);
		} else {
			const struct span *guard = &guards->items[i - mm->n_vmas];
			struct vma vma = {
				.start = guard->start, .end = guard->end, .status = VMA_AREA_GUARD};

			fill_vma(&vma, &entries[i]);
		}
		pointers[i] = &entries[i];
	}
	e->vmas = pointers;
	e->n_vmas = n;
	err = image_write_one(cr->images, IMAGE_MM, task->pid, &e->base);
	e->vmas = NULL;
	e->n_vmas = 0;
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	return 0;
}

int mem_dump_mm(struct cr *cr, struct task *task)
{
	MmEntry *e = task->mm->entry;
	int err;

	fill_addresses(task, e);
	pkeys_dump(cr, task);
	err = fill_auxv(cr, task, e);
	if (!err)
		err = fill_aios(cr, task, e);
	return err ? err : write_mm(cr, task);
}
