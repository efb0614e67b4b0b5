// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRC-32C with the crc32 instruction of SSE4.2. It takes one word a cycle but three cycles for
 * each, so three stretches of the data are done side by side and joined: the state of the first is
 * carried over the other two by a multiplication with a power of x (PCLMULQDQ), and crc32 itself
 * does the reduction.
 *
 * Carry-less multiplication of two reflected 32-bit values yields their product times x, and crc32
 * of the 64-bit result multiplies by x^32: hence factors for n bytes are x^(8n - 33).
 */
#include "images/lib/crc32c.h"

#include <immintrin.h>
#include <string.h>

/* Three times this is a little less than 16 KiB, and than a page: the usual sizes, in one round. */
#define LONG_STRETCH   5456
#define SHORT_STRETCH  1360
#define LONG_FACTOR    0x5d4c91fc
#define LONG_FACTOR_2  0x562cc096
#define SHORT_FACTOR   0x3f70cc6f
#define SHORT_FACTOR_2 0x5aa1f3cf

#define USES_SSE42 __attribute__((target("sse4.2,pclmul")))

/* Factors for 2^k bytes. */
static const uint32_t factor[48] = {
	0xbf818109, 0x780d5a4d, 0x05ec76f1, 0x00000001, 0x493c7d27, 0xba4fc28e, 0x9e4addf8,
	0x0d3b6092, 0xb9e02b86, 0xdd7e3b0c, 0x170076fa, 0xa51b6135, 0x82f89c77, 0x54a86326,
	0x1dc403cc, 0x5ae703ab, 0xc5013a36, 0xac2ac6dd, 0x9b4615a9, 0x688d1c61, 0xf6af14e6,
	0xb6ffe386, 0xb717425b, 0x478b0d30, 0x54cc62e5, 0x7b2102ee, 0x8a99adef, 0xa7568c8f,
	0xd610d67e, 0x6b086b3f, 0xd94f3c0b, 0xbf818109, 0x780d5a4d, 0x05ec76f1, 0x00000001,
	0x493c7d27, 0xba4fc28e, 0x9e4addf8, 0x0d3b6092, 0xb9e02b86, 0xdd7e3b0c, 0x170076fa,
	0xa51b6135, 0x82f89c77, 0x54a86326, 0x1dc403cc, 0x5ae703ab, 0xc5013a36,
};

bool crc32c_hw_is_usable(void)
{
	return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

USES_SSE42 static inline uint32_t multiply(uint32_t state, uint32_t by)
{
	__m128i product =
		_mm_clmulepi64_si128(_mm_cvtsi32_si128((int)state), _mm_cvtsi32_si128((int)by), 0);

	return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

static inline uint64_t word_at(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

USES_SSE42 static inline uint32_t three_stretches(uint32_t state, const uint8_t *at, size_t stretch,
						  uint32_t by, uint32_t by_2)
{
	uint64_t a = state, b = 0, c = 0;

	for (const uint8_t *end = at + stretch; at < end; at += 8) {
		a = _mm_crc32_u64(a, word_at(at));
		b = _mm_crc32_u64(b, word_at(at + stretch));
		c = _mm_crc32_u64(c, word_at(at + 2 * stretch));
	}
	return multiply((uint32_t)a, by_2) ^ multiply((uint32_t)b, by) ^ (uint32_t)c;
}

USES_SSE42 uint32_t crc32c_hw_state(uint32_t state, const void *data, size_t length)
{
	const uint8_t *at = data;

	for (; length >= 3 * LONG_STRETCH; at += 3 * LONG_STRETCH, length -= 3 * LONG_STRETCH)
		state = three_stretches(state, at, LONG_STRETCH, LONG_FACTOR, LONG_FACTOR_2);
	for (; length >= 3 * SHORT_STRETCH; at += 3 * SHORT_STRETCH, length -= 3 * SHORT_STRETCH)
		state = three_stretches(state, at, SHORT_STRETCH, SHORT_FACTOR, SHORT_FACTOR_2);
	for (; length >= 8; at += 8, length -= 8)
		state = (uint32_t)_mm_crc32_u64(state, word_at(at));
	for (; length; at++, length--)
		state = _mm_crc32_u8(state, *at);
	return state;
}

USES_SSE42 uint32_t crc32c_hw_shift(uint32_t state, uint64_t zeros)
{
	for (int k = 0; zeros && k < 48; k++, zeros >>= 1)
		if (zeros & 1)
			state = multiply(state, factor[k]);
	return state;
}
