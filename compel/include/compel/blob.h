/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A blob: position-independent code and data without relocations, built with the recipe in
 *compel/blob.mk (or with what `compel cflags`, `ldflags`, `libs` and `blob` give to other
 *projects). The build makes, for a blob called x, a C object and a header blob-x.h with
 *
 *	extern const struct compel_blob blob_x;
 *	enum { BLOB_X_<function> = <offset>, ... };   each function marked compel_entry
 *(compel/pie/entry.h)
 */
#ifndef COMPEL_BLOB_H
#define COMPEL_BLOB_H

#include <stddef.h>
#include <stdint.h>

struct compel_symbol {
	const char *name;
	uint64_t offset; /* from the start of the image */
};

struct compel_blob {
	const char *name;
	const void *image;  /* to be copied to a page boundary, mapped read, write and execute */
	size_t image_size;  /* bytes in image */
	size_t memory_size; /* image_size and what must be zero after it (.bss) */
	const struct compel_symbol *symbols;
	size_t nr_symbols;
};

/* Looks an entry up. Returns 0 with *ret_offset, or -ENOENT. */
int compel_blob_find(const struct compel_blob *blob, const char *name, uint64_t *ret_offset);

#endif
