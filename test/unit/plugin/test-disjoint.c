// SPDX-License-Identifier: GPL-2.0-only
/* Matches that can meet in one file and such that cannot. A "no" has to be right: each pair that
 * has a path of both in the list must be found to meet. */
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "plugin/priv.h"

static struct plugins plugins;
static struct cr cr = {.plugins = &plugins};

static bool meet(const struct criu_match *one, const struct criu_match *two)
{
	bool do_meet = matches_may_meet(&cr, one, two);

	assert_int_equal(matches_may_meet(&cr, two, one), do_meet);
	assert_true(matches_may_meet(&cr, one, one) || one->kind == CRIU_MATCH_DRIVER);
	return do_meet;
}

static bool paths_meet(const char *one, const char *two)
{
	return meet(&(struct criu_match)CRIU_PATH(one), &(struct criu_match)CRIU_PATH(two));
}

static void test_patterns(void **state)
{
	assert_true(paths_meet("/dev/kfd", "/dev/*"));
	assert_false(paths_meet("/dev/kfd", "/dev/dri/*"));
	assert_false(paths_meet("/dev/kfd", "/dev/kf"));
	assert_true(paths_meet("/dev/kf?", "/dev/k?d"));
	assert_false(paths_meet("/dev/kf?", "/dev/k?d/"));
	assert_true(paths_meet("*", ""));
	assert_true(paths_meet("**a", "a*"));
	assert_true(paths_meet("*/a[0-9]*", "*/b[0-9]*"));
	assert_false(paths_meet("*/a[0-9]", "*/b[0-9]"));
	assert_false(paths_meet("*/a[0-9][0-9]", "*/b[0-9]"));
	assert_true(paths_meet("*/[ab][0-9]", "*/b[0-9]"));
	assert_false(paths_meet("x[!a-y]", "x[a-x]"));
	assert_true(paths_meet("x[!a-y]", "x[a-z]"));
	assert_true(paths_meet("x[]a]", "x]"));
	assert_false(paths_meet("x[]a]", "xb"));
	assert_true(paths_meet("x[a-]", "x-"));
	assert_true(paths_meet("x[", "x\\["));
	assert_false(paths_meet("x\\*", "xy"));
	/* Not understood, so they may. */
	assert_true(paths_meet("x[[:alpha:]]", "x1"));
	assert_true(paths_meet("x[[:alpha:]]y", "xay"));
}

static void test_patterns_against_fnmatch(void **state)
{
	static const char *const patterns[] = {
		"/a",    "/a*",   "/?",     "/[ab]",        "/[!a]",    "*b",        "/a*b",
		"/*a*",  "/\\*",  "/[a-c]", "/[]]",         "/[!]a]",   "/[a",       "/a[b-]*",
		"/[-a]", "*/*/*", "/[^b]",  "/[[:alpha:]]", "/[\\]a]x", "*[[=a=]]?",
	};
	static const char *const paths[] = {
		"/a",  "/b", "/*",  "/ab",  "/acb",  "/]",  "/[a",
		"/a-", "/-", "/ba", "/a/b", "/x/y/", "/]x",
	};

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		for (size_t j = 0; j < ARRAY_SIZE(patterns); j++)
			for (size_t p = 0; p < ARRAY_SIZE(paths); p++)
				if (fnmatch(patterns[i], paths[p], 0) == 0 &&
				    fnmatch(patterns[j], paths[p], 0) == 0)
					assert_true(paths_meet(patterns[i], patterns[j]));
}

static void test_long_patterns_may_meet(void **state)
{
	char one[600], two[600];

	memset(one, 'a', sizeof(one));
	memset(two, 'b', sizeof(two));
	one[sizeof(one) - 1] = two[sizeof(two) - 1] = 0;
	assert_true(paths_meet(one, two));
	one[200] = two[200] = 0;
	assert_false(paths_meet(one, two));
}

static void test_links(void **state)
{
	const struct criu_match buffer = CRIU_LINK("/dmabuf:"),
				anonymous = CRIU_LINK("anon_inode:"),
				some = CRIU_LINK("anon_inode:[x"), all = CRIU_LINK(""),
				path = CRIU_PATH("/dmabuf:*"), other = CRIU_PATH("/dev/*");

	assert_false(meet(&buffer, &anonymous));
	assert_true(meet(&some, &anonymous));
	assert_true(meet(&all, &anonymous));
	assert_true(meet(&buffer, &path));
	assert_false(meet(&buffer, &other));
	assert_false(meet(&anonymous, &other));
}

static void test_devices(void **state)
{
	const struct criu_match card = CRIU_DRIVER("card", 0, 63),
				render = CRIU_DRIVER("card", 128, 255),
				other = CRIU_DRIVER("other", 0, 0),
				absent = CRIU_DRIVER("absent", 0, 0),
				number = CRIU_DEVICE(226, 60, 70), path = CRIU_PATH("/dev/*"),
				link = CRIU_LINK("anon_inode:"), buffer = CRIU_LINK("/dmabuf:"),
				info = CRIU_FDINFO("drm-driver");

	plugins.has_majors = true;
	hash_put(&plugins.majors, hash_str("card"), (void *)(226 + 1));
	hash_put(&plugins.majors, hash_str("other"), (void *)(227 + 1));
	assert_false(meet(&card, &render));
	assert_false(meet(&card, &other));
	assert_false(meet(&absent, &card));
	assert_true(meet(&card, &number));
	assert_false(meet(&render, &number));
	assert_true(meet(&card, &path));
	assert_false(meet(&card, &link));
	assert_true(meet(&card, &buffer));
	assert_true(meet(&info, &link));
	assert_true(meet(&info, &absent));
	hash_release(&plugins.majors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_patterns_against_fnmatch),
		cmocka_unit_test(test_long_patterns_may_meet),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
