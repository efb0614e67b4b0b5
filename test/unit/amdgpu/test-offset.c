// SPDX-License-Identifier: GPL-2.0-only
/* Offsets of mappings of dma-bufs: as a driver tells them, and as they are to be asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugins/amdgpu/offset.h"

#define NODE 0x100000000ULL

static void check(uint64_t offset, uint64_t length, uint64_t node, uint64_t size, uint64_t wanted)
{
	uint64_t got = 1;

	assert_true(offset_in_dmabuf(offset, length, node, size, &got));
	assert_int_equal(got, wanted);
}

static void test_drm_adds_its_own(void **state)
{
	check(NODE, 0x10000, NODE, 0x10000, 0);
	check(NODE + 0x1000, 0x2000, NODE, 0x10000, 0x1000);
	check(NODE + 0xf000, 0x1000, NODE, 0x10000, 0xf000);
}

static void test_as_it_was_asked_for(void **state)
{
	check(0, 0x10000, NODE, 0x10000, 0);
	check(0x3000, 0x1000, NODE, 0x10000, 0x3000);
	/* What the CPU reaches only this way. */
	check(0x3000, 0x1000, 0, 0x10000, 0x3000);
}

static void test_of_another_buffer(void **state)
{
	uint64_t got;

	assert_false(offset_in_dmabuf(NODE + 0x10000, 0x1000, NODE, 0x10000, &got));
	assert_false(offset_in_dmabuf(NODE + 0xf000, 0x2000, NODE, 0x10000, &got));
	assert_false(offset_in_dmabuf(0x10000, 0x1000, NODE, 0x10000, &got));
	assert_false(offset_in_dmabuf(NODE, 0x1000, 0, 0x10000, &got));
	assert_false(offset_in_dmabuf(UINT64_MAX & ~0xfffULL, 0x1000, NODE, 0x10000, &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drm_adds_its_own),
		cmocka_unit_test(test_as_it_was_asked_for),
		cmocka_unit_test(test_of_another_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
