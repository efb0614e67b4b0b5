/* SPDX-License-Identifier: GPL-2.0-only */
/* The vDSO: reading its symbols, and making a saved one of another kernel call the present one. */
#ifndef CRIU_MEM_VDSO_H
#define CRIU_MEM_VDSO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VDSO_MAX_SYMBOLS 64
#define VDSO_NAME_MAX    48

struct vdso_symbol {
	char name[VDSO_NAME_MAX];
	uint64_t offset; /* in the image */
	uint64_t size;   /* 0: not told */
};

struct vdso_symbols {
	struct vdso_symbol items[VDSO_MAX_SYMBOLS];
	size_t n;
};

/* Functions that the image exports. The image is foreign: -EBADMSG if it is no vDSO, or leads
 * outside of itself. */
int vdso_parse(const void *image, size_t size, struct vdso_symbols *ret);

/* NULL if there is none of that name. */
const struct vdso_symbol *vdso_find(const struct vdso_symbols *symbols, const char *name);

/*
 * Do tasks find in b, with the data of its kernel, all that they had in a? So it is for two of one
 * build (by build-id: they may differ in what the kernel patched for the CPU), and for two builds
 * whose code and functions are the same.
 */
bool vdso_is_same(const void *a, const void *b, size_t size);

/*
 * Replaces the functions of image (size bytes, to run at address saved_at) by jumps to those of the
 * same name in a vDSO at own_at, or by system calls where that has none. -EBADMSG if a function is
 * too short for that or unknown. ret_name: which.
 */
int vdso_redirect(void *image, size_t size, uint64_t saved_at, const struct vdso_symbols *saved,
		  const struct vdso_symbols *own, uint64_t own_at, const char **ret_name);

/* The vDSO of this process: its areas, in order of address, the code last. */
#define VDSO_MAX_AREAS 4

struct vdso_area {
	uint64_t start, end;
};

struct vdso_own {
	struct vdso_area areas[VDSO_MAX_AREAS];
	size_t n;
	uint64_t start, end; /* of all */
	uint64_t data_size;  /* of all areas before the code */
	uint64_t moved_to;   /* in this task: where it waits for the blob to put it to its place */
	uint64_t target;     /* and that place; 0: it goes away */
};

static inline const struct vdso_area *vdso_code(const struct vdso_own *own)
{
	return &own->areas[own->n - 1];
}

#endif
