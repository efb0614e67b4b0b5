// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is what a plugin declares whole? Everything that could only go wrong later, in the middle of a
 * dump, is refused when the plugin is loaded, naming the plugin's file and the member.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "cr.h"
#include "plugin/priv.h"
#include "util/log.h"
#include "util/str.h"

#define NAME_MAX_LENGTH 48

static bool is_name(const char *name, const char *more)
{
	size_t n = 0;

	if (!name || !islower((unsigned char)*name))
		return false;
	for (; name[n]; n++)
		if (!islower((unsigned char)name[n]) && !isdigit((unsigned char)name[n]) &&
		    !strchr(more, name[n]))
			return false;
	return n <= NAME_MAX_LENGTH;
}

static int refuse(struct cr *cr, const char *file, const char *what, const char *name,
		  const char *why)
{
	return log_refuse(cr, -EINVAL, "%s: %s %s: %s", file, what, name ? name : "without a name",
			  why);
}

static int check_matches(struct cr *cr, const char *file, const struct criu_class *class)
{
	if (!class->n_matches || !class->matches)
		return refuse(cr, file, "class", class->name, "matches nothing");
	for (size_t i = 0; i < class->n_matches; i++) {
		const struct criu_match *match = &class->matches[i];

		if (match->kind < CRIU_MATCH_DRIVER || match->kind > CRIU_MATCH_FDINFO)
			return refuse(cr, file, "class", class->name,
				      "has a match of an unknown kind");
		if (match->kind != CRIU_MATCH_DEVICE && str_is_empty(match->text))
			return refuse(cr, file, "class", class->name, "has a match without text");
		if (match->first > match->last)
			return refuse(cr, file, "class", class->name,
				      "has a match whose first minor is above the last");
	}
	return 0;
}

static int check_classes(struct cr *cr, const char *file, const struct criu_plugin *decl)
{
	size_t n = strlen(decl->name);

	for (size_t i = 0; i < decl->n_classes; i++) {
		const struct criu_class *class = &decl->classes[i];
		int err;

		if (!is_name(class->name, ".-_"))
			return refuse(cr, file, "class", class->name, "is no name of a class");
		if (strncmp(class->name, decl->name, n) != 0 || class->name[n] != '.' ||
		    !class->name[n + 1])
			return refuse(cr, file, "class", class->name,
				      "does not begin with the plugin's name and a dot");
		for (size_t j = 0; j < i; j++)
			if (str_equal(decl->classes[j].name, class->name))
				return refuse(cr, file, "class", class->name, "is there twice");
		err = check_matches(cr, file, class);
		if (err)
			return err;
		if ((class->flags & CRIU_PARALLEL_IN_TASK) && !(class->flags & CRIU_PARALLEL))
			return refuse(cr, file, "class", class->name,
				      "is PARALLEL_IN_TASK and not PARALLEL");
	}
	return 0;
}

static int check_rules(struct cr *cr, const char *file, const struct criu_plugin *decl)
{
	for (size_t i = 0; i < decl->n_rules; i++) {
		const struct criu_rule *rule = &decl->rules[i];

		if (str_is_empty(rule->before) || str_is_empty(rule->after))
			return refuse(cr, file, "rule", rule->before, "names no class");
		if (!(rule->when & (CRIU_DUMP | CRIU_RESTORE)) ||
		    (rule->when & ~(CRIU_DUMP | CRIU_RESTORE)))
			return refuse(cr, file, "rule", rule->before, "is for no operation");
		if (rule->scope != CRIU_SCOPE_TASK && rule->scope != CRIU_SCOPE_TREE)
			return refuse(cr, file, "rule", rule->before, "has no scope");
		if (*rule->before == '@' && *rule->after == '@')
			return refuse(cr, file, "rule", rule->before,
				      "orders the core's own work, which is not a plugin's to do");
	}
	return 0;
}

static bool has_class(const struct criu_plugin *decl, const char *name)
{
	for (size_t i = 0; name && i < decl->n_classes; i++)
		if (str_equal(decl->classes[i].name, name))
			return true;
	return false;
}

static int check_barriers(struct cr *cr, const char *file, const struct criu_plugin *decl)
{
	for (size_t i = 0; i < decl->n_barriers; i++) {
		if (!is_name(decl->barriers[i].name, "-_."))
			return refuse(cr, file, "barrier", decl->barriers[i].name,
				      "is no name of a barrier");
		if (!has_class(decl, decl->barriers[i].class_name))
			return refuse(cr, file, "barrier", decl->barriers[i].name,
				      "is of no class of this plugin");
	}
	return 0;
}

static int check_options(struct cr *cr, const char *file, const struct criu_plugin *decl)
{
	for (size_t i = 0; i < decl->n_options; i++) {
		const struct criu_option *option = &decl->options[i];

		if (!is_name(option->name, "-_"))
			return refuse(cr, file, "option", option->name, "is no name of an option");
		if (option->type < CRIU_OPTION_BOOL || option->type > CRIU_OPTION_STRING)
			return refuse(cr, file, "option", option->name, "is of an unknown type");
		if (str_is_empty(option->help))
			return refuse(cr, file, "option", option->name, "has no help");
	}
	return 0;
}

/* Who opens something must be able to close it. */
static int check_hooks(struct cr *cr, const char *file, const struct criu_plugin *decl)
{
	bool can_pause = decl->pause.begin || decl->pause.task || decl->pause.end;
	bool can_resume = decl->resume.begin || decl->resume.task || decl->resume.end;

	if (can_pause && !can_resume)
		return refuse(cr, file, "hook", "pause", "is there, and resume is not");
	if (decl->restore_end && !decl->restore_begin)
		return refuse(cr, file, "hook", "restore_end",
			      "is there, and restore_begin is not");
	if (decl->dump_file && !decl->restore_file)
		return refuse(cr, file, "hook", "dump_file", "is there, and restore_file is not");
	return 0;
}

static bool has_lists(const struct criu_plugin *decl)
{
	return (decl->classes || !decl->n_classes) && (decl->rules || !decl->n_rules) &&
	       (decl->barriers || !decl->n_barriers) && (decl->options || !decl->n_options) &&
	       (decl->needs || !decl->n_needs);
}

int plugin_check(struct cr *cr, const char *file, const struct criu_plugin *decl)
{
	int err;

	if (!is_name(decl->name, "-_"))
		return refuse(cr, file, "plugin", decl->name, "is no name of a plugin");
	if (str_equal(decl->name, "core"))
		return refuse(cr, file, "plugin", decl->name, "is the name of the tool's own");
	if (str_is_empty(decl->version))
		return refuse(cr, file, "plugin", decl->name, "has no version");
	if (!has_lists(decl))
		return refuse(cr, file, "plugin", decl->name, "has a list that is NULL");
	err = check_classes(cr, file, decl);
	if (!err)
		err = check_rules(cr, file, decl);
	if (!err)
		err = check_barriers(cr, file, decl);
	if (!err)
		err = check_options(cr, file, decl);
	return err ? err : check_hooks(cr, file, decl);
}
