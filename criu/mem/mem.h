/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of the tree: mappings (mm-N.img), page maps and pages (pagemap-N.img, pagemap-shmem-N.img, pages-N.img), shared
 * memory objects (memfd.img), the vDSO.
 *
 * Dump: mem_collect() for each frozen task (from outside, workers), mem_dump_pages() for the whole tree on the worker pool,
 * mem_dump_mm() writes mm-N.img once file ids are known. The task is touched by process_vm_readv(2) and PAGEMAP_SCAN only.
 *
 * Restore: mem_load() in the coordinator checks everything that can be checked; in each task's own process mem_restore_inherit()
 * before it forks children (private memory that a child may share copy-on-write), mem_restore_fill() after, which leaves each
 * mapping either at its final address, where nothing of ours is in the way there, or elsewhere for the blob to move; and
 * mem_restore_args() tells the blob what to move, unmap, lock and advise.
 */
#ifndef CRIU_MEM_MEM_H
#define CRIU_MEM_MEM_H

#include <stdint.h>

#include "compel/base/raddr.h"

struct cr;
struct task;
struct vma_facts;
struct args_builder;

enum vma_backing { VMA_ANON, VMA_FILE, VMA_SHMEM, VMA_SPECIAL };

/* One mapping, on both sides. Field meanings of the image (vma_entry) are those of images.md 8. */
struct vma {
	uint64_t start, end; /* byte addresses in the task */
	uint64_t pgoff;      /* bytes into the file */
	uint64_t shmid;      /* id of the file entry, shmem inode or ipc id; 0 for private anonymous memory */
	uint32_t prot, flags, status;
	uint64_t madv;
	uint32_t fdflags;
	/* dump */
	const struct vma_facts *facts; /* kernel/maps.h */
	/* restore */
	uint64_t mapped_at;       /* where it lies in the task's process now; == start: in place */
	const struct vma *inherit; /* the parent's mapping this one is a copy-on-write copy of, or NULL */
};

struct mm {
	struct MmEntry *entry; /* dump: being filled; restore: as read */
	struct vma *vmas;
	unsigned n_vmas;
	struct mm_dump *dump;
	struct mm_restore *restore;
};

/* --- dump --- */

/* Reads the mappings of a frozen task into task->mm. No ptrace; any thread. */
int mem_collect(struct cr *cr, struct task *task);
/* Writes pages and page maps of all tasks and all shared memory objects, on cr->pool. Tracks the sizes in cr->stats. */
int mem_dump_pages(struct cr *cr);
/* Writes mm-N.img of the task and, once for all tasks, memfd.img. Needs the parasite's facts and the ids of mapped files. */
int mem_dump_mm(struct cr *cr, struct task *task);

/* --- restore --- */

/* Reads and checks mm and page maps of the task. In the coordinator, before any process exists. */
int mem_load(struct cr *cr, struct task *task);
/* Once in the coordinator: finds what children inherit, creates shared memory objects and fills them. */
int mem_prepare(struct cr *cr);
/* In the task's process. */
int mem_restore_inherit(struct cr *cr, struct task *task);
int mem_restore_fill(struct cr *cr, struct task *task);
int mem_restore_args(struct cr *cr, struct task *task, struct args_builder *args);

void mem_free(struct cr *cr);

#endif
