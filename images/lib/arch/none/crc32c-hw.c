// SPDX-License-Identifier: GPL-2.0-only
/* CRC-32C for CPUs that we know no instruction of: the portable code is used. */
#include "images/lib/crc32c.h"

bool crc32c_hw_is_usable(void)
{
	return false;
}

uint32_t crc32c_hw_state(uint32_t state, const void *data, size_t length)
{
	return crc32c_state_portable(state, data, length);
}

uint32_t crc32c_hw_shift(uint32_t state, uint64_t zeros)
{
	return crc32c_shift_portable(state, zeros);
}
