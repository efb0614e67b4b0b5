// SPDX-License-Identifier: LGPL-2.1-only
/* Looks a blob's entry up by name. Entries are few and looked up once, so in order. */
#include <errno.h>
#include <string.h>

#include "compel/blob.h"

int compel_blob_find(const struct compel_blob *blob, const char *name, uint64_t *ret_offset)
{
	for (size_t i = 0; i < blob->nr_symbols; i++) {
		if (strcmp(blob->symbols[i].name, name) == 0) {
			*ret_offset = blob->symbols[i].offset;
			return 0;
		}
	}
	return -ENOENT;
}
