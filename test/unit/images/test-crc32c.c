// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRC-32C: vectors of RFC 3720 (iSCSI), the CPU's instruction against the portable code at all
 * sizes and alignments that take another path, and pieces put together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "images/lib/crc32c.h"

#define SIZE (3 * 5456 * 2 + 3 * 1360 + 77)

static uint8_t *noise(size_t size)
{
	uint8_t *data = malloc(size);
	uint32_t value = 1;

	assert_non_null(data);
	for (size_t i = 0; i < size; i++) {
		value = value * 1664525 + 1013904223;
		data[i] = value >> 24;
	}
	return data;
}

static void test_vectors(void **state)
{
	uint8_t data[32];

	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(data, 0, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		data[i] = i;
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x46dd794e);
	assert_int_equal(~crc32c_state_portable(~0u, data, sizeof(data)), 0x46dd794e);
}

static void test_hardware_is_as_portable(void **state)
{
	uint8_t *data = noise(SIZE + 8);

	if (!crc32c_hw_is_usable())
		skip();
	for (size_t length = 0; length < 40; length++)
		for (size_t skew = 0; skew < 8; skew++)
			assert_int_equal(crc32c_hw_state(length, data + skew, length),
					 crc32c_state_portable(length, data + skew, length));
	for (size_t length = 40; length <= SIZE; length += 523)
		assert_int_equal(crc32c_hw_state(~0u, data + length % 8, length),
				 crc32c_state_portable(~0u, data + length % 8, length));
	assert_int_equal(crc32c_hw_state(7, data, SIZE), crc32c_state_portable(7, data, SIZE));
	for (uint64_t zeros = 1; zeros < 1ull << 47; zeros = zeros * 5 + 1)
		assert_int_equal(crc32c_hw_shift(0x12345678, zeros),
				 crc32c_shift_portable(0x12345678, zeros));
	free(data);
}

static void test_pieces(void **state)
{
	uint8_t *data = noise(SIZE), *zeros = calloc(1, 5000);
	uint32_t whole = crc32c(0, data, SIZE);

	assert_non_null(zeros);
	for (size_t cut = 0; cut <= SIZE; cut += 997) {
		uint32_t a = crc32c(0, data, cut), b = crc32c(0, data + cut, SIZE - cut);

		assert_int_equal(crc32c(a, data + cut, SIZE - cut), whole);
		assert_int_equal(crc32c_combine(a, b, SIZE - cut), whole);
	}
	for (size_t n = 0; n < 5000; n += 211) {
		assert_int_equal(crc32c_shift(0xdeadbeef, n), crc32c_state(0xdeadbeef, zeros, n));
		assert_int_equal(crc32c_shift_portable(0xdeadbeef, n), crc32c_shift(0xdeadbeef, n));
	}
	free(data);
	free(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_hardware_is_as_portable),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
