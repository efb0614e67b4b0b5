// SPDX-License-Identifier: GPL-2.0-only
/* Page maps in memory (mem/pages.h): how runs are put together, and how their bytes are cut into
 * parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mem/pages.h"
#include "mem/vma-status.h"

#define P 4096ull

static void test_neighbours_of_equal_flags_are_one_run(void **state)
{
	struct pages pages = {0};

	pages_add(&pages, 1 * P, 2 * P, PE_PRESENT);
	pages_add(&pages, 2 * P, 5 * P, PE_PRESENT);
	pages_add(&pages, 5 * P, 6 * P, PE_PRESENT | PE_LAZY);
	pages_add(&pages, 7 * P, 8 * P, PE_PRESENT | PE_LAZY);
	pages_add(&pages, 8 * P, 8 * P, PE_PRESENT);
	assert_int_equal(pages.n, 3);
	assert_int_equal(pages_run_start(&pages.runs[0]), 1 * P);
	assert_int_equal(pages_run_end(&pages.runs[0]), 5 * P);
	assert_int_equal(pages_run_flags(&pages.runs[1]), PE_PRESENT | PE_LAZY);
	assert_int_equal(pages.n_present, 6);
	pages_release(&pages);
}

static void test_find(void **state)
{
	struct pages pages = {0};

	pages_add(&pages, 10 * P, 12 * P, PE_PRESENT);
	pages_add(&pages, 20 * P, 21 * P, PE_PRESENT);
	assert_int_equal(pages_find(&pages, 0), 0);
	assert_int_equal(pages_find(&pages, 11 * P + 5), 0);
	assert_int_equal(pages_find(&pages, 12 * P), 1);
	assert_int_equal(pages_find(&pages, 21 * P), 2);
	pages_release(&pages);
}

static void test_only_present_pages_have_bytes(void **state)
{
	struct pages_cursor cursor = {0};
	struct pages_piece piece;
	struct pages pages = {0};

	pages_add(&pages, 1 * P, 3 * P, PE_PRESENT);
	pages_add(&pages, 3 * P, 9 * P, PE_PARENT);
	pages_add(&pages, 9 * P, 10 * P, PE_PRESENT);
	assert_true(pages_next(&pages, &cursor, P, &piece));
	assert_int_equal(piece.address, 1 * P);
	assert_int_equal(piece.size, P);
	assert_true(pages_next(&pages, &cursor, 100 * P, &piece));
	assert_int_equal(piece.address, 2 * P);
	assert_int_equal(piece.size, P);
	assert_true(pages_next(&pages, &cursor, 100 * P, &piece));
	assert_int_equal(piece.address, 9 * P);
	assert_int_equal(cursor.offset, 3 * P);
	assert_false(pages_next(&pages, &cursor, 100 * P, &piece));
	pages_release(&pages);
}

/* Cuts at multiples of unit and walks each part for unit bytes; together they must be the whole,
 * each byte once, in order. */
static void check_cut(const struct pages *pages, uint64_t unit)
{
	struct pages_cursor whole = {0}, next = {0};
	size_t n = (pages->n_present * P + unit - 1) / unit;

	for (size_t i = 0; i < n; i++) {
		struct pages_cursor cursor = next;
		uint64_t left = unit;

		assert_int_equal(cursor.offset, i * unit);
		pages_skip(pages, &next, unit);
		while (left) {
			struct pages_piece piece, expected;

			if (!pages_next(pages, &cursor, left, &piece))
				break;
			assert_true(pages_next(pages, &whole, piece.size, &expected));
			assert_int_equal(piece.address, expected.address);
			assert_int_equal(piece.size, expected.size);
			left -= piece.size;
		}
		assert_true(left == 0 || i == n - 1);
	}
	assert_int_equal(whole.offset, pages->n_present * P);
	assert_int_equal(next.offset, pages->n_present * P);
}

static void test_parts_are_the_whole(void **state)
{
	struct pages pages = {0};
	uint64_t at = P;

	check_cut(&pages, 16 * P);
	srand(7);
	for (int i = 0; i < 1000; i++) {
		uint64_t n = 1 + rand() % 40;

		at += (rand() % 3) * P;
		pages_add(&pages, at, at + n * P, rand() % 4 ? PE_PRESENT : PE_PARENT);
		at += n * P;
	}
	check_cut(&pages, P);
	check_cut(&pages, 16 * P);
	check_cut(&pages, 1024 * P);
	check_cut(&pages, 1 << 30);
	pages_release(&pages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbours_of_equal_flags_are_one_run),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_only_present_pages_have_bytes),
		cmocka_unit_test(test_parts_are_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
