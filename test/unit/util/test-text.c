// SPDX-License-Identifier: GPL-2.0-only
/* Text and paths: numbers are strict, paths are joined and compared by whole components. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compel/base/cleanup.h"
#include "util/alloc.h"
#include "util/path.h"
#include "util/scan.h"
#include "util/str.h"

static void numbers_are_strict(void **state)
{
	uint64_t u = 7;
	int64_t i = 7;

	assert_int_equal(str_to_u64("18446744073709551615", 10, UINT64_MAX, &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(str_to_u64("0x10", 0, 16, &u), 0);
	assert_int_equal(u, 16);
	assert_int_equal(str_to_u64("17", 10, 16, &u), -ERANGE);
	assert_int_equal(str_to_u64("18446744073709551616", 10, UINT64_MAX, &u), -ERANGE);
	assert_int_equal(u, 16);
	for (const char *const *bad =
		     (const char *const[]){"", " 1", "-1", "+1", "1 ", "0x", "1a", NULL};
	     *bad; bad++)
		assert_int_equal(str_to_u64(*bad, 10, UINT64_MAX, &u), -EINVAL);

	assert_int_equal(str_to_i64("-1000", 10, -1000, 1000, &i), 0);
	assert_int_equal(i, -1000);
	assert_int_equal(str_to_i64("-1001", 10, -1000, 1000, &i), -ERANGE);
	assert_int_equal(str_to_i64("- 1", 10, -1000, 1000, &i), -EINVAL);
	assert_int_equal(str_to_i64("--1", 10, -1000, 1000, &i), -EINVAL);
}

static void sizes_have_units(void **state)
{
	uint64_t size;

	assert_int_equal(str_to_size("4096", &size), 0);
	assert_int_equal(size, 4096);
	assert_int_equal(str_to_size("3m", &size), 0);
	assert_int_equal(size, 3 << 20);
	assert_int_equal(str_to_size("16T", &size), 0);
	assert_int_equal(size, 16ull << 40);
	assert_int_equal(str_to_size("16777216T", &size), -ERANGE);
	assert_int_equal(str_to_size("1KB", &size), -EINVAL);
	assert_int_equal(str_to_size("K", &size), -EINVAL);
	assert_int_equal(str_to_size("-1", &size), -EINVAL);
}

static void prefixes_and_suffixes(void **state)
{
	assert_string_equal(str_after("pipe:[12]", "pipe:"), "[12]");
	assert_null(str_after("pip", "pipe"));
	assert_true(str_ends_with("x.img", ".img"));
	assert_false(str_ends_with("img", ".img"));
	assert_true(str_is_empty(NULL));
	assert_true(str_is_empty(""));
}

static void buffer_grows(void **state)
{
	struct str_buf b = {};

	for (int i = 0; i < 1000; i++)
		str_buf_addf(&b, "%d,", i);
	str_buf_add(&b, "end");
	assert_int_equal(b.len, strlen(b.data));
	assert_true(str_ends_with(b.data, "998,999,end"));
	str_buf_release(&b);
	assert_null(b.data);
}

static void assert_joined(const char *dir, const char *name, const char *want)
{
	_cleanup_free_ char *path = path_join(dir, name);

	assert_string_equal(path, want);
}

static void joins(void **state)
{
	assert_joined("/a", "b", "/a/b");
	assert_joined("/a/", "/b", "/a/b");
	assert_joined("/", "b", "/b");
	assert_joined("", "b", "b");
	assert_joined(".", "b", "b");
}

static void under_means_whole_components(void **state)
{
	assert_true(path_is_under("/a/b", "/a"));
	assert_true(path_is_under("/a", "/a"));
	assert_true(path_is_under("/a", "/a/"));
	assert_true(path_is_under("/a", "/"));
	assert_false(path_is_under("a", "/"));
	assert_false(path_is_under("/ab", "/a"));
	assert_false(path_is_under("/a", "/a/b"));
	assert_false(path_is_under("/a", ""));
	assert_string_equal(path_below("/a/b/c", "/a"), "b/c");
	assert_string_equal(path_below("/a", "/a"), "");
	assert_string_equal(path_relative("//x"), "x");
	assert_string_equal(path_relative("/"), ".");
	assert_string_equal(path_base("/a/b"), "b");
	assert_string_equal(path_base("b"), "b");
}

static void deleted_and_escapes(void **state)
{
	char deleted[] = "/tmp/x (deleted)", plain[] = "/tmp/x", only[] = " (deleted)";
	char escaped[] = "/a\\040b\\011c\\134d\\12\\400";

	assert_true(path_strip_deleted(deleted));
	assert_string_equal(deleted, "/tmp/x");
	assert_false(path_strip_deleted(plain));
	assert_false(path_strip_deleted(only));
	assert_int_equal(path_unescape(escaped), strlen("/a b\tc\\d\\12\\400"));
	assert_string_equal(escaped, "/a b\tc\\d\\12\\400");
}

static void squeezes(void **state)
{
	static const char *const pairs[][2] = {
		{"//a///b/./c//", "/a/b/c"}, {"/", "/"},   {"/.", "/"}, {"a/.", "a"},
		{"/.a/..b", "/.a/..b"},      {"/./", "/"},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		_cleanup_free_ char *path = xstrdup(pairs[i][0]);

		path_squeeze(path);
		assert_string_equal(path, pairs[i][1]);
	}
}

static struct scan text(const char *s)
{
	return scan_of(s, strlen(s));
}

static void cursor_stops_at_the_first_misfit(void **state)
{
	struct scan s = text("12 ff -7\nnext"), line;
	size_t len;

	assert_true(scan_line(&s, &line));
	assert_int_equal(scan_u32(&line, 10), 12);
	scan_char(&line, ' ');
	assert_int_equal(scan_u64(&line, 16), 255);
	scan_blanks(&line);
	assert_int_equal(scan_i32(&line, 10), -7);
	scan_end(&line);
	assert_true(scan_ok(&line));
	assert_memory_equal(scan_until(&s, 't', &len), "nex", 3);
	assert_int_equal(len, 3);
	scan_text(&s, "x");
	assert_false(scan_ok(&s));
	assert_int_equal(scan_u64(&s, 10), 0);
	assert_false(scan_line(&s, &line));
}

static void cursor_checks_ranges(void **state)
{
	struct scan s = text("4294967296");

	scan_u32(&s, 10);
	assert_false(scan_ok(&s));
	s = text("18446744073709551616");
	scan_u64(&s, 10);
	assert_false(scan_ok(&s));
	s = text("-9223372036854775808");
	assert_true(scan_i64(&s, 10) == INT64_MIN && scan_ok(&s));
	s = text("-9223372036854775809");
	scan_i64(&s, 10);
	assert_false(scan_ok(&s));
	s = text("18446744073709551615");
	scan_i64(&s, 10);
	assert_false(scan_ok(&s));
	s = text("-2147483649");
	scan_i32(&s, 10);
	assert_false(scan_ok(&s));
	s = text("8");
	scan_u64(&s, 8);
	assert_false(scan_ok(&s));
	s = text("");
	scan_u64(&s, 10);
	assert_false(scan_ok(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_strict),
		cmocka_unit_test(sizes_have_units),
		cmocka_unit_test(prefixes_and_suffixes),
		cmocka_unit_test(buffer_grows),
		cmocka_unit_test(joins),
		cmocka_unit_test(under_means_whole_components),
		cmocka_unit_test(deleted_and_escapes),
		cmocka_unit_test(squeezes),
		cmocka_unit_test(cursor_stops_at_the_first_misfit),
		cmocka_unit_test(cursor_checks_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
