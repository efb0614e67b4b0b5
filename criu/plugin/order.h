/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The settled order of classes (G3): nodes are classes and the core's anchors, edges are rules.
 * Pure: no plugin is called, nothing is read from the system.
 */
#ifndef CRIU_PLUGIN_ORDER_H
#define CRIU_PLUGIN_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct order_node {
	const char *name;
	/* Where no edge decides, the lower of (rank, group, index) comes first. */
	unsigned int rank;
	const char *group;
	unsigned int index;
	void *data; /* the caller's */
	/* Filled by order_settle(). */
	unsigned int position; /* from 1 */
};

struct order_edge {
	size_t before, after; /* indices of nodes */
	bool is_tree;         /* holds over all tasks, not only within each */
	const char *text;     /* who says so: "rule 1 of amdgpu" */
};

struct order {
	struct order_node *nodes;
	size_t n_nodes, nodes_capacity;
	struct order_edge *edges;
	size_t n_edges, edges_capacity;
	size_t *sorted; /* by position, after order_settle() */
};

/* Index of the new node. */
size_t order_add_node(struct order *order, const struct order_node *node);
/* Index, or SIZE_MAX. */
size_t order_find(const struct order *order, const char *name);
void order_add_edge(struct order *order, const struct order_edge *edge);

/*
 * 0, or -ELOOP with *ret_cycle "a.x before a.y (rule 1 of a), a.y before a.x (rule 1 of b)", which
 * the caller frees. With equal nodes and edges the result is the same, in whatever sequence they
 * were added.
 */
int order_settle(struct order *order, char **ret_cycle);

/* Must all files of `before`, of all tasks, come before those of `after`? By way of others, too. */
bool order_is_tree_before(const struct order *order, size_t before, size_t after);

/* The same within a task, by any rules. */
bool order_is_before(const struct order *order, size_t before, size_t after);

/* The texts of the rules that put the node where it is: "after a.x (rule 1 of a)", or "" ; the
 * caller frees. */
char *order_why(const struct order *order, size_t node);

void order_release(struct order *order);

#endif
