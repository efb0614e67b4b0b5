// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore: rings of kernel asynchronous I/O. io_setup(2) makes a context and maps its ring; the
 * context's number is the ring's address, and mremap(2) of the ring changes it, which is how the
 * task gets its number back. In the ring lie the events that were complete but not fetched, between
 * head and tail. The kernel keeps a tail of its own, so it is brought to where it was by operations
 * that do nothing, then events and head are written back. Not saved: requests in flight; they were
 * over before the pages were saved, or their results are lost with the task's memory that they
 * would have gone to.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "mem/mem-priv.h"
#include "task/task.h"
#include "util/log.h"

#include "images/mm.pb-c.h"

/* As the kernel shares it with the task. */
struct ring {
	uint32_t id, nr, head, tail, magic, compat, incompat, header_length;
	struct io_event events[];
};

#define BATCH 32

/* A free place for the ring: its own address, or one to wait at. */
static int place_ring(struct cr *cr, struct task *task, struct vma *vma, uint64_t size)
{
	uint64_t at = vma->start;
	void *p = mmap((void *)(uintptr_t)at, size, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	int err;

	if (p == MAP_FAILED || (uintptr_t)p != at) {
		if (p != MAP_FAILED)
			munmap(p, size);
		err = place_take(cr->mem->place, at, size, 2ull << 20, &at);
		if (err)
			return log_err(cr, err, "pid %d: find room for a ring of asynchronous I/O",
				       task->pid);
	}
	vma->mapped_at = at;
	return 0;
}

/* Operations that read nothing, each of which leaves an event, until the kernel's tail is where it
 * was. */
static int advance_tail(aio_context_t context, struct ring *ring, uint32_t tail)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct iocb nothing = {.aio_lio_opcode = IOCB_CMD_PREAD};
	struct iocb *list[BATCH];

	if (fd < 0)
		return -errno;
	nothing.aio_fildes = fd;
	for (size_t i = 0; i < BATCH; i++)
		list[i] = &nothing;
	while (ring->tail != tail) {
		long left = (tail + ring->nr - ring->tail) % ring->nr;
		uint32_t before = ring->tail;

		if (syscall(SYS_io_submit, context, MIN(left, (long)BATCH), list) < 0)
			return -errno;
		if (ring->tail == before)
			return -EIO;
		__atomic_store_n(&ring->head, ring->tail, __ATOMIC_RELEASE);
	}
	return 0;
}

static int restore_contents(struct cr *cr, struct task *task, const struct vma *vma)
{
	struct ring *ring = (struct ring *)(uintptr_t)vma->mapped_at;
	const struct ring *saved = (const struct ring *)vma->copy;
	uint64_t room = (vma->end - vma->start - sizeof(*ring)) / sizeof(struct io_event);
	int err;

	if (!saved || saved->nr != ring->nr || saved->nr > room || saved->head >= saved->nr ||
	    saved->tail >= saved->nr)
		return log_refuse(cr, -EBADMSG,
				  "pid %d: the ring of asynchronous I/O at %" PRIx64
				  " makes no sense",
				  task->pid, vma->start);
	err = advance_tail(vma->mapped_at, ring, saved->tail);
	if (err)
		return log_err(cr, err, "pid %d: bring the ring at %" PRIx64 " to its position",
			       task->pid, vma->start);
	memcpy(ring->events, saved->events, saved->nr * sizeof(struct io_event));
	__atomic_store_n(&ring->head, saved->head, __ATOMIC_RELEASE);
	return 0;
}

static int restore_ring(struct cr *cr, struct task *task, struct vma *vma, const AioRingEntry *e)
{
	aio_context_t context = 0;
	uint64_t size = vma->end - vma->start;
	uint64_t made;
	int err;

	if (syscall(SYS_io_setup, e->nr_req, &context) < 0)
		return log_err(cr, -errno,
			       "pid %d: create a context of asynchronous I/O for %u requests",
			       task->pid, e->nr_req);
	made = sizeof(struct ring) + ((struct ring *)context)->nr * sizeof(struct io_event);
	if (round_up(made, MEM_PAGE) != size)
		return log_refuse(cr, -ERANGE,
				  "pid %d: the ring of asynchronous I/O at %" PRIx64 " had %" PRIu64
				  " bytes, this kernel makes one of %" PRIu64,
				  task->pid, vma->start, size, round_up(made, MEM_PAGE));
	err = place_ring(cr, task, vma, size);
	if (err)
		return err;
	if (mremap((void *)context, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   (void *)(uintptr_t)vma->mapped_at) == MAP_FAILED)
		return log_err(cr, -errno, "pid %d: move a ring of asynchronous I/O to %" PRIx64,
			       task->pid, vma->mapped_at);
	return restore_contents(cr, task, vma);
}

int aio_restore(struct cr *cr, struct task *task)
{
	const MmEntry *e = task->mm->entry;
	struct mm *mm = task->mm;

	for (size_t i = 0; i < e->n_aios; i++) {
		for (unsigned int j = 0; j < mm->n_vmas; j++) {
			int err;

			if (mm->vmas[j].start != e->aios[i]->id)
				continue;
			err = restore_ring(cr, task, &mm->vmas[j], e->aios[i]);
			if (err)
				return err;
		}
	}
	return 0;
}
