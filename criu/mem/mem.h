/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of the tree: mappings (mm-N.img), page maps and pages (pagemap-N.img, pagemap-shmem-N.img,
 * pages-N.img), shared memory objects (memfd.img), the vDSO.
 *
 * Dump: mem_collect() for each frozen task (from outside, workers), mem_dump_pages() for the whole
 * tree on the worker pool, mem_dump_mm() writes mm-N.img. The task is touched by
 * process_vm_readv(2), /proc/PID/mem and PAGEMAP_SCAN only.
 *
 * Restore: mem_load() in the coordinator checks everything that can be checked; in each task's own
 * process mem_restore_inherit() before it forks children (private memory that a child may share
 * copy-on-write), mem_restore_fill() after, which leaves each mapping either at its final address,
 * where nothing of ours is in the way there, or elsewhere for the blob to move; and
 * mem_restore_args() tells the blob what to move and unmap (pie/mem-args.h).
 */
#ifndef CRIU_MEM_MEM_H
#define CRIU_MEM_MEM_H

#include <stdbool.h>
#include <stdint.h>

struct cr;
struct stat;
struct task;
struct vma_facts;
struct mem_args;

/* One mapping, on both sides. Field meanings of the image (vma_entry) are those of images.md 8. */
struct vma {
	uint64_t start, end; /* byte addresses in the task */
	uint64_t pgoff;      /* bytes into the file */
	uint64_t shmid;      /* id of the file entry, shmem inode or ipc id; 0 for private anonymous
				memory */
	uint32_t prot, flags, status;
	uint64_t madv;
	uint32_t fdflags;
	uint8_t pkey; /* protection key; only if has_pkey */
	bool has_pkey;
	/* dump */
	const struct vma_facts *facts; /* kernel/maps.h */
	const char *refusal; /* why it cannot be dumped unless a plugin owns it; else NULL */
	/* restore */
	uint64_t mapped_at; /* where it lies in the task's process now; == start: in place; 0: not
			       yet mapped */
	const struct vma
		*inherit;  /* the parent's mapping this one is a copy-on-write copy of, or NULL */
	uint8_t *copy;     /* contents of what is not simply mapped: saved vDSO, ring of AIO */
	bool is_passed_on; /* some child inherits it: has to be there before the children are */
	bool is_filled;
};

struct mm {
	struct MmEntry *entry; /* dump: being filled; restore: as read */
	struct vma *vmas;
	unsigned n_vmas;
	struct mm_dump *dump;
	struct mm_restore *restore;
};

/* Makes cr->mem: before any other call, on both sides. */
void mem_new(struct cr *cr);

/* --- dump, in this order --- */

/* Reads the mappings of a frozen task into task->mm. No ptrace; any thread. */
int mem_collect(struct cr *cr, struct task *task);
/* Once, after files_collect() and before files_dump(): gives each mapped file its id
 * (files_add_link()), finds shared objects. */
int mem_link_files(struct cr *cr);
/* Writes pages and page maps of all tasks and all shared memory objects, on cr->pool. Tracks the
 * sizes in cr->stats. */
int mem_dump_pages(struct cr *cr);
/* Writes mm-N.img of the task. Needs the parasite's facts. */
int mem_dump_mm(struct cr *cr, struct task *task);
/* Writes memfd.img, once, when files_dump() and mem_dump_pages() are through. */
int mem_dump_memfd(struct cr *cr);

/* Has some task an [uprobes] mapping? After mem_collect() of all. */
bool mem_has_uprobes(const struct cr *cr);

/* --- restore --- */

/* Coordinator, before any process exists: reads and checks memfd.img, so that files can be loaded.
 * Before files_load(). */
int mem_load_memfd(struct cr *cr);
/* Coordinator, before any process exists: reads and checks mm and page maps of the task. After
 * files_load(); any thread. */
int mem_load(struct cr *cr, struct task *task);
/* Once in the coordinator, before the first fork: what children inherit, where things go; makes and
 * fills shared objects. */
int mem_prepare(struct cr *cr);
/* In the task's process, before it forks children. */
int mem_restore_inherit(struct cr *cr, struct task *task);
/* In the task's process, after its files. */
/* In the task's process, after its files: makes the mappings that plugins own. */
int mem_restore_devices(struct cr *cr, struct task *task);
int mem_restore_fill(struct cr *cr, struct task *task);
/* In the task's process, as the last thing before the blob; mem_args_release() frees what *ret owns
 * (not *ret). */
int mem_restore_args(struct cr *cr, struct task *task, struct mem_args *ret);
void mem_args_release(struct mem_args *args);
/*
 * After mem_prepare(): an address range of size bytes that nothing is mapped at in this process now
 * and that no task of the tree has in use later (the blob, its arguments and stacks). Aligned to 2
 * MiB. Each call gives another range.
 */
int mem_reserve(struct cr *cr, uint64_t size, uint64_t *ret_start);
/* Coordinator, when all tasks are through mem_restore_fill(): seals of memfds; gives up the
 * objects. */
int mem_finish(struct cr *cr);

/* --- for the kind of file that memfds are (files/memfd.c) --- */

/*
 * Dump: notes the shared memory object that fd refers to; link is the text of its /proc link.
 * ret_inode_id is for memfd_file_entry.inode_id. Called for descriptors and for mappings
 * (files_add_link() leads there). Any thread; fd stays the caller's.
 */
int mem_memfd_add(struct cr *cr, int fd, const char *link, uint32_t *ret_inode_id);
/* Is it an object that mem_memfd_add() takes: a memfd, shared anonymous memory? */
bool mem_memfd_match(const char *link, const struct stat *st);
/* Restore: is there an inode with that id? */
bool mem_memfd_exists(struct cr *cr, uint32_t inode_id);
/* Restore: a new open file description (O_CLOEXEC) of the inode, opened with flags (access mode,
 * O_APPEND, O_NONBLOCK, …). */
int mem_memfd_open(struct cr *cr, uint32_t inode_id, uint32_t flags, int *ret_fd);

void mem_free(struct cr *cr);

#endif
