/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sources of options: the command line as getopt_long(3) reads it (options and command in any
 *order, long options may be abbreviated) and configuration files. They are applied in a fixed
 *order, later ones override:
 *
 *	/etc/criu/default.conf, $HOME/.criu/default.conf, the file named by CRIU_CONFIG_FILE,
 *--config, the command line
 *
 * The first two are left out with --config or --no-default-config. Repeatable options add up over
 *all sources.
 */
#ifndef CRIU_CLI_PARSE_H
#define CRIU_CLI_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct cr;
struct command;
struct option_spec;

/* One use of an option. */
struct option_use {
	const struct option_spec *spec;
	const char *argument; /* NULL if there is none; points into the words */
	bool negated;
};

/* Words taken apart. */
struct option_words {
	char **words; /* a copy of the vector, NULL at the end; getopt_long() changes the order */
	struct option_use *uses;
	size_t n_uses;
	char **rest; /* words that are no options */
	size_t n_rest;
};

/* Logs the first option that cannot be right; ret is usable, and to be released, even so. 0 or
 * -EINVAL. */
int option_words_read(struct cr *cr, int n, char *const *words, struct option_words *ret);
void option_words_release(struct option_words *words);

/* Applies the options of a configuration file; that it does not exist is no error, but is warned of
 * where somebody named it. 0 or -errno, logged. */
int config_apply(struct cr *cr, struct options *opts, const char *path, bool is_named);

/*
 * Takes one line of a configuration file apart, in place: name NULL for an empty line, argument
 * NULL if there is none. NULL, or what is wrong with the line.
 */
const char *config_line_read(char *line, const char **ret_name, const char **ret_argument);

struct command_line {
	struct options *opts;          /* owned */
	const struct command *command; /* NULL if there is none */
	bool wants_usage;              /* what was refused is best answered with the usage */
};

/* Reads everything. 0 or -errno, logged; also with an error ret->opts is set and to be released. */
int command_line_read(struct cr *cr, int argc, char *const *argv, struct command_line *ret);

#endif
