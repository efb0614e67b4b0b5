// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRC-32C without special instructions, eight bytes a step, and the choice between this and the
 * CPU's. The tables are linear in their index, so each is given by its entries for the eight single
 * bits, and the compiler fills in the rest.
 */
#include "images/lib/crc32c.h"

#include <endian.h>
#include <string.h>

#define BIT(i, b, value) ((i) >> (b)&1 ? (value) : 0)
#define ENTRY(i, b0, b1, b2, b3, b4, b5, b6, b7)                                         \
	(BIT(i, 0, b0) ^ BIT(i, 1, b1) ^ BIT(i, 2, b2) ^ BIT(i, 3, b3) ^ BIT(i, 4, b4) ^ \
	 BIT(i, 5, b5) ^ BIT(i, 6, b6) ^ BIT(i, 7, b7))
#define ROW4(i, ...)                                                                 \
	ENTRY(i, __VA_ARGS__), ENTRY(i + 1, __VA_ARGS__), ENTRY(i + 2, __VA_ARGS__), \
		ENTRY(i + 3, __VA_ARGS__)
#define ROW16(i, ...)                                                             \
	ROW4(i, __VA_ARGS__), ROW4(i + 4, __VA_ARGS__), ROW4(i + 8, __VA_ARGS__), \
		ROW4(i + 12, __VA_ARGS__)
#define ROW64(i, ...)                                                                  \
	ROW16(i, __VA_ARGS__), ROW16(i + 16, __VA_ARGS__), ROW16(i + 32, __VA_ARGS__), \
		ROW16(i + 48, __VA_ARGS__)
#define TABLE(...)                                                                      \
	{                                                                               \
		ROW64(0, __VA_ARGS__), ROW64(64, __VA_ARGS__), ROW64(128, __VA_ARGS__), \
			ROW64(192, __VA_ARGS__)                                         \
	}

/* after[k][byte]: the state that byte leaves once k more zero bytes went by. */
static const uint32_t after[8][256] = {
	TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc,
	      0x82f63b78),
	TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604,
	      0xfbc3faf9),
	TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9,
	      0x8b277743),
	TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7,
	      0x52a0c93f),
	TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae,
	      0x6ea2d55c),
	TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb,
	      0x1c08b7d6),
	TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a,
	      0xf56e0ef4),
	TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32,
	      0x34019664),
};

/* x to the power of 8 * 2^k, modulo the polynomial: multiplying by it passes 2^k zero bytes. */
static const uint32_t power[48] = {
	0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955,
	0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564,
	0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
	0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42,
	0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c,
	0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16,
	0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6,
};

uint32_t crc32c_state_portable(uint32_t state, const void *data, size_t length)
{
	const uint8_t *at = data;

	for (; length >= 8; at += 8, length -= 8) {
		uint64_t word;

		memcpy(&word, at, 8);
		word = le64toh(word) ^ state;
		state = after[7][word & 0xff] ^ after[6][word >> 8 & 0xff] ^
			after[5][word >> 16 & 0xff] ^ after[4][word >> 24 & 0xff] ^
			after[3][word >> 32 & 0xff] ^ after[2][word >> 40 & 0xff] ^
			after[1][word >> 48 & 0xff] ^ after[0][word >> 56];
	}
	for (; length; at++, length--)
		state = state >> 8 ^ after[0][(state ^ *at) & 0xff];
	return state;
}

static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (; a; a <<= 1) {
		if (a & 0x80000000)
			product ^= b;
		b = b >> 1 ^ (b & 1 ? 0x82f63b78 : 0);
	}
	return product;
}

uint32_t crc32c_shift_portable(uint32_t state, uint64_t zeros)
{
	for (int k = 0; zeros && k < 48; k++, zeros >>= 1)
		if (zeros & 1)
			state = multiply(state, power[k]);
	return state;
}

uint32_t crc32c_state(uint32_t state, const void *data, size_t length)
{
	return crc32c_hw_is_usable() ? crc32c_hw_state(state, data, length)
				     : crc32c_state_portable(state, data, length);
}

uint32_t crc32c_shift(uint32_t state, uint64_t zeros)
{
	return crc32c_hw_is_usable() ? crc32c_hw_shift(state, zeros)
				     : crc32c_shift_portable(state, zeros);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t length)
{
	return ~crc32c_state(~crc, data, length);
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b)
{
	/* The inversions cancel out: B started from all ones, which A's final inversion stands for.
	 */
	return crc32c_shift(crc_a, length_b) ^ crc_b;
}
