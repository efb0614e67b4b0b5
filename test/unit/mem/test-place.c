// SPDX-License-Identifier: GPL-2.0-only
/* Free address space (mem/place.h): what is given out overlaps nothing, and lies as page tables
 * want it. */
#include <setjmp.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem/place.h"
#include "mem/vma-status.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static void test_spans_are_sorted_and_joined(void **state)
{
	struct spans spans = {0};

	spans_add(&spans, 50, 60);
	spans_add(&spans, 10, 20);
	spans_add(&spans, 15, 30);
	spans_add(&spans, 30, 31);
	spans_sort(&spans);
	assert_int_equal(spans.n, 2);
	assert_int_equal(spans.items[0].start, 10);
	assert_int_equal(spans.items[0].end, 31);
	assert_true(spans_overlap(&spans, 30, 40));
	assert_false(spans_overlap(&spans, 31, 50));
	assert_true(spans_overlap(&spans, 0, 100));
	assert_false(spans_overlap(&spans, 60, 100));
	spans_release(&spans);
}

static struct mem_place *new_place(struct spans *used)
{
	spans_add(used, 4 * MIB, 5 * MIB);
	spans_add(used, 0x555500000000, 0x555500000000 + MIB);
	spans_add(used, 0x7f0000000000, 0x7f0000000000 + GIB);
	spans_add(used, 0x7ffff0000000, 0x7ffff0010000);
	spans_sort(used);
	return place_new(used);
}

static void test_taken_ranges_are_free_and_apart(void **state)
{
	struct spans used = {0};
	struct mem_place *place = new_place(&used);
	uint64_t end = 0;

	assert_non_null(place);
	for (uint64_t i = 1; i < 100; i++) {
		uint64_t address = 0x7f0000000000 + i * 0x123000;
		uint64_t at;

		assert_int_equal(place_take(place, address, i * 4096, 2 * MIB, &at), 0);
		assert_int_equal(at % (2 * MIB), address % (2 * MIB));
		assert_false(spans_overlap(&used, at, at + i * 4096));
		assert_true(at >= end);
		end = at + i * 4096;
	}
	place_free(place);
	spans_release(&used);
}

static void test_neighbours_stay_neighbours(void **state)
{
	struct spans used = {0};
	struct mem_place *place = new_place(&used);
	uint64_t first, second;

	place_take(place, 0x7f0000001000, 0x5000, 2 * MIB, &first);
	place_take(place, 0x7f0000006000, 0x1000, 2 * MIB, &second);
	assert_int_equal(second, first + 0x5000);
	place_free(place);
	spans_release(&used);
}

static void test_near(void **state)
{
	struct spans used = {0};
	struct mem_place *place = new_place(&used);
	uint64_t at, other;

	assert_int_equal(place_take_near(place, 0x7f0000000000 + 4096, 0x8000, 2 * GIB, &at), 0);
	assert_false(spans_overlap(&used, at, at + 0x8000));
	assert_true(at < 0x7f0000000000 && at > 0x7f0000000000 - 64 * 4096);
	assert_int_equal(place_take_near(place, 0x7f0000000000 + 4096, 0x8000, 2 * GIB, &other), 0);
	assert_true(other + 0x8000 <= at || other >= at + 0x8000);
	place_free(place);
	spans_release(&used);
}

/* What is taken near an address is remembered, however many ranges were used before. */
static void test_near_beside_any_number(void **state)
{
	struct spans used = {0};

	for (uint64_t n = 1; n <= 200; n++) {
		uint64_t hole = n * GIB / 4, at, other;
		struct mem_place *place;

		spans_add(&used, hole, hole + 64 * MIB);
		place = place_new(&used);
		assert_non_null(place);
		assert_int_equal(place_take_near(place, hole, 4096, 2 * GIB, &at), 0);
		assert_int_equal(place_take_near(place, hole, 4096, 2 * GIB, &other), 0);
		assert_int_not_equal(at, other);
		assert_false(spans_overlap(&used, at, at + 4096));
		place_free(place);
	}
	spans_release(&used);
}

static void test_no_room(void **state)
{
	struct spans used = {0};
	struct mem_place *place;
	uint64_t at;

	spans_add(&used, 0, 64 * GIB);
	spans_add(&used, 68 * GIB, MEM_TASK_SIZE);
	place = place_new(&used);
	assert_non_null(place);
	assert_int_equal(place_take(place, 0, 5 * GIB, 2 * MIB, &at), -ENOMEM);
	assert_int_equal(place_take(place, 0, 1 * GIB, 2 * MIB, &at), 0);
	assert_int_equal(place_take_near(place, 20 * GIB, 4096, 2 * GIB, &at), -ENOMEM);
	place_free(place);

	spans_add(&used, 64 * GIB, 68 * GIB);
	spans_sort(&used);
	assert_null(place_new(&used));
	spans_release(&used);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spans_are_sorted_and_joined),
		cmocka_unit_test(test_taken_ranges_are_free_and_apart),
		cmocka_unit_test(test_neighbours_stay_neighbours),
		cmocka_unit_test(test_near),
		cmocka_unit_test(test_near_beside_any_number),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
