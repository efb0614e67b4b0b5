// SPDX-License-Identifier: GPL-2.0-only
/* What users see of plugins: `criu plugin list`, `criu plugin explain`, the device part of
 * --dry-run. */
#include <inttypes.h>
#include <stdlib.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "options.h"
#include "plugin/priv.h"
#include "util/str.h"

static const char *const option_types[] = {[CRIU_OPTION_BOOL] = "yes or no",
					   [CRIU_OPTION_INT] = "number",
					   [CRIU_OPTION_STRING] = "text"};

static void print_option(const struct plugin *plugin, const struct criu_option *option, FILE *out)
{
	fprintf(out, "  --plugin-opt %s.%s=%s: %s", plugin->decl.name, option->name,
		option_types[option->type], option->help);
	if (!str_is_empty(option->standard))
		fprintf(out, " (default %s)", option->standard);
	if (option->environment)
		fprintf(out, " [%s]", option->environment);
	fprintf(out, "\n");
}

/* Where nothing asks for it, it is not even loaded. */
static void print_absence(const struct plugin *plugin, FILE *out)
{
	_cleanup_free_ char *lacks = NULL;

	plugin_file_problem(plugin->path, &lacks);
	if (lacks)
		fprintf(out, "  absent on this host: there is no %s\n", lacks);
}

static void print_plugin(const struct cr *cr, const struct plugin *plugin, FILE *out)
{
	if (plugin->legacy) {
		fprintf(out, "%s, interface of CRIU 4.2 (v0.2): %s\n", plugin->decl.name,
			plugin->file);
		return;
	}
	fprintf(out, "%s %s: %s\n", plugin->decl.name, plugin->decl.version, plugin->file);
	if (plugin->decl.about)
		fprintf(out, "  %s\n", plugin->decl.about);
	print_absence(plugin, out);
	fprintf(out, "  each call may take %.3g s%s\n", plugin_timeout(cr, plugin) / 1e3,
		cr->opts && cr->opts->plugin_timeout ? " (--plugin-timeout)" : "");
	for (size_t i = 0; i < plugin->decl.n_classes; i++)
		fprintf(out, "  class %s\n", plugin->decl.classes[i].name);
	for (size_t i = 0; i < plugin->decl.n_barriers; i++)
		fprintf(out, "  barrier %s of %s\n", plugin->decl.barriers[i].name,
			plugin->decl.barriers[i].class_name);
	for (size_t i = 0; i < plugin->decl.n_options; i++)
		print_option(plugin, &plugin->decl.options[i], out);
}

void plugins_print_list(struct cr *cr, FILE *out)
{
	const struct plugin *plugin;

	if (list_is_empty(&cr->plugins->all)) {
		fprintf(out, "no plugins in %s\n", cr->plugins->directory);
		return;
	}
	plugins_for_each (plugin, cr->plugins)
		print_plugin(cr, plugin, out);
}

void plugins_print_order(struct cr *cr, FILE *out)
{
	const struct order *order = &cr->plugins->order;

	fprintf(out, "%s order:\n", cr->plugins->operation == CRIU_DUMP ? "dump" : "restore");
	for (size_t i = 0; i < order->n_nodes; i++) {
		const struct order_node *node = &order->nodes[order->sorted[i]];
		_cleanup_free_ char *why = order_why(order, order->sorted[i]);

		fprintf(out, "%4zu %s, %s%s%s\n", i + 1, node->name, node->group, *why ? ": " : "",
			why);
	}
}

void plugins_print_devices(struct cr *cr, FILE *out)
{
	const struct plugins *plugins = cr->plugins;
	const struct device_mapping *mapping;
	const struct device_file *file;

	if (!plugins || (list_is_empty(&plugins->files) && list_is_empty(&plugins->mappings)))
		return;
	fprintf(out, "devices, in the order in which they are handled:\n");
	list_for_each_entry (file, &plugins->files, node) {
		_cleanup_free_ char *why = order_why(&plugins->order, file->class->node);

		fprintf(out, "%4u pid %d fd %d: %s: class %s, plugin %s%s%s\n", file->view.position,
			file->view.task->pid, file->view.fd, file->path, file->class->decl->name,
			file->class->plugin->decl.name, *why ? ", " : "", why);
	}
	list_for_each_entry (mapping, &plugins->mappings, node)
		fprintf(out,
			"     pid %d mapping %" PRIx64 "-%" PRIx64 ": %s: class %s, plugin %s\n",
			mapping->view.task->pid, (uint64_t)mapping->view.start,
			(uint64_t)mapping->view.start + mapping->view.length, mapping->path,
			mapping->class->decl->name, mapping->class->plugin->decl.name);
}
