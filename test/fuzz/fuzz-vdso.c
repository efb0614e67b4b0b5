// SPDX-License-Identifier: GPL-2.0-only
/* A saved vDSO is foreign code in an ELF file: read its symbols and build-id, and redirect what it
 * has to one with the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mem/vdso.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vdso_symbols symbols, none = {.n = 0};
	const char *name;
	/* As restore has it: aligned, and to be written to. */
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	/* Not the same in its last byte, to be looked at further. */
	copy[size] = 0;
	if (size)
		copy[size - 1] ^= 1;
	vdso_is_same(copy, data, size);
	if (size)
		copy[size - 1] ^= 1;
	if (vdso_parse(copy, size, &symbols) == 0) {
		vdso_redirect(copy, size, 0x7fff00000000, &symbols, &symbols, 0x7ffe00000000,
			      &name);
		vdso_redirect(copy, size, 0x7fff00000000, &symbols, &none, 0, &name);
	}
	free(copy);
	return 0;
}
