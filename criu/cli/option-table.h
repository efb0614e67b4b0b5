/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * options.def as a table, and how one option is set. Every source of options (command line,
 * configuration file, RPC) ends in option_set(), so that they mean the same.
 */
#ifndef CRIU_CLI_OPTION_TABLE_H
#define CRIU_CLI_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct cr;
struct option_kind;
struct command;

struct option_spec {
	const char *name;
	char short_name; /* 0 if there is none */
	const struct option_kind *kind;
	const char *argument; /* its name in help; "" if there is none */
	unsigned int commands;
	const char *not_ready; /* why it is refused; NULL if it works */
	const char *standard;  /* default */
	const char *values;
	const char *rpc;
	bool has_no_form;
	const char *help;
	size_t offset; /* of its member in struct options */
};

extern const struct option_spec option_table[];
extern const size_t option_table_size;

enum option_argument { ARGUMENT_NONE, ARGUMENT_OPTIONAL, ARGUMENT_REQUIRED };
enum option_argument option_spec_argument(const struct option_spec *spec);

/* By the exact long name; NULL if there is none. */
const struct option_spec *option_find(const char *name);

/* With all defaults. */
struct options *options_new(void);
void options_free(struct options *opts);

/* Memory of opts: released with it. */
void *options_keep(struct options *opts, void *memory);
const char *options_keep_string(struct options *opts, const char *s);

/*
 * Sets an option: argument is NULL where there is none, negated is the --no- form. Logs what is
 * wrong with the option's name, the value, and what is accepted. 0 or -errno.
 */
int option_set(struct cr *cr, struct options *opts, const struct option_spec *spec,
	       const char *argument, bool negated);

/* Was it given by any source, and not taken back by its --no- form? */
bool option_is_given(const struct options *opts, const struct option_spec *spec);

/*
 * Once all sources are read: refuses what is not ready and what does not go together, warns about
 * what has no effect with this command, fills in defaults that depend on others. 0 or -errno,
 * logged.
 */
int options_check(struct cr *cr, struct options *opts, const struct command *command);

/* The sentences of the AREAs of options.def; READY has none. */
#define AREA(word, sentence) static const char area_##word[] __attribute__((unused)) = sentence;
#include "cli/options.def"
#define area_READY NULL

#endif
