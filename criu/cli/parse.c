// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command line. It is read into a list first and applied last, because --help, --config and
 * --no-default-config must be known before the configuration files are read, and these before the
 * command line takes effect.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/option-table.h"
#include "cli/parse.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

/* What getopt_long() returns for a long option: twice its index in the table above this, odd for
 * the --no- form. */
#define LONG_BASE 256

static int getopt_argument(const struct option_spec *spec)
{
	switch (option_spec_argument(spec)) {
	case ARGUMENT_OPTIONAL:
		return optional_argument;
	case ARGUMENT_REQUIRED:
		return required_argument;
	default:
		return no_argument;
	}
}

/* The table in the two forms that getopt_long() wants; the caller releases both. */
static struct option *getopt_table(struct str_buf *ret_short)
{
	struct option *longs = xcalloc(2 * option_table_size + 1, sizeof(*longs));
	struct option *next = longs;

	/* Missing arguments are told from unknown options. */
	str_buf_add(ret_short, ":");
	for (size_t i = 0; i < option_table_size; i++) {
		const struct option_spec *spec = &option_table[i];
		int argument = getopt_argument(spec);

		if (spec->short_name)
			str_buf_addf(ret_short, "%c%s", spec->short_name,
				     argument == required_argument   ? ":"
				     : argument == optional_argument ? "::"
								     : "");
		*next++ = (struct option){spec->name, argument, NULL, LONG_BASE + 2 * (int)i};
		if (spec->has_no_form)
			*next++ = (struct option){xasprintf("no-%s", spec->name), no_argument, NULL,
						  LONG_BASE + 2 * (int)i + 1};
	}
	return longs;
}

static void getopt_table_free(struct option *longs)
{
	for (struct option *o = longs; o->name; o++)
		if (o->val & 1)
			free((char *)o->name);
	free(longs);
}

static const struct option_spec *spec_of(int value, bool *ret_negated)
{
	*ret_negated = false;
	if (value >= LONG_BASE) {
		*ret_negated = (value - LONG_BASE) & 1;
		return &option_table[(value - LONG_BASE) / 2];
	}
	for (size_t i = 0; i < option_table_size; i++)
		if (option_table[i].short_name == value)
			return &option_table[i];
	return NULL;
}

static int refuse_unknown(struct cr *cr, const char *word)
{
	log_refuse(cr, -EINVAL, "%s: no such option", word);
	log_remedy(cr, "`criu --help' lists all of them");
	return -EINVAL;
}

/* Says why getopt_long() did not take a word. */
static int refuse_word(struct cr *cr, int answer, const char *word, const struct option *longs)
{
	const char *name = str_after(word, "--");
	size_t len = name ? strcspn(name, "=") : 0;
	struct str_buf candidates = {};
	bool negated;
	int n = 0;

	if (answer == ':')
		return log_refuse(cr, -EINVAL, "--%s: needs an argument: %s",
				  spec_of(optopt, &negated)->name,
				  spec_of(optopt, &negated)->argument);
	if (optopt && optopt < LONG_BASE) {
		const char letter[] = {'-', (char)optopt, '\0'};

		return refuse_unknown(cr, letter);
	}
	if (optopt)
		return log_refuse(cr, -EINVAL, "%.*s: takes no argument", (int)len + 2, word);

	for (const struct option *o = longs; o->name; o++)
		if (len && strncmp(o->name, name, len) == 0)
			str_buf_addf(&candidates, "%s--%s", n++ ? ", " : "", o->name);
	if (n)
		log_refuse(cr, -EINVAL, "%s: could be %s", word, candidates.data);
	else
		refuse_unknown(cr, word);
	str_buf_release(&candidates);
	return -EINVAL;
}

int option_words_read(struct cr *cr, int n, char *const *words, struct option_words *ret)
{
	_cleanup_(str_buf_release) struct str_buf shorts = {};
	struct option *longs = getopt_table(&shorts);
	int answer, err = 0;

	*ret = (struct option_words){
		.words = xcalloc(n + 2, sizeof(char *)),
		.uses = xcalloc(n ?: 1, sizeof(*ret->uses)),
	};
	/* A word cannot hold more uses than it has letters: -vRsd. */
	size_t capacity = n ?: 1;

	ret->words[0] = "criu";
	memcpy(ret->words + 1, words, n * sizeof(char *));
	opterr = 0;
	optind = 0;
	while ((answer = getopt_long(n + 1, ret->words, shorts.data, longs, NULL)) != -1) {
		struct option_use *use;

		if (answer == '?' || answer == ':') {
			if (!err)
				err = refuse_word(cr, answer, ret->words[optind - 1], longs);
			continue;
		}
		ret->uses = array_grow(ret->uses, &capacity, ret->n_uses + 1, sizeof(*ret->uses));
		use = &ret->uses[ret->n_uses++];
		use->spec = spec_of(answer, &use->negated);
		use->argument = optarg;
	}
	ret->rest = ret->words + optind;
	ret->n_rest = n + 1 - optind;
	getopt_table_free(longs);
	return err;
}

void option_words_release(struct option_words *words)
{
	free(words->words);
	free(words->uses);
}

static bool words_have(const struct option_words *words, const char *name,
		       const char **ret_argument)
{
	bool found = false;

	for (size_t i = 0; i < words->n_uses; i++) {
		if (words->uses[i].negated || strcmp(words->uses[i].spec->name, name) != 0)
			continue;
		found = true;
		if (ret_argument)
			*ret_argument = words->uses[i].argument;
	}
	return found;
}

static int files_apply(struct cr *cr, struct options *opts, const struct option_words *words)
{
	const char *config = NULL, *home = getenv("HOME"), *named = getenv("CRIU_CONFIG_FILE");
	bool has_config = words_have(words, "config", &config);
	int ret = 0;

	if (!has_config && !words_have(words, "no-default-config", NULL)) {
		ret = config_apply(cr, opts, "/etc/criu/default.conf", false);
		if (ret == 0 && !str_is_empty(home)) {
			_cleanup_free_ char *path = xasprintf("%s/.criu/default.conf", home);

			ret = config_apply(cr, opts, path, false);
		}
	}
	if (ret == 0 && !str_is_empty(named))
		ret = config_apply(cr, opts, named, true);
	if (ret == 0 && has_config)
		ret = config_apply(cr, opts, config, true);
	return ret;
}

/* "--cpu-cap cpu" is the option and a word: getopt_long() takes no blank before an argument that
 * may be left out. */
static void remedy_optional(struct cr *cr, const struct option_words *words, const char *word)
{
	for (size_t i = 0; i < words->n_uses; i++) {
		const struct option_use *use = &words->uses[i];

		if (option_spec_argument(use->spec) != ARGUMENT_OPTIONAL || use->argument)
			continue;
		log_remedy(cr, "if it belongs to the option: --%s=%s", use->spec->name, word);
		return;
	}
}

/* What follows the command: arguments of the command, or the program of --exec-cmd. */
static int rest_apply(struct cr *cr, struct command_line *line, const struct option_words *words)
{
	const struct command *command = line->command;
	char **rest = words->rest + 1;
	size_t n = words->n_rest - 1;
	const char **argv;

	if (n == 0)
		return 0;
	if (command->n_args >= 0 ? n > (size_t)command->n_args
				 : command->bit == CMD_RESTORE && !line->opts->exec_cmd) {
		const char *word = rest[command->n_args > 0 ? command->n_args : 0];

		line->wants_usage = true;
		log_refuse(cr, -EINVAL, "criu %s: '%s' is one word too many", command->name, word);
		remedy_optional(cr, words, word);
		return -EINVAL;
	}
	argv = options_keep(line->opts, xcalloc(n + 1, sizeof(*argv)));
	for (size_t i = 0; i < n; i++)
		argv[i] = options_keep_string(line->opts, rest[i]);
	line->opts->exec_argv = argv;
	return 0;
}

static int words_apply(struct cr *cr, struct command_line *line, const struct option_words *words)
{
	int ret;

	ret = files_apply(cr, line->opts, words);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < words->n_uses; i++) {
		const struct option_use *use = &words->uses[i];

		ret = option_set(cr, line->opts, use->spec, use->argument, use->negated);
		if (ret < 0)
			return ret;
	}
	if (line->opts->version)
		return 0;

	line->wants_usage = true;
	if (words->n_rest == 0)
		return log_refuse(cr, -EINVAL, "no command given");
	line->command = command_find(words->rest[0]);
	if (!line->command)
		return log_refuse(cr, -EINVAL, "%s: no such command", words->rest[0]);
	line->wants_usage = false;
	if (line->command->not_ready)
		return log_refuse(cr, -ENOTSUP, "criu %s: %s", line->command->name,
				  line->command->not_ready);
	ret = rest_apply(cr, line, words);
	if (ret < 0)
		return ret;
	return options_check(cr, line->opts, line->command);
}

int command_line_read(struct cr *cr, int argc, char *const *argv, struct command_line *ret)
{
	struct cr quiet = {};
	struct option_words words;
	int err;

	*ret = (struct command_line){.opts = options_new()};
	/* Help comes before anything else, also before complaints. */
	err = option_words_read(&quiet, argc - 1, argv + 1, &words);
	if (words_have(&words, "help", NULL)) {
		ret->opts->help = true;
		err = 0;
	} else if (err < 0) {
		ret->wants_usage = true;
		option_words_release(&words);
		err = option_words_read(cr, argc - 1, argv + 1, &words);
	} else {
		err = words_apply(cr, ret, &words);
	}
	option_words_release(&words);
	return err;
}
