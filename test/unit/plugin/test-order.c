// SPDX-License-Identifier: GPL-2.0-only
/* The settled order: rules, ties, cycles, and that the sequence in which all is added does not
 * matter. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/order.h"

#define N 6

static const struct order_node nodes[N] = {
	{.name = "b.x", .group = "b", .index = 0},
	{.name = "b.y", .group = "b", .index = 1},
	{.name = "a.x", .group = "a", .index = 0},
	{.name = "a.y", .group = "a", .index = 1},
	{.name = "@memory", .rank = 1, .group = "core", .index = 0},
	{.name = "@files", .rank = 1, .group = "core", .index = 1},
};

/* Adds the nodes in a sequence that seed chooses. */
static void add_nodes(struct order *order, unsigned int seed)
{
	size_t at[N] = {0, 1, 2, 3, 4, 5};

	srand(seed);
	for (size_t i = N - 1; i; i--) {
		size_t j = (size_t)rand() % (i + 1), swap = at[i];

		at[i] = at[j];
		at[j] = swap;
	}
	for (size_t i = 0; i < N; i++)
		order_add_node(order, &nodes[at[i]]);
}

static void add_rule(struct order *order, const char *before, const char *after, bool is_tree)
{
	struct order_edge edge = {order_find(order, before), order_find(order, after), is_tree,
				  "a rule"};

	order_add_edge(order, &edge);
}

static void expect(struct order *order, const char *const *names)
{
	char *cycle = NULL;

	assert_int_equal(order_settle(order, &cycle), 0);
	for (size_t i = 0; i < N; i++) {
		assert_string_equal(order->nodes[order->sorted[i]].name, names[i]);
		assert_int_equal(order->nodes[order->sorted[i]].position, i + 1);
	}
}

static void test_ties(void **state)
{
	static const char *const want[] = {"a.x", "a.y", "b.x", "b.y", "@memory", "@files"};

	for (unsigned int seed = 0; seed < 50; seed++) {
		struct order order = {0};

		add_nodes(&order, seed);
		expect(&order, want);
		order_release(&order);
	}
}

static void test_rules(void **state)
{
	static const char *const want[] = {"b.y", "a.x", "@memory", "a.y", "b.x", "@files"};

	for (unsigned int seed = 0; seed < 50; seed++) {
		struct order order = {0};

		add_nodes(&order, seed);
		add_rule(&order, "b.y", "a.x", true);
		add_rule(&order, "@memory", "a.y", true);
		add_rule(&order, "a.y", "b.x", false);
		add_rule(&order, "b.x", "@files", true);
		expect(&order, want);
		order_release(&order);
	}
}

static void test_reach(void **state)
{
	struct order order = {0};
	char *cycle = NULL;
	size_t x, y, z;

	add_nodes(&order, 1);
	add_rule(&order, "a.x", "a.y", true);
	add_rule(&order, "a.y", "b.x", true);
	add_rule(&order, "b.x", "b.y", false);
	assert_int_equal(order_settle(&order, &cycle), 0);
	x = order_find(&order, "a.x");
	y = order_find(&order, "b.x");
	z = order_find(&order, "b.y");
	assert_true(order_is_tree_before(&order, x, y));
	assert_false(order_is_tree_before(&order, y, x));
	assert_false(order_is_tree_before(&order, x, z));
	assert_true(order_is_before(&order, x, z));
	assert_int_equal(order_find(&order, "c.x"), SIZE_MAX);
	order_release(&order);
}

static void test_cycle(void **state)
{
	struct order order = {0};
	char *cycle = NULL;

	add_nodes(&order, 3);
	add_rule(&order, "@files", "a.x", true);
	add_rule(&order, "a.x", "a.y", true);
	add_rule(&order, "a.y", "b.x", true);
	add_rule(&order, "b.x", "a.x", false);
	assert_int_equal(order_settle(&order, &cycle), -ELOOP);
	assert_non_null(strstr(cycle, "a.x before a.y (a rule)"));
	assert_non_null(strstr(cycle, "a.y before b.x (a rule)"));
	assert_non_null(strstr(cycle, "b.x before a.x (a rule)"));
	assert_null(strstr(cycle, "@files"));
	free(cycle);
	order_release(&order);
}

static void test_why(void **state)
{
	struct order order = {0};
	char *why;

	add_nodes(&order, 2);
	add_rule(&order, "a.x", "a.y", true);
	why = order_why(&order, order_find(&order, "a.x"));
	assert_string_equal(why, "before a.y (a rule)");
	free(why);
	why = order_why(&order, order_find(&order, "b.x"));
	assert_string_equal(why, "");
	free(why);
	order_release(&order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ties),  cmocka_unit_test(test_rules),
		cmocka_unit_test(test_reach), cmocka_unit_test(test_cycle),
		cmocka_unit_test(test_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
