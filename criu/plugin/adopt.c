// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images of CRIU 4.2 name the plugins that are needed, and not which file or mapping is whose. A
 * plugin that can tell by its own images adopts them; only if no plugins image says that it has
 * any.
 */
#include <fcntl.h>
#include <limits.h>

#include "cr.h"
#include "plugin/priv.h"
#include "util/log.h"
#include "util/str.h"

struct orphan {
	const struct plugin *plugin;
	uint32_t id;
	char path[PATH_MAX];
	const struct criu_class *class;
};

static int call_adopt(struct criu_call *call, void *arg)
{
	struct orphan *orphan = arg;

	return orphan->plugin->decl.adopt(call, orphan->id, orphan->path, sizeof(orphan->path),
					  &orphan->class);
}

/* The class of who takes it; NULL: nobody, or *err. */
static struct plugin_class *find_parent(struct cr *cr, struct orphan *orphan, int *err)
{
	const struct call_about about = {
		.hook = "adopt", .phase = -1, .allowed = 1 << CRIU_NOT_MINE};
	struct plugin *plugin;
	int ret;

	*err = 0;
	if (!cr->plugins)
		return NULL;
	plugins_for_each (plugin, cr->plugins) {
		if (!plugin_is_active(plugin) || !plugin->decl.adopt || plugin->is_in_image ||
		    !plugin->is_in_inventory)
			continue;
		orphan->plugin = plugin;
		ret = plugin_call(cr, plugin, &about, call_adopt, orphan, NULL);
		if (ret < 0) {
			*err = ret;
			return NULL;
		}
		if (ret == CRIU_HANDLED && orphan->class)
			return plugins_find_class(cr, orphan->class->name);
	}
	return NULL;
}

struct device_file *plugins_adopt_file(struct cr *cr, uint32_t id, int *err)
{
	struct orphan orphan = {.id = id};
	struct plugin_class *class = find_parent(cr, &orphan, err);
	/* Who holds it is told later. */
	const struct device_facts facts = {
		.id = id, .fd = -1, .path = orphan.path, .flags = O_RDWR};

	return class ? plugins_add_file(cr, class, &facts) : NULL;
}

struct device_mapping *plugins_adopt_mapping(struct cr *cr,
					     const struct device_mapping_facts *facts, int *err)
{
	struct orphan orphan = {0};
	struct device_mapping *mapping;
	struct plugin_class *class;

	snprintf(orphan.path, sizeof(orphan.path), "%s", facts->path);
	class = find_parent(cr, &orphan, err);
	if (!class)
		return NULL;
	mapping = plugins_add_mapping(cr, class, facts);
	plugins_settle_mapping(cr, mapping);
	return mapping;
}
