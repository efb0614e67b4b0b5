// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finding and loading plugins: every NAME.so of one directory, in the byte order of the names (G1).
 * A file that is no plugin, or that cannot be loaded, is skipped with a warning; it is an error
 * only if something turns out to need it, and then the warning says why it is not there. One that
 * says in a note that it is absent on such a host need not be loaded where nobody asks for plugins.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "plugin/dir.h"
#include "plugin/legacy.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/report.h"
#include "util/str.h"

#define SUFFIX ".so"

static int is_plugin_name(const struct dirent *entry)
{
	return str_ends_with(entry->d_name, SUFFIX);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void forget_list(struct dirent **list, int n)
{
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

/* A relative name is looked up in the work directory, as CRIU 4.2 does. */
static char *directory_of(const struct cr *cr, bool *ret_was_named)
{
	const char *name = cr->opts->libdir;
	_cleanup_free_ char *link = NULL;
	char *work;

	if (!name)
		name = getenv("CRIU_LIBS_DIR");
	*ret_was_named = !str_is_empty(name);
	if (!*ret_was_named)
		return xstrdup(PLUGIN_DIR);
	if (*name == '/')
		return xstrdup(name);
	link = xasprintf("/proc/self/fd/%d", cr->work_dir);
	work = realpath(link, NULL);
	if (!work)
		return xstrdup(name);
	name = xasprintf("%s/%s", work, name);
	free(work);
	return (char *)name;
}

static int take(struct cr *cr, const char *file, const char *path, void *handle)
{
	const struct criu_plugin *decl = dlsym(handle, "CRIU_PLUGIN");

	return decl ? registry_add(cr, decl, file, path, handle)
		    : legacy_add(cr, file, path, handle);
}

static int load_file(struct cr *cr, const char *file, enum plugins_wanted wanted)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", cr->plugins->directory, file);
	_cleanup_free_ char *lacks = NULL;
	const char *problem = plugin_file_problem(path, &lacks);
	void *handle;
	int err;

	if (problem) {
		log_warn(cr, "%s: is not loaded: %s", path, problem);
		return 0;
	}
	/* Its options have to be read, if any are given, to know whether they are right. */
	if (lacks && wanted == PLUGINS_PRESENT && !cr->opts->plugin_opt.n) {
		log_info(cr, "%s: is not loaded: is absent, as there is no %s", path, lacks);
		return 0;
	}
	handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!handle) {
		log_warn(cr, "%s: is not loaded: %s", path, dlerror());
		return 0;
	}
	err = take(cr, file, path, handle);
	if (err != -EINVAL)
		return err;
	/* What is wrong with it has been said; it harms nobody who does not need it. */
	if (cr->report)
		report_cause_clear(cr->report);
	registry_forget(cr, list_last_entry(&cr->plugins->all, struct plugin, node));
	log_warn(cr, "%s: is not loaded", path);
	return 0;
}

static int load_directory(struct cr *cr, enum plugins_wanted wanted)
{
	struct plugins *plugins = cr->plugins;
	struct dirent **list = NULL;
	int n, err = 0;

	n = scandir(plugins->directory, &list, is_plugin_name, by_bytes);
	if (n < 0) {
		if (errno == ENOENT && !plugins->was_named)
			return 0;
		err = log_err(cr, -errno, "%s: read the directory of the plugins",
			      plugins->directory);
		log_remedy(cr, "say where they are with --libdir");
		return err;
	}
	for (int i = 0; i < n && !err; i++)
		err = load_file(cr, list[i]->d_name, wanted);
	forget_list(list, n);
	return err;
}

static struct plugins *plugins_new(struct cr *cr, enum criu_operation operation)
{
	struct plugins *plugins = xcalloc(1, sizeof(*plugins));

	plugins->operation = operation;
	list_init(&plugins->all);
	list_init(&plugins->files);
	list_init(&plugins->mappings);
	pthread_mutex_init(&plugins->data_lock, NULL);
	plugins->directory = directory_of(cr, &plugins->was_named);
	return plugins;
}

static int prepare(struct cr *cr)
{
	int err = plugin_options_read(cr);

	if (!err && plugins_are_loaded(cr))
		err = plugin_calls_start(cr);
	return err;
}

int plugins_load(struct cr *cr, enum criu_operation operation, enum plugins_wanted wanted)
{
	int err;

	cr->plugins = plugins_new(cr, operation);
	err = load_directory(cr, wanted);
	return err ? err : prepare(cr);
}

int plugins_load_file(struct cr *cr, enum criu_operation operation, const char *path)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	_cleanup_free_ char *lacks = NULL;
	const char *name, *problem;
	void *handle;
	int err;

	if (!real)
		return log_err(cr, -errno, "%s: open", path);
	problem = plugin_file_problem(real, &lacks);
	if (problem)
		return log_refuse(cr, -ENOEXEC, "%s: cannot be loaded: %s", path, problem);
	cr->plugins = plugins_new(cr, operation);
	handle = dlopen(real, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return log_refuse(cr, -ENOEXEC, "%s: cannot be loaded: %s", path, dlerror());
	name = strrchr(real, '/') + 1;
	err = take(cr, name, real, handle);
	if (err)
		return err;
	if (list_is_empty(&cr->plugins->all))
		return log_refuse(cr, -ENOEXEC, "%s: is no plugin", path);
	return prepare(cr);
}
