/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of mem/ share. */
#ifndef CRIU_MEM_MEM_PRIV_H
#define CRIU_MEM_MEM_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/maps.h"
#include "mem/mem.h"
#include "mem/pages.h"
#include "mem/vma-status.h"
#include "util/hash.h"

struct image;
struct mem_place;
struct mem_objects;
struct vdso_image;

/* Off cr->mem; made by mem_new(). */
struct mem {
	struct mem_objects *objects; /* shared memory; objects.c */
	struct hash file_ids;        /* dump: mapped files that have an id (file_key()) */
	uint32_t last_pages_id;      /* dump: of the pages file made last */
	bool has_uprobes;            /* dump: a [uprobes] mapping was met */
	pthread_mutex_t lock;        /* dump: of objects */
	struct mem_place *place;     /* restore: free address space; place.c */
};

struct span {
	uint64_t start, end;
};

struct spans {
	struct span *items;
	size_t n, capacity;
};

/* Appends; grows the last one if it touches it. */
void spans_add(struct spans *spans, uint64_t start, uint64_t end);
void spans_release(struct spans *spans);

/* Off task->mm->dump. */
struct mm_dump {
	struct vma_list list; /* what vma.facts point into */
	struct pages pages;
	struct spans guards;
	uint64_t n_scanned;
};

/* --- convert.c --- */

/* Fills what facts say; shmid, fdflags are left. A sentence that says why not, or NULL. */
const char *vma_convert(const struct vma_facts *facts, struct vma *ret);
/* Can pages of it be in the task's own page map? */
bool vma_has_private_pages(const struct vma *vma);
/* PE_LAZY, for mappings that could be restored lazily. */
uint32_t vma_page_flags(const struct vma *vma);
/* Does a file stand behind it, which needs an id? */
bool vma_has_file(const struct vma *vma);

/* --- scan.c --- */

/* Makes mm->dump->pages and guards of a frozen task. */
int mem_scan(struct cr *cr, struct task *task);

/* --- objects.c, objects-dump.c, objects-restore.c: shared memory --- */

void mem_objects_free(struct mem_objects *objects);

#endif
