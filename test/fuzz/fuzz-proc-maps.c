// SPDX-License-Identifier: GPL-2.0-only
/*
 * Feeds the parsers of maps and smaps with anything. smaps is read against a list of mappings, so a
 * zero byte separates the text of maps from that of smaps.
 */
#include <stdlib.h>
#include <string.h>

#include "kernel/maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct vma_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct vma_facts *vma = &list->items[i];

		if (vma->start >= vma->end || (i && vma->start < vma[-1].end))
			abort();
		if (vma_list_find(list, vma->start) != vma ||
		    vma_list_find(list, vma->end - 1) != vma)
			abort();
		if (strlen(vma->path) == SIZE_MAX)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *smaps = size ? memchr(text, '\0', size) : NULL;
	size_t maps_size = smaps ? (size_t)(smaps - text) : size;
	struct vma_list list;
	uint64_t flags;

	maps_parse_flags(text, size, &flags);
	if (maps_parse(text, maps_size, &list) < 0)
		return 0;
	check(&list);
	if (smaps && maps_parse_smaps(smaps + 1, size - maps_size - 1, &list) == 0) {
		for (size_t i = 0; i < list.n; i++) {
			if (!list.items[i].has_flags || !list.items[i].page_size)
				abort();
		}
	}
	vma_list_release(&list);
	return 0;
}
