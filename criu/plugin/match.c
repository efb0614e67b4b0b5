// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who owns a file or mapping? Matches first, as they are data, then claims(), which has the last
 * word. Two that claim one object are an error that names both, unless one says that it overrides
 * the other (G2).
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

/* Nobody loads so many plugins for one device. */
#define MAX_CLAIMANTS 16

static bool is_in_range(const struct criu_match *match, const struct criu_candidate *candidate)
{
	unsigned int number = minor(candidate->rdev);

	return (!match->first && !match->last) || (number >= match->first && number <= match->last);
}

/* Is there a line "key:" in fdinfo? */
static bool has_fdinfo(const struct criu_candidate *candidate, const char *key)
{
	char path[64], line[256];
	size_t length = strlen(key);
	bool found = false;
	FILE *file;

	if (candidate->is_mapping || !candidate->host_pid)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", candidate->host_pid, candidate->fd);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = strncmp(line, key, length) == 0 && line[length] == ':';
	if (file)
		fclose(file);
	return found;
}

static bool matches(struct cr *cr, const struct criu_match *match,
		    const struct criu_candidate *candidate)
{
	switch (match->kind) {
	case CRIU_MATCH_DRIVER:
		return S_ISCHR(candidate->mode) && is_in_range(match, candidate) &&
		       driver_major(cr, match->text) == (int)major(candidate->rdev);
	case CRIU_MATCH_DEVICE:
		return (S_ISCHR(candidate->mode) || S_ISBLK(candidate->mode)) &&
		       major(candidate->rdev) == match->major && is_in_range(match, candidate);
	case CRIU_MATCH_PATH:
		return *candidate->path == '/' && fnmatch(match->text, candidate->path, 0) == 0;
	case CRIU_MATCH_LINK:
		return str_starts_with(candidate->path, match->text);
	case CRIU_MATCH_FDINFO:
		return has_fdinfo(candidate, match->text);
	}
	return false;
}

struct claim {
	const struct criu_class *class;
	const struct criu_candidate *candidate;
};

static int call_claims(struct criu_call *call, void *arg)
{
	const struct claim *claim = arg;

	return claim->class->claims(call, claim->candidate);
}

/* 1, 0 or -errno. */
static int class_claims(struct cr *cr, struct plugin_class *class,
			const struct criu_candidate *candidate)
{
	const struct call_about about = {
		.hook = "claims", .phase = -1, .allowed = 1 << CRIU_NOT_MINE};
	struct claim claim = {class->decl, candidate};
	bool is_match = false;
	int ret;

	for (size_t i = 0; i < class->decl->n_matches && !is_match; i++)
		is_match = matches(cr, &class->decl->matches[i], candidate);
	if (!is_match || !class->decl->claims)
		return is_match;
	ret = plugin_call(cr, class->plugin, &about, call_claims, &claim, NULL);
	return ret < 0 ? ret : ret == CRIU_HANDLED;
}

static bool overrides(const struct criu_class *class, const struct criu_class *other)
{
	for (size_t i = 0; class->overrides && class->overrides[i]; i++)
		if (str_equal(class->overrides[i], other->name))
			return true;
	return false;
}

/* The one that overrides all others, or the only one. */
static int choose(struct cr *cr, struct plugin_class *const *claimants, size_t n,
		  struct plugin_class **ret, const struct criu_candidate *candidate)
{
	for (size_t i = 0; i < n; i++) {
		size_t n_below = 0;

		for (size_t j = 0; j < n; j++)
			n_below += j != i && overrides(claimants[i]->decl, claimants[j]->decl);
		if (n_below + 1 < n)
			continue;
		*ret = claimants[i];
		return 0;
	}
	log_refuse(cr, -EEXIST, "%d: %s %s: both %s and %s claim it", candidate->host_pid,
		   candidate->is_mapping ? "mapping of" : "file", candidate->path,
		   claimants[0]->decl->name, claimants[1]->decl->name);
	log_remedy(cr, "unload one of the plugins, or have one class override the other");
	return -EEXIST;
}

/* As matches(), of a path alone: what else there is to know may be as it likes. */
static bool may_match(struct cr *cr, const struct criu_match *match, const char *path)
{
	const struct criu_candidate candidate = {.path = path};

	switch (match->kind) {
	case CRIU_MATCH_DRIVER:
	case CRIU_MATCH_DEVICE:
		return *path == '/';
	case CRIU_MATCH_FDINFO:
		return true;
	case CRIU_MATCH_PATH:
	case CRIU_MATCH_LINK:
		break;
	}
	return matches(cr, match, &candidate);
}

static bool may_claim(struct cr *cr, const struct plugin_class *class, const char *path)
{
	for (size_t i = 0; i < class->decl->n_matches; i++)
		if (may_match(cr, &class->decl->matches[i], path))
			return true;
	return false;
}

bool plugins_may_dispute_path(struct cr *cr, const char *path)
{
	struct plugin *plugin;
	size_t n = 0;

	plugins_for_each (plugin, cr->plugins)
		for (size_t i = 0; plugin_is_active(plugin) && i < plugin->decl.n_classes; i++)
			n += may_claim(cr, &plugin->classes[i], path);
	return n > 1;
}

static bool may_meet(struct cr *cr, const struct criu_class *one, const struct criu_class *two)
{
	for (size_t i = 0; i < one->n_matches; i++)
		for (size_t j = 0; j < two->n_matches; j++)
			if (matches_may_meet(cr, &one->matches[i], &two->matches[j]))
				return true;
	return false;
}

bool plugins_may_dispute(struct cr *cr)
{
	_cleanup_free_ const struct criu_class **classes = NULL;
	size_t n = 0, capacity = 0;
	struct plugin *plugin;

	if (!cr->plugins || !cr->plugins->n_contract)
		return false;
	plugins_for_each (plugin, cr->plugins) {
		for (size_t i = 0; plugin_is_active(plugin) && i < plugin->decl.n_classes; i++) {
			const struct criu_class *class = plugin->classes[i].decl;

			for (size_t j = 0; j < n; j++)
				if (may_meet(cr, classes[j], class))
					return true;
			classes = array_grow(classes, &capacity, n + 1, sizeof(*classes));
			classes[n++] = class;
		}
	}
	return false;
}

int plugins_claim(struct cr *cr, const struct criu_candidate *candidate, struct plugin_class **ret)
{
	struct plugin_class *claimants[MAX_CLAIMANTS];
	struct plugin *plugin;
	size_t n = 0;

	*ret = NULL;
	if (!cr->plugins || !cr->plugins->n_contract)
		return 0;
	plugins_for_each (plugin, cr->plugins) {
		for (size_t i = 0; plugin_is_active(plugin) && i < plugin->decl.n_classes; i++) {
			struct plugin_class *class = &plugin->classes[i];
			int err = class_claims(cr, class, candidate);

			if (err < 0)
				return err;
			if (err > 0 && n < MAX_CLAIMANTS)
				claimants[n++] = class;
		}
	}
	return n ? choose(cr, claimants, n, ret, candidate) : 0;
}
