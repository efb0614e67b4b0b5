// SPDX-License-Identifier: GPL-2.0-only
/* Feeds the reader of BTF with anything. */
#include "kernel/btf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct btf_types *types;
	uint32_t value;

	if (btf_parse(data, size, &types) < 0)
		return 0;
	btf_find_function(types, "f", &value);
	btf_member_offset(types, "s", "m", &value);
	btf_free(types);
	return 0;
}
