/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), by the CPU's instruction where it has one.
 *
 * A state without inversions at start and end is linear: the state after A and then B is that of A
 * taken over as many zero bytes as B has, XORed with that of B from 0. So pieces can be done in any
 * order and put together with crc32c_shift().
 */
#ifndef IMAGES_LIB_CRC32C_H
#define IMAGES_LIB_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The checksum of what crc is the checksum of (0: nothing) followed by data. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);

/* The checksum of A followed by B, from that of each and the length of B. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);

/* The bare state: after data, and after that many zero bytes (less than 2^48). */
uint32_t crc32c_state(uint32_t state, const void *data, size_t length);
uint32_t crc32c_shift(uint32_t state, uint64_t zeros);

/* The same without special instructions, for comparison. */
uint32_t crc32c_state_portable(uint32_t state, const void *data, size_t length);
uint32_t crc32c_shift_portable(uint32_t state, uint64_t zeros);

/* By CPU, in images/lib/arch: can these be called, and they. */
bool crc32c_hw_is_usable(void);
uint32_t crc32c_hw_state(uint32_t state, const void *data, size_t length);
uint32_t crc32c_hw_shift(uint32_t state, uint64_t zeros);

#endif
