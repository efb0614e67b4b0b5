// SPDX-License-Identifier: GPL-2.0-only
/*
 * plugins: who owns what, in which order it was handled, and what the plugins keep. The images
 * that CRIU 4.2 knows stay as they are, so a tree whose plugins own nothing restores there too; one
 * that needs a plugin names it in the inventory, which makes CRIU 4.2 refuse it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cr.h"
#include "images/lib/image.h"
#include "plugin/legacy.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

#include "images/plugin.pb-c.h"

/* ---- files of the plugins' own ---- */

int plugin_image_note(struct cr *cr, struct plugin *plugin, const char *name)
{
	int err;

	pthread_mutex_lock(&cr->plugins->data_lock);
	err = image_dir_adopt(cr->images, name);
	if (!err) {
		plugin->images = xreallocarray(plugin->images, plugin->n_images + 1,
					       sizeof(*plugin->images));
		plugin->images[plugin->n_images++] = xstrdup(name);
	}
	pthread_mutex_unlock(&cr->plugins->data_lock);
	return err;
}

/* They are complete now. */
static void count_images(struct cr *cr, struct plugin *plugin)
{
	struct stat st;

	for (size_t i = 0; i < plugin->n_images; i++)
		if (fstatat(image_dir_fd(cr->images), plugin->images[i], &st, 0) == 0)
			plugin->bytes += (uint64_t)st.st_size;
}

/* ---- dump ---- */

static size_t count_data(const struct plugin *plugin)
{
	const struct plugin_data *data;
	size_t n = 0;

	list_for_each_entry (data, &plugin->data, node)
		n++;
	return n;
}

static int write_info(struct image *img, const struct plugin *plugin)
{
	PluginEntry entry = PLUGIN_ENTRY__INIT;
	PluginInfo info = PLUGIN_INFO__INIT;

	info.name = (char *)plugin->decl.name;
	info.version = (char *)plugin->decl.version;
	info.has_n_data = true;
	info.n_data = (uint32_t)count_data(plugin);
	entry.plugin = &info;
	return image_write(img, &entry.base);
}

static int write_order(struct image *img, const struct order *order, size_t node)
{
	PluginEntry entry = PLUGIN_ENTRY__INIT;
	PluginOrder item = PLUGIN_ORDER__INIT;
	int err;

	item.class_name = (char *)order->nodes[node].name;
	item.position = order->nodes[node].position;
	item.why = order_why(order, node);
	entry.order = &item;
	err = image_write(img, &entry.base);
	free(item.why);
	return err;
}

static int write_file(struct image *img, const struct device_file *file)
{
	const struct criu_file *view = &file->view;
	PluginEntry entry = PLUGIN_ENTRY__INIT;
	PluginFile item = PLUGIN_FILE__INIT;

	item.id = view->id;
	item.class_name = (char *)file->class->decl->name;
	item.pid = (uint32_t)view->task->pid;
	item.fd = view->fd;
	item.path = (char *)view->path;
	item.flags = view->flags;
	item.pos = view->pos;
	item.dev = view->dev;
	item.ino = view->ino;
	item.rdev = view->rdev;
	item.mode = view->mode;
	entry.file = &item;
	return image_write(img, &entry.base);
}

static int write_mapping(struct image *img, const struct device_mapping *mapping)
{
	const struct criu_mapping *view = &mapping->view;
	PluginEntry entry = PLUGIN_ENTRY__INIT;
	PluginMapping item = PLUGIN_MAPPING__INIT;

	item.pid = (uint32_t)view->task->pid;
	item.start = view->start;
	item.length = view->length;
	item.offset = view->offset;
	item.prot = (uint32_t)view->prot;
	item.is_shared = view->is_shared;
	item.class_name = (char *)mapping->class->decl->name;
	item.path = (char *)view->path;
	item.dev = view->dev;
	item.ino = view->ino;
	item.rdev = view->rdev;
	entry.mapping = &item;
	return image_write(img, &entry.base);
}

static int write_data(struct image *img, const struct plugin *plugin)
{
	const struct plugin_data *data;
	int err = 0;

	list_for_each_entry (data, &plugin->data, node) {
		PluginEntry entry = PLUGIN_ENTRY__INIT;
		PluginData item = PLUGIN_DATA__INIT;

		item.plugin = (char *)plugin->decl.name;
		item.key = data->key;
		item.value.data = data->bytes;
		item.value.len = data->size;
		entry.data = &item;
		err = err ? err : image_write(img, &entry.base);
	}
	return err;
}

static bool is_needed(const struct plugin *plugin)
{
	return plugin_is_active(plugin) &&
	       (plugin->owns_something || !list_is_empty(&plugin->data) || plugin->n_images);
}

static int write_all(struct cr *cr, struct image *img)
{
	const struct plugins *plugins = cr->plugins;
	const struct device_mapping *mapping;
	const struct device_file *file;
	const struct plugin *plugin;
	int err = 0;

	plugins_for_each (plugin, plugins)
		if (!err && is_needed(plugin))
			err = write_info(img, plugin);
	for (size_t i = 0; i < plugins->order.n_nodes && !err; i++)
		err = write_order(img, &plugins->order, plugins->order.sorted[i]);
	list_for_each_entry (file, &plugins->files, node)
		err = err ? err : write_file(img, file);
	list_for_each_entry (mapping, &plugins->mappings, node)
		err = err ? err : write_mapping(img, mapping);
	plugins_for_each (plugin, plugins)
		if (!err && is_needed(plugin))
			err = write_data(img, plugin);
	return err;
}

int plugins_dump_image(struct cr *cr)
{
	struct plugin *plugin;
	struct image *img;
	bool any = false;
	int err, closed;

	if (!cr->plugins)
		return 0;
	plugins_for_each (plugin, cr->plugins) {
		count_images(cr, plugin);
		any |= is_needed(plugin);
	}
	if (!any)
		return 0;
	err = image_create(cr->images, IMAGE_PLUGINS, 0, &img);
	if (!err) {
		err = write_all(cr, img);
		closed = image_close(img);
		err = err ? err : closed;
	}
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

const char **plugins_needed(const struct cr *cr, size_t *ret_n)
{
	const char **names = xcalloc(1, sizeof(*names));
	const struct plugin *plugin;

	*ret_n = 0;
	if (!cr->plugins)
		return names;
	plugins_for_each (plugin, cr->plugins) {
		if (!is_needed(plugin))
			continue;
		names = xreallocarray(names, *ret_n + 2, sizeof(*names));
		names[(*ret_n)++] = plugin_inventory_name(plugin);
		names[*ret_n] = NULL;
	}
	return legacy_add_needed(cr, names, ret_n);
}

/* ---- restore ---- */

static struct plugin *find_any(const struct cr *cr, const char *name)
{
	struct plugin *plugin;

	plugins_for_each (plugin, cr->plugins)
		if (!plugin->legacy && str_equal(plugin->decl.name, name))
			return plugin;
	return NULL;
}

const char *plugin_inventory_name(const struct plugin *plugin)
{
	return plugin->decl.inventory ? plugin->decl.inventory : plugin->decl.name;
}

struct plugin *plugin_by_inventory_name(const struct cr *cr, const char *name)
{
	struct plugin *plugin;

	plugins_for_each (plugin, cr->plugins)
		if (!plugin->legacy && str_equal(plugin_inventory_name(plugin), name))
			return plugin;
	return NULL;
}

static int refuse_lacking(struct cr *cr, const char *name, const char *why)
{
	log_refuse(cr, -ENOENT, "plugin %s: the images need it, and %s", name, why);
	log_remedy(cr, "put it into %s, or name its directory with --libdir",
		   cr->plugins->directory);
	return -ENOENT;
}

/* Same major, and a minor that is not lower. */
static bool reads_version(const char *own, const char *image)
{
	unsigned int a[2] = {0}, b[2] = {0};

	sscanf(own, "%u.%u", &a[0], &a[1]);
	sscanf(image, "%u.%u", &b[0], &b[1]);
	return a[0] == b[0] && a[1] >= b[1];
}

static int check_info(struct cr *cr, const PluginInfo *info)
{
	struct plugin *plugin = find_any(cr, info->name);

	if (!plugin)
		return refuse_lacking(cr, info->name, "it is not loaded");
	if (plugin->state == PLUGIN_ABSENT)
		return refuse_lacking(cr, info->name, "says that its device is absent here");
	if (!reads_version(plugin->decl.version, info->version)) {
		log_refuse(cr, -EPROTO, "plugin %s: is of version %s, the images are of version %s",
			   info->name, plugin->decl.version, info->version);
		log_remedy(cr, "restore with version %s of it, or a newer one", info->version);
		return -EPROTO;
	}
	if (plugin->is_in_image)
		return log_refuse(cr, -EBADMSG, "plugins: plugin %s is there twice", info->name);
	plugin->is_in_image = true;
	plugin->n_data_wanted = info->n_data;
	/* It was not to know that the images have something of it. */
	if (plugin->state != PLUGIN_IDLE)
		return 0;
	plugin->state = PLUGIN_ACTIVE;
	return plugin_check_needs(cr, plugin);
}

static int load_class(struct cr *cr, const char *name, const char *what, struct plugin_class **ret)
{
	*ret = plugins_find_class(cr, name);
	if (*ret)
		return 0;
	return log_refuse(cr, -ENOENT, "plugins: %s is of class %s, which no active plugin has",
			  what, name);
}

static int load_file(struct cr *cr, const PluginFile *item)
{
	const struct device_facts facts = {
		.id = item->id,
		.pid = (pid_t)item->pid,
		.fd = item->fd,
		.path = item->path,
		.flags = item->flags,
		.pos = item->pos,
		.dev = item->dev,
		.ino = item->ino,
		.rdev = item->rdev,
		.mode = item->mode,
	};
	struct plugin_class *class;
	int err = load_class(cr, item->class_name, item->path, &class);

	if (err)
		return err;
	if (plugins_find_file(cr, item->id))
		return log_refuse(cr, -EBADMSG, "plugins: file %#x is there twice", item->id);
	if (!plugin_find_task(class->plugin, (pid_t)item->pid))
		return log_refuse(cr, -EBADMSG, "plugins: file %#x: there is no task %u", item->id,
				  item->pid);
	plugins_add_file(cr, class, &facts);
	return 0;
}

static int load_mapping(struct cr *cr, const PluginMapping *item)
{
	const struct device_mapping_facts facts = {
		.pid = (pid_t)item->pid,
		.start = item->start,
		.length = item->length,
		.offset = item->offset,
		.prot = (int)item->prot,
		.is_shared = item->is_shared,
		.path = item->path,
		.dev = item->dev,
		.ino = item->ino,
		.rdev = item->rdev,
	};
	struct plugin_class *class;
	int err = load_class(cr, item->class_name, item->path, &class);

	if (err)
		return err;
	if (!plugin_find_task(class->plugin, (pid_t)item->pid))
		return log_refuse(cr, -EBADMSG, "plugins: mapping of %s: there is no task %u",
				  item->path, item->pid);
	if (plugins_find_mapping(cr, facts.pid, facts.start))
		return log_refuse(cr, -EBADMSG,
				  "plugins: mapping of %s at %#lx of task %u is there twice",
				  item->path, (unsigned long)item->start, item->pid);
	plugins_add_mapping(cr, class, &facts);
	return 0;
}

static int load_data(struct cr *cr, const PluginData *item)
{
	struct plugin *plugin = find_any(cr, item->plugin);
	int err;

	if (!plugin)
		return refuse_lacking(cr, item->plugin, "it is not loaded");
	err = plugin_data_add(cr, plugin, item->key, item->value.data, item->value.len);
	return err ? log_err(cr, err, "plugins: data `%s' of plugin %s", item->key, item->plugin)
		   : 0;
}

static int load_entry(struct cr *cr, const PluginEntry *entry)
{
	if (entry->plugin)
		return check_info(cr, entry->plugin);
	if (entry->file)
		return load_file(cr, entry->file);
	if (entry->mapping)
		return load_mapping(cr, entry->mapping);
	return entry->data ? load_data(cr, entry->data) : 0;
}

static int load_entries(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	PluginEntry *entry;
	int err = image_open(cr->images, IMAGE_PLUGINS, 0, &img);

	while (!err && (err = image_read(img, &entry)) > 0) {
		err = load_entry(cr, entry);
		image_message_free(entry);
		if (err)
			return err;
	}
	return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

/* Nobody but the plugin would miss what the end of a short image had. */
static int check_data(struct cr *cr)
{
	const struct plugin *plugin;

	plugins_for_each (plugin, cr->plugins)
		if (plugin->is_in_image && count_data(plugin) < plugin->n_data_wanted)
			return log_refuse(cr, -EBADMSG, "plugins: has %zu of %zu data of plugin %s",
					  count_data(plugin), plugin->n_data_wanted,
					  plugin->decl.name);
	return 0;
}

/* Without its version nobody can say whether it reads what it has written. */
static int check_versions(struct cr *cr)
{
	const struct plugin *plugin;

	plugins_for_each (plugin, cr->plugins)
		if (!plugin->is_in_image &&
		    (plugin->owns_something || !list_is_empty(&plugin->data)))
			return log_refuse(cr, -EBADMSG,
					  "plugins: has objects of plugin %s and no version of it",
					  plugin->decl.name);
	return 0;
}

int plugins_load_image(struct cr *cr, const char *const *inventory, size_t n_inventory)
{
	const char *lacking;
	int err;

	for (size_t i = 0; i < n_inventory; i++) {
		struct plugin *plugin = plugin_by_inventory_name(cr, inventory[i]);

		if (plugin && plugin->state == PLUGIN_ABSENT)
			return refuse_lacking(cr, inventory[i],
					      "says that its device is absent here");
		if (plugin)
			plugin->is_in_inventory = true;
	}
	lacking = legacy_first_lacking(cr);
	if (lacking)
		return refuse_lacking(cr, lacking, "no loaded plugin takes it");
	err = load_entries(cr);
	if (!err)
		err = check_data(cr);
	return err ? err : check_versions(cr);
}
