// SPDX-License-Identifier: GPL-2.0-only
/*
 * Breakpoints of x86: int3, one byte, wherever an instruction begins.
 */
#include "arch/breakpoint.h"

#define INT3 0xcc

bool breakpoint_is_all(const uint8_t *page, const uint8_t *before, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (page[i] != before[i] && page[i] != INT3)
			return false;
	return true;
}
