/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared memory objects: the inodes behind memfds and shared anonymous mappings. Each is saved once
 * for the whole tree, with an entry in memfd.img and its contents in pagemap-shmem-<shmid>.img.
 */
#ifndef CRIU_MEM_OBJECTS_H
#define CRIU_MEM_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mem/content.h"
#include "mem/pages.h"

struct cr;

struct mem_object {
	uint32_t inode_id; /* from 1; 0: ANON_SHARED of an older or unprivileged dump, which has no
			      entry in memfd.img */
	uint64_t shmid;    /* names the page map */
	char *name;        /* "/dev/zero": shared anonymous memory */
	uint32_t uid, gid, mode, seals;
	uint32_t hugetlb_flag; /* MFD_HUGETLB and size code, 0: none */
	uint64_t size;
	int fd; /* dump: readable; restore: of the object itself, read-write */
	/* dump */
	struct pages pages; /* addresses are offsets */
	dev_t dev;
	ino_t ino;
	/* restore */
	bool is_reserved; /* some mapping of it is without MAP_NORESERVE */
	struct content content;
};

struct mem_objects {
	struct mem_object **items;
	size_t n, capacity;
};

/* NULL if there is none. */
struct mem_object *mem_object_find(const struct cr *cr, uint32_t inode_id);
struct mem_object *mem_object_find_shmid(const struct cr *cr, uint64_t shmid);
/* An empty object, entered. */
struct mem_object *mem_object_new(struct cr *cr);

/* Restore: notes a mapping that refers to an object by its shmid alone (ANON_SHARED). */
void mem_object_note(struct cr *cr, uint64_t shmid, uint64_t end);
/* Restore, coordinator: reads contents, makes and fills all objects. */
int mem_objects_restore(struct cr *cr);

/* Dump: finds the pages of the object that have data. */
int mem_object_scan(struct cr *cr, struct mem_object *object);

#endif
