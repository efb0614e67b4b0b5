/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of mem/ share. */
#ifndef CRIU_MEM_MEM_PRIV_H
#define CRIU_MEM_MEM_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/maps.h"
#include "mem/content.h"
#include "mem/mem.h"
#include "mem/pages.h"
#include "mem/place.h"
#include "mem/vma-status.h"
#include "util/hash.h"

struct image_dir;
struct mem_args;
struct vdso_own;
struct mem_objects;

/* Off cr->mem; made by mem_new(). */
struct mem {
	struct mem_objects *objects; /* shared memory; objects.c */
	struct hash file_ids;        /* dump: mapped files that have an id (file_key()) */
	uint32_t last_pages_id;      /* dump: of the pages file made last */
	struct vma_flags *flags;     /* dump: what is known of flags of mappings */
	bool has_uprobes;            /* dump: a [uprobes] mapping was met */
	pthread_mutex_t lock;        /* dump: of objects */
	/* restore */
	struct mem_place *place; /* free address space; place.c */
	struct span own_stack;   /* what our stack may grow to */
	struct vdso_own *vdso;   /* the vDSO of this kernel; vdso.h */
	uint64_t total_size;     /* bytes of private memory, all tasks */
	/* The task whose mappings are in this process, as far as they are: what a forked process
	 * has inherited. */
	struct task *present;
	struct image_dir **dirs; /* images, their parent, its parent … (content.h) */
	uint32_t n_dirs;
};

/* Off task->mm->dump. */
struct mm_dump {
	struct vma_list list; /* what vma.facts point into */
	struct pages pages;
	struct spans guards;
	uint64_t n_scanned;
};

/* Off task->mm->restore. */
struct mm_restore {
	struct content content; /* of private memory */
	struct spans guards;
	struct vma *vdso, *vvar; /* NULL: it has none */
	bool has_pkeys;          /* this host has protection keys */
};

/* --- convert.c --- */

/* Fills what facts say; shmid, fdflags are left. A sentence that says why not, or NULL. */
const char *vma_convert(const struct vma_facts *facts, struct vma *ret);
/* The same of one that vma_convert() refused but that a plugin may own: false if it has no file. */
bool vma_convert_device(const struct vma_facts *facts, struct vma *ret);
/* Can pages of it be in the task's own page map? */
bool vma_has_private_pages(const struct vma *vma);
/* PE_LAZY, for mappings that could be restored lazily. */
uint32_t vma_page_flags(const struct vma *vma);
/* Does a file stand behind it, which needs an id? */
bool vma_has_file(const struct vma *vma);

/* --- device.c: mappings that plugins own --- */

/* The access mode of the file that is mapped as name below /proc/PID. */
int mem_open_mode(struct cr *cr, struct task *task, const char *name, uint32_t *ret);
/* Dump: is the mapping a plugin's? Then it gets id and status. 0, 1 if it is, or -errno. */
int mem_claim_vma(struct cr *cr, struct task *task, struct vma *vma);
/* Restore: what the plugin says it is to be made of: *ret_fd (the caller's) or -1, *ret_pgoff. */
int mem_update_vma(struct cr *cr, struct task *task, const struct vma *vma, int *ret_fd,
		   uint64_t *ret_pgoff);

/* --- load.c --- */

/* Of its pages, by flags. */
uint64_t vma_page_size(const struct vma *vma);

/* --- map.c --- */

/* Maps it, at its address or elsewhere, writable where it will be filled. last_file is state
 * between calls. */
struct mapped_file {
	uint64_t id;
	uint32_t flags;
	int fd; /* -1: none */
};
int vma_map(struct cr *cr, struct task *task, struct vma *vma, struct mapped_file *last_file);
/* Protection, advice, lock: when its contents are there. */
int vma_finish(struct cr *cr, struct task *task, const struct vma *vma);
/* Puts guard regions into what is mapped. */
int mem_install_guards(struct cr *cr, struct task *task);
/* Is it mapped by map.c, or by something special (vDSO, its data, ring of AIO, vsyscall)? */
bool vma_is_mapped(const struct vma *vma);
/* Are there saved pages in it? */
bool vma_is_filled(const struct task *task, const struct vma *vma);

/* --- inherit.c --- */

/* Finds what children inherit from their parents. */
void mem_plan_inheritance(struct cr *cr);
/* Unmaps what this process has of other tasks and does not inherit; the rest becomes its own. Once.
 */
int mem_take_inheritance(struct cr *cr, struct task *task);
/* Drops pages of an inherited mapping that the task does not have. */
int mem_drop_pages(struct cr *cr, struct task *task, const struct vma *vma);

/* --- aio.c, vdso-restore.c: when copies of saved contents are there --- */

int aio_restore(struct cr *cr, struct task *task);
/* The vDSO of this process, from its mappings. -ENOENT if it has none. */
int vdso_find_own(const struct vma_list *list, struct vdso_own *ret);
/* Decides where the vDSO goes; maps the saved one if it is not that of this kernel. */
int vdso_restore(struct cr *cr, struct task *task);
/* Adds to args->early, to moves and ranges to keep what the blob does with our vDSO. */
void vdso_args(const struct vdso_own *own, struct mem_args *args, struct spans *keep);

/* --- pkey.c: protection keys --- */

/* Completes mm->entry and mm->vmas. Needs the parasite's facts. */
void pkeys_dump(struct cr *cr, struct task *task);
/* What is wrong with the key of a mapping, or NULL. */
const char *pkey_fault(const struct vma *vma);
/* Checks mm->entry and mm->vmas, and that this host can give them what they say. */
int pkeys_check(struct cr *cr, struct task *task);
/* Adds to args what the blob does with keys, and with mappings that can only be executed. */
void pkeys_args(const struct task *task, struct mem_args *args);

/* --- scan.c --- */

/* Makes mm->dump->pages and guards of a frozen task. */
int mem_scan(struct cr *cr, struct task *task);

/* --- uprobes.c --- */

/* May private pages of it be there for nothing but breakpoints? */
bool uprobes_may_be_in(const struct cr *cr, const struct vma *vma);
/* Adds to mm->dump->pages those of them for which that is not so. */
void uprobes_add_pages(struct cr *cr, struct task *task, const struct vma *vma, uint64_t start,
		       uint64_t end, uint32_t flags);

/* --- huge-file.c: huge pages for pages files on tmpfs, dump --- */

/* One for all workers; zeroed: nothing tried yet. All atomic. */
struct huge_files {
	uint64_t bytes; /* in huge pages */
	unsigned int failures;
	int err;     /* the last failure, -ETIME: it took too long */
	bool is_off; /* nothing more is tried */
};

/* Address space of one worker; zeroed: none yet. */
struct huge_window {
	char *start;
	size_t size;
};

/* Is the file on tmpfs? */
bool huge_file_is_possible(int fd);
/* Might making huge pages wait for ever, on a machine set up for real-time tasks? So say the files
 * in folder, which is /proc/sys/kernel but in tests. */
bool huge_files_may_hang(const char *folder);

/*
 * Gives the file huge pages for what lies between offset and end, as far as it is whole huge pages;
 * nobody has written there yet, and the caller is about to. It becomes as long as is needed for
 * that, and holds zeroes there. Where it fails, the file gets small pages as it is written; after a
 * few times, and at once where the kernel cannot do it, nothing more is tried.
 */
void huge_file_prepare(struct huge_files *files, struct huge_window *window, int fd,
		       uint64_t offset, uint64_t end);

void huge_window_release(struct huge_window *window);

/* --- objects.c (and objects.h): shared memory --- */

void mem_objects_free(struct mem_objects *objects);

#endif
