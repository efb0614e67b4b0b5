// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options of plugins: --plugin-opt NAME.key=value, then the environment variable that the plugin
 * declares for it, then its standard value. The last of several counts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "cr.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

static int read_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"", "yes", "true", "on", "1", NULL};
	static const char *const no[] = {"no", "false", "off", "0", NULL};

	for (size_t i = 0; yes[i]; i++) {
		if (str_equal(text, yes[i])) {
			*ret = true;
			return 0;
		}
	}
	for (size_t i = 0; no[i]; i++) {
		if (str_equal(text, no[i])) {
			*ret = false;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_number(const char *text, int64_t *ret)
{
	uint64_t size;

	if (str_to_i64(text, 0, INT64_MIN, INT64_MAX, ret) == 0)
		return 0;
	if (str_to_size(text, &size) < 0 || size > INT64_MAX)
		return -EINVAL;
	*ret = (int64_t)size;
	return 0;
}

static int read_value(struct cr *cr, const struct plugin *plugin, struct plugin_option *option,
		      const char *source)
{
	int err = 0;

	if (!option->text)
		return 0;
	if (option->decl->type == CRIU_OPTION_BOOL)
		err = read_bool(option->text, &option->yes);
	else if (option->decl->type == CRIU_OPTION_INT)
		err = read_number(option->text, &option->number);
	if (!err)
		return 0;
	log_refuse(cr, err, "%s %s.%s: `%s' is not %s", source, plugin->decl.name,
		   option->decl->name, option->text,
		   option->decl->type == CRIU_OPTION_BOOL ? "yes or no" : "a number");
	log_remedy(cr, "%s: %s", option->decl->name, option->decl->help);
	return err;
}

static int read_standards(struct cr *cr, struct plugin *plugin)
{
	plugin->options = xcalloc(plugin->decl.n_options + 1, sizeof(*plugin->options));
	for (size_t i = 0; i < plugin->decl.n_options; i++) {
		struct plugin_option *option = &plugin->options[i];
		const char *environment;
		int err;

		option->decl = &plugin->decl.options[i];
		option->text = option->decl->standard;
		err = read_value(cr, plugin, option, "the standard value of");
		environment = option->decl->environment ? getenv(option->decl->environment) : NULL;
		if (!err && environment) {
			option->text = environment;
			err = read_value(cr, plugin, option, option->decl->environment);
		}
		if (err)
			return err;
	}
	return 0;
}

static struct plugin *find_plugin(struct cr *cr, const char *name, size_t length)
{
	struct plugin *plugin;

	plugins_for_each (plugin, cr->plugins)
		if (!plugin->legacy && strlen(plugin->decl.name) == length &&
		    strncmp(plugin->decl.name, name, length) == 0)
			return plugin;
	return NULL;
}

/* The text was checked to be NAME.KEY=VALUE, or NAME.KEY, when it was read. */
static int read_given(struct cr *cr, const char *text)
{
	size_t name = strcspn(text, "."), key;
	struct plugin *plugin = find_plugin(cr, text, name);
	const char *rest = text + name + 1;

	if (!plugin) {
		log_refuse(cr, -ENOENT, "--plugin-opt %s: no plugin of this name is in %s", text,
			   cr->plugins->directory);
		log_remedy(cr, "`criu plugin list' says which there are");
		return -ENOENT;
	}
	key = strcspn(rest, "=");
	for (size_t i = 0; i < plugin->decl.n_options; i++) {
		struct plugin_option *option = &plugin->options[i];

		if (strlen(option->decl->name) != key ||
		    strncmp(option->decl->name, rest, key) != 0)
			continue;
		option->text = rest[key] ? rest + key + 1 : "";
		return read_value(cr, plugin, option, "--plugin-opt");
	}
	log_refuse(cr, -ENOENT, "--plugin-opt %s: plugin %s has no such option", text,
		   plugin->decl.name);
	log_remedy(cr, "`criu plugin list' says which it has");
	return -ENOENT;
}

int plugin_options_read(struct cr *cr)
{
	struct plugin *plugin;
	int err = 0;

	plugins_for_each (plugin, cr->plugins)
		if (!err && !plugin->legacy)
			err = read_standards(cr, plugin);
	for (size_t i = 0; i < cr->opts->plugin_opt.n && !err; i++)
		err = read_given(cr, cr->opts->plugin_opt.items[i]);
	return err;
}
