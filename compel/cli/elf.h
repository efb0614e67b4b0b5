/* SPDX-License-Identifier: LGPL-2.1-only */
/* Reads a linked blob (an ELF file made with PIE_LDFLAGS) into what the library wants. */
#ifndef COMPEL_CLI_ELF_H
#define COMPEL_CLI_ELF_H

#include "compel/blob.h"

struct elf_blob {
	struct compel_blob blob; /* points into what follows */
	void *file;
	size_t file_size;
	struct compel_symbol *symbols;
};

/* Returns 0, or -1 after a line to stderr that says why the file is no blob. */
int elf_blob_read(const char *path, struct elf_blob *ret_blob);
void elf_blob_free(struct elf_blob *blob);

#endif
