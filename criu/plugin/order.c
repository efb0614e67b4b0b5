// SPDX-License-Identifier: GPL-2.0-only
/*
 * Topological order, by always taking the least of the nodes that nothing waiting has to precede.
 * There are a few dozen nodes at most, so the plain way is fast enough.
 */
#include "plugin/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/cleanup.h"
#include "util/alloc.h"
#include "util/str.h"

size_t order_add_node(struct order *order, const struct order_node *node)
{
	order->nodes = array_grow(order->nodes, &order->nodes_capacity, order->n_nodes + 1,
				  sizeof(*order->nodes));
	order->nodes[order->n_nodes] = *node;
	order->nodes[order->n_nodes].position = 0;
	return order->n_nodes++;
}

size_t order_find(const struct order *order, const char *name)
{
	for (size_t i = 0; i < order->n_nodes; i++)
		if (strcmp(order->nodes[i].name, name) == 0)
			return i;
	return SIZE_MAX;
}

void order_add_edge(struct order *order, const struct order_edge *edge)
{
	order->edges = array_grow(order->edges, &order->edges_capacity, order->n_edges + 1,
				  sizeof(*order->edges));
	order->edges[order->n_edges++] = *edge;
}

static bool is_less(const struct order_node *a, const struct order_node *b)
{
	int groups;

	if (a->rank != b->rank)
		return a->rank < b->rank;
	groups = strcmp(a->group, b->group);
	if (groups)
		return groups < 0;
	return a->index < b->index;
}

static bool is_free(const struct order *order, size_t node)
{
	for (size_t i = 0; i < order->n_edges; i++) {
		const struct order_edge *edge = &order->edges[i];

		if (edge->after == node && !order->nodes[edge->before].position)
			return false;
	}
	return true;
}

/* Every node that is left has one before it that is left: going back must come to a known one. */
static char *describe_cycle(const struct order *order)
{
	_cleanup_free_ size_t *path = xcalloc(order->n_nodes + 1, sizeof(*path));
	_cleanup_free_ size_t *edges = xcalloc(order->n_nodes + 1, sizeof(*edges));
	size_t n = 0, start, at = 0;
	char *text = xstrdup("");

	while (order->nodes[at].position)
		at++;
	for (;;) {
		for (start = 0; start < n && path[start] != at; start++)
			;
		if (start < n)
			break;
		path[n] = at;
		for (size_t i = 0; i < order->n_edges; i++)
			if (order->edges[i].after == at &&
			    !order->nodes[order->edges[i].before].position)
				edges[n] = i;
		at = order->edges[edges[n++]].before;
	}
	/* The path went backwards. */
	for (size_t i = n; i-- > start;) {
		const struct order_edge *edge = &order->edges[edges[i]];
		char *more = xasprintf("%s%s%s before %s (%s)", text, *text ? ", " : "",
				       order->nodes[edge->before].name,
				       order->nodes[edge->after].name, edge->text);

		free(text);
		text = more;
	}
	return text;
}

int order_settle(struct order *order, char **ret_cycle)
{
	free(order->sorted);
	order->sorted = xcalloc(order->n_nodes + 1, sizeof(*order->sorted));
	for (size_t i = 0; i < order->n_nodes; i++)
		order->nodes[i].position = 0;
	for (size_t n = 0; n < order->n_nodes; n++) {
		size_t least = SIZE_MAX;

		for (size_t i = 0; i < order->n_nodes; i++) {
			if (order->nodes[i].position || !is_free(order, i))
				continue;
			if (least == SIZE_MAX || is_less(&order->nodes[i], &order->nodes[least]))
				least = i;
		}
		if (least == SIZE_MAX) {
			*ret_cycle = describe_cycle(order);
			return -ELOOP;
		}
		order->sorted[n] = least;
		order->nodes[least].position = (unsigned int)n + 1;
	}
	return 0;
}

static bool is_before(const struct order *order, size_t before, size_t after, bool in_tree)
{
	for (size_t i = 0; i < order->n_edges; i++) {
		const struct order_edge *edge = &order->edges[i];

		if ((in_tree && !edge->is_tree) || edge->after != after)
			continue;
		if (edge->before == before || is_before(order, before, edge->before, in_tree))
			return true;
	}
	return false;
}

bool order_is_tree_before(const struct order *order, size_t before, size_t after)
{
	return is_before(order, before, after, true);
}

bool order_is_before(const struct order *order, size_t before, size_t after)
{
	return is_before(order, before, after, false);
}

char *order_why(const struct order *order, size_t node)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < order->n_edges; i++) {
		const struct order_edge *edge = &order->edges[i];
		bool is_after = edge->after == node;
		char *more;

		if (!is_after && edge->before != node)
			continue;
		more = xasprintf(
			"%s%s%s %s (%s)", text, *text ? ", " : "", is_after ? "after" : "before",
			order->nodes[is_after ? edge->before : edge->after].name, edge->text);
		free(text);
		text = more;
	}
	return text;
}

void order_release(struct order *order)
{
	free(order->nodes);
	free(order->edges);
	free(order->sorted);
	*order = (struct order){0};
}
