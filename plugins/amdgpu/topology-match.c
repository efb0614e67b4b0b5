// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which GPU takes the place of which. GPUs of hives are placed first, then the others, each at the
 * first GPU whose properties fit and whose links agree with all that were placed before, and taken
 * back where that leads nowhere. A link by XGMI must be one again, and both ways if it was; PCIe
 * links between GPUs are nobody's business. Links to CPUs must exist, and with the NUMA check
 * GPUs that hang on one CPU must hang on one CPU again.
 */
#include "topology.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/cleanup.h"

/* All orders of 8 equal GPUs in which nothing fits, and more; then it is no matter of trying. */
enum { STEPS_MAX = 2000000 };

enum rule { RULE_NONE, RULE_EQUAL, RULE_LESS };

struct comparison {
	enum rule rule;
	uint32_t check;
};

static const struct comparison comparisons[N_PROPERTIES] = {
#define PROPERTY(id, name, rule, check) [PROPERTY_##id] = {RULE_##rule, CHECK_##check},
#include "topology-properties.def"
#undef PROPERTY
};

struct match {
	const struct topology *from, *to;
	uint32_t checks;
	const struct topology_node **gpus; /* of from, in the order in which they are placed */
	const struct topology_node **places;
	size_t n;
	const struct topology_node **cpus; /* by index of from's node: the CPU of to, or NULL */
	size_t best;                       /* how many were placed at most */
	char *why;
	long steps;
};

/* The first property that does not fit, N_PROPERTIES if all do. */
static int first_misfit(const struct match *match, const struct topology_node *from,
			const struct topology_node *to)
{
	int i = 0;

	for (; i < N_PROPERTIES; i++) {
		const struct comparison *comparison = &comparisons[i];
		bool is_wanted = !comparison->check || (match->checks & comparison->check);

		if (is_wanted && comparison->rule == RULE_EQUAL &&
		    from->properties[i] != to->properties[i])
			break;
		if (is_wanted && comparison->rule == RULE_LESS &&
		    from->properties[i] > to->properties[i])
			break;
	}
	return i;
}

static uint32_t link_type(const struct topology_node *from, const struct topology_node *to)
{
	uint32_t type = 0;

	for (size_t i = 0; i < from->n_links; i++)
		if (from->links[i].to == to->properties[PROPERTY_NODE_ID] && type != LINK_XGMI)
			type = from->links[i].type;
	return type;
}

static bool is_joined(const struct topology_node *a, const struct topology_node *b)
{
	return link_type(a, b) == LINK_XGMI && link_type(b, a) == LINK_XGMI;
}

/* Can the link from x to y stand for that from a to b? Which way is kept, and XGMI stays XGMI. */
static bool link_fits(const struct topology_node *a, const struct topology_node *b,
		      const struct topology_node *x, const struct topology_node *y)
{
	uint32_t old = link_type(a, b), new = link_type(x, y);

	if (!old)
		return true;
	if (!new || (old == LINK_XGMI && new != LINK_XGMI))
		return false;
	return !link_type(b, a) || link_type(y, x);
}

static bool xgmi_fits(const struct topology_node *a, const struct topology_node *b,
		      const struct topology_node *x, const struct topology_node *y)
{
	return (link_type(a, b) != LINK_XGMI || link_fits(a, b, x, y)) &&
	       (link_type(b, a) != LINK_XGMI || link_fits(b, a, y, x));
}

static size_t index_of(const struct topology *topology, const struct topology_node *node)
{
	return (size_t)(node - topology->nodes);
}

static bool is_cpu_used(const struct match *match, const struct topology_node *cpu)
{
	for (size_t i = 0; i < match->from->n_nodes; i++)
		if (match->cpus[i] == cpu)
			return true;
	return false;
}

static bool place_from(struct match *match, size_t at);

static void note(struct match *match, size_t at, const char *text, const struct topology_node *node)
{
	/* What stops the furthest attempt first is what is wrong. */
	if (*match->why && at <= match->best)
		return;
	match->best = at;
	snprintf(match->why, TOPOLOGY_WHY, "GPU %#" PRIx64 " (node %" PRIu64 "): %s",
		 node->properties[PROPERTY_GPU_ID], node->properties[PROPERTY_NODE_ID], text);
}

/* Tries all CPUs for the links of GPU `at` from the link-th on, then goes on with the next GPU. */
static bool place_cpus(struct match *match, size_t at, size_t link)
{
	const struct topology_node *a = match->gpus[at], *x = match->places[at], *cpu = NULL;
	size_t index;

	for (; link < a->n_links && !cpu; link++) {
		cpu = topology_by_node_id(match->from, a->links[link].to);
		if (cpu && topology_is_gpu(cpu))
			cpu = NULL;
	}
	if (!cpu)
		return place_from(match, at + 1);
	index = index_of(match->from, cpu);
	for (size_t i = 0; i < match->to->n_nodes && match->steps < STEPS_MAX; i++) {
		const struct topology_node *y = &match->to->nodes[i], *old = match->cpus[index];

		if (topology_is_gpu(y) || !link_fits(a, cpu, x, y))
			continue;
		if (!(match->checks & CHECK_NUMA))
			return place_cpus(match, at, link);
		if (old ? old != y : is_cpu_used(match, y))
			continue;
		match->cpus[index] = y;
		if (place_cpus(match, at, link))
			return true;
		match->cpus[index] = old;
	}
	note(match, at,
	     match->checks & CHECK_NUMA ? "io_links: no GPU here hangs on the same CPU as its mates"
					: "io_links: no GPU here has such a link to a CPU",
	     a);
	return false;
}

static bool is_place_used(const struct match *match, size_t at, const struct topology_node *place)
{
	for (size_t i = 0; i < at; i++)
		if (match->places[i] == place)
			return true;
	return false;
}

static bool place_from(struct match *match, size_t at)
{
	const struct topology_node *a;

	if (at == match->n)
		return true;
	a = match->gpus[at];
	for (size_t i = 0; i < match->to->n_nodes; i++) {
		const struct topology_node *x = &match->to->nodes[i];
		bool fits = topology_is_gpu(x) && !is_place_used(match, at, x) &&
			    first_misfit(match, a, x) == N_PROPERTIES;

		if (++match->steps >= STEPS_MAX)
			return false;
		for (size_t j = 0; fits && j < at; j++)
			fits = xgmi_fits(a, match->gpus[j], x, match->places[j]);
		if (!fits)
			continue;
		match->places[at] = x;
		if (place_cpus(match, at, 0))
			return true;
	}
	note(match, at, "io_links: no GPU that is left here has such XGMI links to its mates", a);
	return false;
}

/* ---- hives ---- */

/* Marks all that are joined with nodes[i]; how many. */
static size_t mark_hive(const struct topology *topology, size_t i, size_t number, size_t *hives)
{
	size_t n = 1;

	hives[i] = number;
	for (size_t j = 0; j < topology->n_nodes; j++)
		if (!hives[j] && topology_is_gpu(&topology->nodes[j]) &&
		    is_joined(&topology->nodes[i], &topology->nodes[j]))
			n += mark_hive(topology, j, number, hives);
	return n;
}

/* hives[i] becomes the number of the hive of nodes[i], from 1; GPUs that are alone and CPUs: 0. */
static size_t find_hives(const struct topology *topology, size_t *hives)
{
	size_t n = 0;

	for (size_t i = 0; i < topology->n_nodes; i++) {
		bool is_alone = topology_is_gpu(&topology->nodes[i]);

		for (size_t j = 0; is_alone && j < topology->n_nodes; j++)
			is_alone = j == i || !topology_is_gpu(&topology->nodes[j]) ||
				   !is_joined(&topology->nodes[i], &topology->nodes[j]);
		if (topology_is_gpu(&topology->nodes[i]) && !is_alone && !hives[i])
			mark_hive(topology, i, ++n, hives);
	}
	return n;
}

size_t topology_n_hives(const struct topology *topology)
{
	_cleanup_free_ size_t *hives = calloc(topology->n_nodes + 1, sizeof(*hives));

	return hives ? find_hives(topology, hives) : 0;
}

/* ---- all together ---- */

/* Members of hives first, hive by hive. */
static int order_gpus(struct match *match)
{
	size_t n_nodes = match->from->n_nodes, n_hives;
	_cleanup_free_ size_t *hives = calloc(n_nodes + 1, sizeof(*hives));

	if (!hives)
		return -ENOMEM;
	n_hives = find_hives(match->from, hives);
	for (size_t hive = 1; hive <= n_hives + 1; hive++)
		for (size_t i = 0; i < n_nodes; i++)
			if (topology_is_gpu(&match->from->nodes[i]) &&
			    hives[i] == hive % (n_hives + 1))
				match->gpus[match->n++] = &match->from->nodes[i];
	return 0;
}

/* Each GPU needs at least one that its properties fit; else say what is wrong with the next best.
 */
static int check_properties(struct match *match)
{
	for (size_t i = 0; i < match->n; i++) {
		const struct topology_node *a = match->gpus[i], *nearest = NULL;
		int best = -1;

		for (size_t j = 0; j < match->to->n_nodes; j++) {
			const struct topology_node *x = &match->to->nodes[j];
			int misfit = topology_is_gpu(x) ? first_misfit(match, a, x) : -1;

			if (misfit > best) {
				best = misfit;
				nearest = x;
			}
		}
		/* check_counts() has refused a host without any. */
		if (!nearest || best == N_PROPERTIES)
			continue;
		snprintf(match->why, TOPOLOGY_WHY,
			 "GPU %#" PRIx64 " (node %" PRIu64 "): %s was %" PRIu64
			 ", here it is %" PRIu64,
			 a->properties[PROPERTY_GPU_ID], a->properties[PROPERTY_NODE_ID],
			 topology_property_name((enum topology_property)best), a->properties[best],
			 nearest->properties[best]);
		return -ENODEV;
	}
	return 0;
}

static int check_counts(const struct match *match)
{
	size_t from = topology_n_gpus(match->from), to = topology_n_gpus(match->to);

	if (from != to) {
		snprintf(match->why, TOPOLOGY_WHY, "number of GPUs: there were %zu, here are %zu",
			 from, to);
		return -ENODEV;
	}
	from = topology_n_hives(match->from);
	to = topology_n_hives(match->to);
	if (from > to) {
		snprintf(match->why, TOPOLOGY_WHY,
			 "number of XGMI groups: there were %zu, here are %zu", from, to);
		return -ENODEV;
	}
	return 0;
}

int topology_match(const struct topology *from, const struct topology *to, uint32_t checks,
		   struct topology_pair *pairs, char *why)
{
	size_t n = from->n_nodes + 1;
	_cleanup_free_ const struct topology_node **gpus = calloc(n, sizeof(*gpus));
	_cleanup_free_ const struct topology_node **places = calloc(n, sizeof(*places));
	_cleanup_free_ const struct topology_node **cpus = calloc(n, sizeof(*cpus));
	struct match match = {.from = from,
			      .to = to,
			      .checks = checks,
			      .gpus = gpus,
			      .places = places,
			      .cpus = cpus,
			      .why = why};
	int err = gpus && places && cpus ? order_gpus(&match) : -ENOMEM;

	*why = 0;
	if (!err)
		err = check_counts(&match);
	if (!err)
		err = check_properties(&match);
	if (err)
		return err;
	if (!place_from(&match, 0)) {
		if (match.steps >= STEPS_MAX)
			snprintf(why, TOPOLOGY_WHY, "io_links: there are too many possibilities");
		return -ENODEV;
	}
	for (size_t i = 0; i < match.n; i++)
		pairs[i] = (struct topology_pair){gpus[i], places[i]};
	return 0;
}
