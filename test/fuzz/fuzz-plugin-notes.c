// SPDX-License-Identifier: GPL-2.0-only
/* Feeds the reader of a plugin's notes with anything; the first byte is the alignment. */
#include <stdlib.h>

#include "plugin/priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *lacks = NULL;

	if (!size)
		return 0;
	plugin_notes_problem((const char *)data + 1, size - 1, data[0], &lacks);
	free(lacks);
	return 0;
}
