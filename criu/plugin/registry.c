// SPDX-License-Identifier: GPL-2.0-only
/* The loaded plugins: taking one in, finding, forgetting. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "plugin/legacy-host.h"
#include "plugin/legacy.h"
#include "plugin/priv.h"
#include "plugin/share.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

/* Members that the plugin does not know are zero; those that we do not know are not looked at. */
static void copy_declaration(struct criu_plugin *ret, const struct criu_plugin *decl)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, decl, MIN((size_t)decl->size, sizeof(*ret)));
}

static struct plugin *find_loaded(const struct cr *cr, const char *name)
{
	struct plugin *plugin;

	plugins_for_each (plugin, cr->plugins)
		if (str_equal(plugin->decl.name, name))
			return plugin;
	return NULL;
}

struct plugin *registry_new(struct cr *cr, const char *file, const char *path, void *handle)
{
	struct plugin *plugin = xcalloc(1, sizeof(*plugin));

	plugin->file = xstrdup(file);
	plugin->path = xstrdup(path);
	plugin->handle = handle;
	list_init(&plugin->tasks);
	list_init(&plugin->data);
	list_add_tail(&cr->plugins->all, &plugin->node);
	return plugin;
}

int registry_add(struct cr *cr, const struct criu_plugin *decl, const char *file, const char *path,
		 void *handle)
{
	struct plugin *plugin, *other;

	if (decl->abi != CRIU_PLUGIN_ABI) {
		log_warn(cr,
			 "%s: is not loaded: is of contract version %u, this criu has version %u",
			 path, decl->abi, CRIU_PLUGIN_ABI);
		if (handle)
			dlclose(handle);
		return 0;
	}
	other = decl->name ? find_loaded(cr, decl->name) : NULL;
	if (other)
		return log_refuse(cr, -EEXIST, "plugin %s: is in %s and in %s", decl->name,
				  other->path, path);
	plugin = registry_new(cr, file, path, handle);
	plugin->exported = decl;
	copy_declaration(&plugin->decl, decl);
	if (!plugin->decl.name)
		plugin->decl.name = "";
	plugin->classes = xcalloc(plugin->decl.n_classes + 1, sizeof(*plugin->classes));
	for (size_t i = 0; plugin->decl.classes && i < plugin->decl.n_classes; i++) {
		plugin->classes[i].plugin = plugin;
		plugin->classes[i].decl = &plugin->decl.classes[i];
	}
	cr->plugins->n_contract++;
	log_info(cr, "plugin %s: %s, version %s", plugin->decl.name, path,
		 plugin->decl.version ? plugin->decl.version : "?");
	return plugin_check(cr, path, &plugin->decl);
}

void registry_forget(struct cr *cr, struct plugin *plugin)
{
	cr->plugins->n_contract -= plugin->legacy == NULL;
	registry_drop(plugin);
}

bool plugins_are_loaded(const struct cr *cr)
{
	return cr->plugins && !list_is_empty(&cr->plugins->all);
}

bool plugins_are_active(const struct cr *cr)
{
	struct plugin *plugin;

	if (!cr->plugins || !cr->plugins->n_contract)
		return false;
	plugins_for_each (plugin, cr->plugins)
		if (plugin_is_active(plugin))
			return true;
	return false;
}

bool plugins_take_part(const struct cr *cr)
{
	struct plugin *plugin;

	if (!cr->plugins)
		return false;
	plugins_for_each (plugin, cr->plugins)
		if (plugin->state == PLUGIN_ACTIVE)
			return true;
	return false;
}

struct plugin *plugins_find(const struct cr *cr, const char *name)
{
	struct plugin *plugin = cr->plugins ? find_loaded(cr, name) : NULL;

	return plugin && plugin_is_active(plugin) ? plugin : NULL;
}

const char *plugin_name(const struct plugin *plugin)
{
	return plugin->decl.name;
}

const char *plugin_version(const struct plugin *plugin)
{
	return plugin->decl.version ? plugin->decl.version : "0";
}

struct plugin_class *plugins_find_class(const struct cr *cr, const char *name)
{
	struct plugin *plugin;

	if (!cr->plugins)
		return NULL;
	plugins_for_each (plugin, cr->plugins) {
		for (size_t i = 0; plugin_is_active(plugin) && i < plugin->decl.n_classes; i++)
			if (str_equal(plugin->classes[i].decl->name, name))
				return &plugin->classes[i];
	}
	return NULL;
}

const char *plugin_class_name(const struct plugin_class *class)
{
	return class->decl->name;
}

struct plugin *plugin_class_owner(const struct plugin_class *class)
{
	return class->plugin;
}

/* ---- the end ---- */

static int call_exit(struct criu_call *call, void *arg)
{
	const struct plugin *plugin = arg;

	plugin->decl.exit(call);
	return 0;
}

void registry_drop(struct plugin *plugin)
{
	struct plugin_task *task, *next;

	list_for_each_entry_safe (task, next, &plugin->tasks, node) {
		free(task->files);
		free(task->mappings);
		free(task->journal[0].ids);
		free(task->journal[1].ids);
		free(task);
	}
	hash_release(&plugin->tasks_by_pid);
	plugin_data_free(plugin);
	for (size_t i = 0; i < plugin->n_images; i++)
		free(plugin->images[i]);
	free(plugin->images);
	/* Who was called may have left threads, which have its code until the end. */
	if (plugin->handle && !plugin->was_called)
		dlclose(plugin->handle);
	list_del(&plugin->node);
	free(plugin->journal[0].ids);
	free(plugin->journal[1].ids);
	free(plugin->legacy);
	free(plugin->classes);
	free(plugin->options);
	free(plugin->listed);
	free(plugin->file);
	free(plugin->path);
	free(plugin);
}

static void free_devices(struct plugins *plugins)
{
	struct device_mapping *mapping, *next_mapping;
	struct device_file *file, *next_file;

	list_for_each_entry_safe (file, next_file, &plugins->files, node) {
		free(file->path);
		free(file->holders);
		free(file);
	}
	list_for_each_entry_safe (mapping, next_mapping, &plugins->mappings, node) {
		free(mapping->path);
		free(mapping);
	}
	hash_release(&plugins->files_by_id);
	hash_release(&plugins->mappings_by_start);
	hash_release(&plugins->mappings_by_path);
	hash_release(&plugins->majors);
}

void plugins_free(struct cr *cr)
{
	struct plugins *plugins = cr->plugins;
	struct plugin *plugin, *next;

	if (!plugins)
		return;
	plugins_for_each (plugin, plugins) {
		const struct call_about about = {.hook = "exit", .phase = -1};

		if (plugin_is_active(plugin) && plugin->decl.exit)
			plugin_call_last(cr, plugin, &about, call_exit);
		plugin_counts_report(cr, plugin);
	}
	list_for_each_entry_safe (plugin, next, &plugins->all, node)
		registry_drop(plugin);
	free_devices(plugins);
	activity_free(plugins);
	share_free(plugins->share);
	legacy_host_stop(cr);
	order_release(&plugins->order);
	for (size_t i = 0; i < plugins->n_rule_texts; i++)
		free(plugins->rule_texts[i]);
	free(plugins->rule_texts);
	free(plugins->directory);
	plugin_calls_end(cr);
	free(plugins);
	cr->plugins = NULL;
}
