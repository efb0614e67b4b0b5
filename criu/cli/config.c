// SPDX-License-Identifier: GPL-2.0-only
/*
 * Configuration files: one option a line, without the leading dashes; its argument follows after
 * blanks and may stand in double quotes, within which \" is a quote. # begins a comment, except in
 * quotes. A line is handed to the reader of the command line as the word --name=argument, so that
 * abbreviations and --no- forms work here too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cli/option-table.h"
#include "cli/parse.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

#define BLANKS " \t\r\n"

/* The word that begins at *at, ended in place; *at moves behind it. NULL, or what is wrong. */
static const char *word_read(char **at, const char **ret)
{
	char *from = *at, *to = *at;

	if (*from != '"') {
		from += strcspn(from, BLANKS "#");
		*ret = to;
		*at = from;
		return NULL;
	}
	for (from++; *from != '"'; from++) {
		if (!*from)
			return "a quote is not closed";
		if (from[0] == '\\' && from[1] == '"')
			from++;
		*to++ = *from;
	}
	*to = '\0';
	*ret = *at;
	*at = from + 1;
	if (**at && !strchr(BLANKS "#", **at))
		return "something follows a closing quote";
	return NULL;
}

const char *config_line_read(char *line, const char **ret_name, const char **ret_argument)
{
	char *name_end, *argument_end;
	const char *wrong;

	*ret_name = NULL;
	*ret_argument = NULL;
	line += strspn(line, BLANKS);
	if (!*line || *line == '#')
		return NULL;

	*ret_name = line;
	name_end = line + strcspn(line, BLANKS "#");
	line = name_end + strspn(name_end, BLANKS);
	*name_end = '\0';
	if (*line && *line != '#') {
		argument_end = line;
		wrong = word_read(&argument_end, ret_argument);
		if (wrong)
			return wrong;
		line = argument_end + strspn(argument_end, BLANKS);
		if (*line && *line != '#')
			return "more than one argument";
		*argument_end = '\0';
	}
	return NULL;
}

static int use_apply(struct cr *cr, struct options *opts, const struct option_use *use)
{
	static const char *const not_here[] = {"help", "version", "config", "no-default-config"};

	for (size_t i = 0; i < sizeof(not_here) / sizeof(not_here[0]); i++)
		if (str_equal(use->spec->name, not_here[i]))
			return log_refuse(cr, -EINVAL,
					  "--%s: has no meaning in a configuration file",
					  use->spec->name);
	return option_set(cr, opts, use->spec, use->argument, use->negated);
}

static int line_apply(struct cr *cr, struct options *opts, char *line)
{
	const char *name, *argument, *wrong = config_line_read(line, &name, &argument);
	struct option_words words;
	char *word;
	int ret;

	if (wrong)
		return log_refuse(cr, -EINVAL, "%s: %s", name, wrong);
	if (!name)
		return 0;
	if (*name == '-')
		return log_refuse(cr, -EINVAL, "%s: options stand here without the dashes", name);
	word = argument ? xasprintf("--%s=%s", name, argument) : xasprintf("--%s", name);
	ret = option_words_read(cr, 1, &word, &words);
	for (size_t i = 0; ret == 0 && i < words.n_uses; i++)
		ret = use_apply(cr, opts, &words.uses[i]);
	option_words_release(&words);
	free(word);
	return ret;
}

int config_apply(struct cr *cr, struct options *opts, const char *path, bool is_named)
{
	_cleanup_free_ char *text = NULL;
	char *line, *rest;
	size_t size;
	int ret, n = 0;

	ret = fd_read_file(AT_FDCWD, path, &text, &size);
	if (ret == -ENOENT || ret == -ENOTDIR) {
		/* Scripts of CRIU's users count on it that this is no error. */
		if (is_named)
			log_warn(cr, "%s: there is no such configuration file", path);
		return 0;
	}
	if (ret < 0)
		return log_err(cr, ret, "%s: read the configuration file", path);
	if (strlen(text) != size)
		return log_refuse(cr, -EINVAL, "%s: is no configuration file: it is not text",
				  path);

	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		n++;
		ret = line_apply(cr, opts, line);
		if (ret < 0)
			return log_refuse(cr, ret, "%s: line %d is refused", path, n);
	}
	return 0;
}
