// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the rules of all plugins to one order (G3). The core is a plugin as the others are: its
 * classes are the anchors, and its rules say in which order it works. Where nothing else is said,
 * devices come before the core's work: on dump they are read as early as can be, and on restore the
 * core's files may refer to them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

enum { RANK_DEVICE, RANK_CORE };

static const char *const anchor_names[ANCHORS] = {
	[ANCHOR_NAMESPACES] = "@namespaces", [ANCHOR_FILES] = "@files",
	[ANCHOR_SOCKETS] = "@sockets",       [ANCHOR_MAPPINGS] = "@mappings",
	[ANCHOR_MEMORY] = "@memory",
};

/* The order of the core's own work (engine/dump.c, engine/restore.c). */
static const enum anchor dump_order[] = {ANCHOR_MEMORY, ANCHOR_FILES, ANCHOR_SOCKETS,
					 ANCHOR_MAPPINGS, ANCHOR_NAMESPACES};
static const enum anchor restore_order[] = {ANCHOR_NAMESPACES, ANCHOR_FILES, ANCHOR_SOCKETS,
					    ANCHOR_MAPPINGS, ANCHOR_MEMORY};

static void add_anchors(struct plugins *plugins)
{
	const enum anchor *sequence = plugins->operation == CRIU_DUMP ? dump_order : restore_order;

	for (unsigned int i = 0; i < ANCHORS; i++) {
		struct order_node node = {.name = anchor_names[sequence[i]],
					  .rank = RANK_CORE,
					  .group = "core",
					  .index = i};

		plugins->anchors[sequence[i]] = order_add_node(&plugins->order, &node);
	}
	for (unsigned int i = 1; i < ANCHORS; i++) {
		struct order_edge edge = {.before = plugins->anchors[sequence[i - 1]],
					  .after = plugins->anchors[sequence[i]],
					  .is_tree = true,
					  .text = "the core"};

		order_add_edge(&plugins->order, &edge);
	}
}

static int add_classes(struct cr *cr, struct plugin *plugin)
{
	struct order *order = &cr->plugins->order;

	for (size_t i = 0; i < plugin->decl.n_classes; i++) {
		struct order_node node = {.name = plugin->decl.classes[i].name,
					  .rank = RANK_DEVICE,
					  .group = plugin->decl.name,
					  .index = (unsigned int)i,
					  .data = &plugin->classes[i]};

		if (order_find(order, node.name) != SIZE_MAX)
			return log_refuse(cr, -EEXIST, "class %s: is declared twice, by %s too",
					  node.name, plugin->path);
		plugin->classes[i].node = order_add_node(order, &node);
	}
	return 0;
}

static int add_rules(struct cr *cr, struct plugin *plugin, char ***texts, size_t *n_texts)
{
	struct order *order = &cr->plugins->order;

	for (size_t i = 0; i < plugin->decl.n_rules; i++) {
		const struct criu_rule *rule = &plugin->decl.rules[i];
		struct order_edge edge = {.before = order_find(order, rule->before),
					  .after = order_find(order, rule->after),
					  .is_tree = rule->scope == CRIU_SCOPE_TREE};
		bool lacks_before = edge.before == SIZE_MAX;

		if (!(rule->when & cr->plugins->operation))
			continue;
		if (lacks_before || edge.after == SIZE_MAX) {
			const char *lacking = lacks_before ? rule->before : rule->after;

			if (!(rule->flags & CRIU_RULE_REQUIRED) && *lacking != '@')
				continue;
			log_refuse(cr, -ENOENT,
				   "plugin %s: its rule %zu requires class %s, which no loaded "
				   "plugin has",
				   plugin->decl.name, i + 1, lacking);
			log_remedy(cr, "put the plugin that has it into %s",
				   cr->plugins->directory);
			return -ENOENT;
		}
		edge.text = xasprintf("rule %zu of %s", i + 1, plugin->decl.name);
		*texts = xreallocarray(*texts, *n_texts + 1, sizeof(**texts));
		(*texts)[(*n_texts)++] = (char *)edge.text;
		order_add_edge(order, &edge);
	}
	return 0;
}

int plugins_settle(struct cr *cr)
{
	struct plugins *plugins = cr->plugins;
	_cleanup_free_ char *cycle = NULL;
	struct plugin *plugin;
	int err = 0;

	add_anchors(plugins);
	plugins_for_each (plugin, plugins)
		if (!err && plugin_takes_part(plugin))
			err = add_classes(cr, plugin);
	plugins_for_each (plugin, plugins)
		if (!err && plugin_takes_part(plugin))
			err = add_rules(cr, plugin, &plugins->rule_texts, &plugins->n_rule_texts);
	if (err)
		return err;
	err = order_settle(&plugins->order, &cycle);
	plugins_for_each (plugin, plugins)
		for (size_t i = 0; !err && plugin_takes_part(plugin) && i < plugin->decl.n_classes;
		     i++)
			plugin->classes[i].position =
				plugins->order.nodes[plugin->classes[i].node].position;
	if (err) {
		log_refuse(cr, err, "plugins: their rules go round in a circle: %s", cycle);
		log_remedy(cr, "load only one of these plugins");
	}
	return err;
}

unsigned int plugin_class_position(const struct plugin_class *class)
{
	return class->position;
}

unsigned int plugins_anchor_position(const struct cr *cr, enum anchor anchor)
{
	const struct plugins *plugins = cr->plugins;

	return plugins->order.nodes[plugins->anchors[anchor]].position;
}

bool plugin_class_is_tree_before(const struct cr *cr, const struct plugin_class *before,
				 const struct plugin_class *after)
{
	return order_is_tree_before(&cr->plugins->order, before->node, after->node);
}
