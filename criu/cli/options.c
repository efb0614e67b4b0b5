// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of options, setting one, and the checks that are made once all sources are read. struct
 * options is the visible part of a struct stored_options, which also remembers what was given and
 * owns all memory of the options.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/option-kinds.h"
#include "cli/option-table.h"
#include "compel/base/bits.h"
#include "cr.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

#define NO_NO   false
#define WITH_NO true

const struct option_spec option_table[] = {
#define OPTION(member_, name_, short_, kind_, argument_, commands_, ready, standard_, values_, \
	       rpc_, no_form, help_)                                                           \
	{                                                                                      \
		.name = name_,                                                                 \
		.short_name = short_,                                                          \
		.kind = &option_kinds[KIND_##kind_],                                           \
		.argument = argument_,                                                         \
		.commands = commands_,                                                         \
		.not_ready = area_##ready,                                                     \
		.standard = standard_,                                                         \
		.values = values_,                                                             \
		.rpc = rpc_,                                                                   \
		.has_no_form = no_form,                                                        \
		.help = help_,                                                                 \
		.offset = offsetof(struct options, member_),                                   \
	},
#include "cli/options.def"
};

const size_t option_table_size = ARRAY_SIZE(option_table);

struct stored_options {
	struct options options; /* first: what the others see */
	bool is_given[ARRAY_SIZE(option_table)];
	void **kept;
	size_t n_kept, kept_capacity;
};

enum option_argument option_spec_argument(const struct option_spec *spec)
{
	return spec->kind->argument;
}

const struct option_spec *option_find(const char *name)
{
	for (size_t i = 0; i < option_table_size; i++)
		if (strcmp(option_table[i].name, name) == 0)
			return &option_table[i];
	return NULL;
}

void *options_keep(struct options *opts, void *memory)
{
	struct stored_options *stored = (struct stored_options *)opts;

	stored->kept = array_grow(stored->kept, &stored->kept_capacity, stored->n_kept + 1,
				  sizeof(*stored->kept));
	stored->kept[stored->n_kept++] = memory;
	return memory;
}

const char *options_keep_string(struct options *opts, const char *s)
{
	return options_keep(opts, xstrdup(s));
}

static int option_read(struct options *opts, const struct option_spec *spec, const char *text,
		       bool on)
{
	const struct option_input in = {.opts = opts, .spec = spec, .text = text, .on = on};

	return spec->kind->read(&in, (char *)opts + spec->offset);
}

struct options *options_new(void)
{
	struct stored_options *stored = xcalloc(1, sizeof(*stored));

	for (size_t i = 0; i < option_table_size; i++)
		if (*option_table[i].standard)
			/* A unit test sees to it that all defaults can be read. */
			option_read(&stored->options, &option_table[i], option_table[i].standard,
				    true);
	stored->options.cpu_cap = CPU_CAP_FPU | CPU_CAP_INS;
	return &stored->options;
}

void options_free(struct options *opts)
{
	struct stored_options *stored = (struct stored_options *)opts;

	if (!stored)
		return;
	for (size_t i = 0; i < stored->n_kept; i++)
		free(stored->kept[i]);
	free(stored->kept);
	free(stored);
}

static bool *option_given_at(const struct options *opts, const struct option_spec *spec)
{
	struct stored_options *stored = (struct stored_options *)opts;

	return &stored->is_given[spec - option_table];
}

bool option_is_given(const struct options *opts, const struct option_spec *spec)
{
	return *option_given_at(opts, spec);
}

int option_set(struct cr *cr, struct options *opts, const struct option_spec *spec,
	       const char *argument, bool negated)
{
	const char *accepts = spec->kind->accepts ?: spec->values;
	int ret;

	if (negated && !spec->has_no_form)
		return log_refuse(cr, -EINVAL, "--no-%s: --%s cannot be taken back", spec->name,
				  spec->name);
	if (argument && spec->kind->argument == ARGUMENT_NONE)
		return log_refuse(cr, -EINVAL, "--%s: takes no argument (got '%s')", spec->name,
				  argument);
	if (!argument && spec->kind->argument == ARGUMENT_REQUIRED)
		return log_refuse(cr, -EINVAL, "--%s: needs an argument: %s", spec->name,
				  spec->argument);

	ret = option_read(opts, spec, argument, !negated);
	if (ret == -EINVAL)
		return log_refuse(cr, ret, "--%s: '%s' is not accepted; give %s%s", spec->name,
				  argument ?: "", spec->kind->accepts ? "" : "one of ", accepts);
	if (ret < 0)
		return log_err(cr, ret, "--%s: '%s'", spec->name, argument ?: "");
	*option_given_at(opts, spec) = !negated;
	return 0;
}

/* Kinds of --external whose machinery is not there. */
static int external_check(struct cr *cr, const struct options *opts, const struct command *command)
{
	static const struct {
		const char *type;
		const char *not_ready;
	} types[] = {
		{"file", NULL},
		{"tty", NULL},
		{"unix", area_SOCKETS},
		{"dev", area_NAMESPACES},
		{"mnt", area_NAMESPACES},
		{"net", area_NAMESPACES},
		{"pid", area_NAMESPACES},
		{"veth", area_NAMESPACES},
		{"macvlan", area_NAMESPACES},
		{"netdev", area_NAMESPACES},
	};

	for (size_t i = 0; i < opts->external.n; i++) {
		const struct option_external *e = &opts->external.items[i];

		for (size_t k = 0; k < ARRAY_SIZE(types); k++)
			if (types[k].not_ready && strcmp(types[k].type, e->type) == 0)
				return log_refuse(cr, -ENOTSUP, "--external %s: %s", e->text,
						  types[k].not_ready);
		/* What is left is of files, which come by descriptor. */
		if (command->bit == CMD_RESTORE)
			log_warn(cr,
				 "--external %s: has no effect on criu restore, which is given "
				 "files with --inherit-fd",
				 e->text);
	}
	return 0;
}

/* Kinds of files that --inherit-fd is not for yet. */
static int inherit_check(struct cr *cr, const struct options *opts)
{
	static const char *const not_ready[] = {"socket:[", "/memfd:"};

	for (size_t i = 0; i < opts->inherit_fd.n; i++) {
		const struct option_inherit *item = &opts->inherit_fd.items[i];

		for (size_t k = 0; k < ARRAY_SIZE(not_ready); k++)
			if (!item->is_debug && str_starts_with(item->key, not_ready[k]))
				return log_refuse(cr, -ENOTSUP,
						  "--inherit-fd fd[%d]:%s: sockets and memory "
						  "files cannot be given by this version",
						  item->fd, item->key);
		for (size_t k = 0; k < i; k++)
			if (!item->is_debug && !opts->inherit_fd.items[k].is_debug &&
			    strcmp(item->key, opts->inherit_fd.items[k].key) == 0)
				return log_refuse(cr, -EINVAL,
						  "--inherit-fd fd[%d]:%s: fd[%d] was given for "
						  "it already",
						  item->fd, item->key,
						  opts->inherit_fd.items[k].fd);
	}
	return 0;
}

/* Trees are dumped and restored in the control groups of the tool, which these modes would change
 * or make. */
static int cgroups_check(struct cr *cr, const struct options *opts)
{
	if (opts->manage_cgroups != CGROUP_MODE_PROPS && opts->manage_cgroups != CGROUP_MODE_FULL &&
	    opts->manage_cgroups != CGROUP_MODE_STRICT)
		return 0;
	log_refuse(cr, -ENOTSUP, "--manage-cgroups: props, full and strict: %s", area_CGROUPS);
	log_remedy(cr, "give none, soft or ignore");
	return -ENOTSUP;
}

/* What is accepted with some values only, or without effect. */
static int values_check(struct cr *cr, const struct options *opts, const struct command *command)
{
	int ret = 0;

	if (command->bit & (CMD_DUMP | CMD_RESTORE)) {
		ret = external_check(cr, opts, command);
		if (ret == 0)
			ret = cgroups_check(cr, opts);
	}
	if (ret == 0 && command->bit == CMD_RESTORE)
		ret = inherit_check(cr, opts);
	if (opts->log_pid && !opts->log_file && command->bit == CMD_RESTORE)
		log_warn(cr, "--log-pid: has no effect without --log-file");
	if (opts->deprecated)
		log_info(cr, "--deprecated: nothing is, in this version");
	return ret;
}

/* Whoever restores outlives the command, which then is nobody's parent. */
static int hold_check(struct cr *cr, struct options *opts)
{
	const char *other = opts->leave_stopped     ? "--leave-stopped"
			    : opts->exec_cmd        ? "--exec-cmd"
			    : opts->restore_sibling ? "--restore-sibling"
						    : NULL;

	if (opts->dry_run)
		opts->hold = false;
	if (!opts->hold)
		return 0;
	if (other)
		return log_refuse(cr, -EINVAL, "--hold: cannot be used together with %s", other);
	if (opts->display_stats)
		log_warn(cr, "--display-stats: has no effect together with --hold; see "
			     "stats-restore");
	opts->restore_detached = true;
	opts->display_stats = false;
	return 0;
}

static int together_check(struct cr *cr, struct options *opts, const struct command *command)
{
	int ret;

	if (command->bit == CMD_DUMP && !opts->tree) {
		log_refuse(cr, -EINVAL, "--tree: not given: which process is to be dumped?");
		log_remedy(cr, "add -t PID");
		return -EINVAL;
	}
	if (command->bit != CMD_RESTORE)
		return 0;
	ret = hold_check(cr, opts);
	if (ret < 0)
		return ret;
	if (opts->exec_cmd && opts->restore_detached)
		return log_refuse(cr, -EINVAL,
				  "--exec-cmd: cannot be used together with --restore-detached");
	if (opts->exec_cmd && !opts->exec_argv)
		return log_refuse(cr, -EINVAL, "--exec-cmd: needs a command after --");
	if (opts->restore_sibling && !opts->restore_detached)
		return log_refuse(cr, -EINVAL,
				  "--restore-sibling: makes sense only with --restore-detached");
	return 0;
}

int options_check(struct cr *cr, struct options *opts, const struct command *command)
{
	int ret;

	for (size_t i = 0; i < option_table_size; i++) {
		const struct option_spec *spec = &option_table[i];

		if (!option_is_given(opts, spec))
			continue;
		if (!(spec->commands & command->bit))
			log_warn(cr, "--%s: has no effect on criu %s", spec->name, command->name);
		else if (spec->not_ready)
			return log_refuse(cr, -ENOTSUP, "--%s: %s", spec->name, spec->not_ready);
	}
	ret = values_check(cr, opts, command);
	if (ret < 0)
		return ret;
	ret = together_check(cr, opts, command);
	if (ret < 0)
		return ret;

	if (opts->leave_running && opts->leave_stopped) {
		log_warn(cr, "--leave-running: has no effect together with --leave-stopped");
		opts->leave_running = false;
	}
	if (!opts->work_dir)
		opts->work_dir = opts->images_dir;
	if (getenv("CRIU_DEPRECATED"))
		opts->deprecated = true;
	opts->manage_cgroups_given = option_is_given(opts, option_find("manage-cgroups"));
	return 0;
}
