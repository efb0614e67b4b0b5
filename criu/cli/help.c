// SPDX-License-Identifier: GPL-2.0-only
/*
 * The usage and the help text. Both are lists in two columns, the second one wrapped at 80
 * characters; options stand in the order and under the headings of options.def.
 */
#include <string.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/option-table.h"
#include "compel/base/bits.h"
#include "util/str.h"

#define COLUMN 28
#define WIDTH  80

/* Prints text from column COLUMN on, where the line has been filled up to column at. */
static void print_wrapped(FILE *out, size_t at, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, " "), indent = 0;

		if (at < COLUMN)
			indent = COLUMN - at;
		else if (at > COLUMN && at + 1 + len > WIDTH)
			indent = COLUMN, at = 0, fputc('\n', out);
		else if (at > COLUMN)
			indent = 1;
		fprintf(out, "%*s%.*s", (int)indent, "", (int)len, text);
		at += indent + len;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void help_print_usage(FILE *out)
{
	fprintf(out, "\nUsage:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (*commands[i].help && !commands[i].not_ready)
			fprintf(out, "  %s\n", commands[i].synopsis);

	fprintf(out, "\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (*commands[i].help && !commands[i].not_ready)
			print_wrapped(out, fprintf(out, "  %s", commands[i].name),
				      commands[i].help);
}

static void print_option(FILE *out, const struct option_spec *spec)
{
	struct str_buf left = {}, right = {};

	str_buf_addf(&left, "  %c%c%s --%s", spec->short_name ? '-' : ' ', spec->short_name ?: ' ',
		     spec->short_name ? "," : " ", spec->name);
	if (option_spec_argument(spec) == ARGUMENT_OPTIONAL)
		str_buf_addf(&left, "[=%s]", spec->argument);
	else if (*spec->argument)
		str_buf_addf(&left, " %s", spec->argument);

	str_buf_add(&right, spec->help);
	if (*spec->values)
		str_buf_addf(&right, " (%s)", spec->values);
	if (*spec->standard && *spec->standard != '-')
		str_buf_addf(&right, " [%s]", spec->standard);

	fputs(left.data, out);
	if (left.len >= COLUMN)
		fputc('\n', out);
	print_wrapped(out, left.len >= COLUMN ? 0 : left.len, right.data);
	str_buf_release(&left);
	str_buf_release(&right);
}

void help_print(FILE *out)
{
	/* Headings and options in the order of options.def: either has a title, or is the name of
	 * an option. */
	static const struct {
		const char *title;
		const char *option;
	} rows[] = {
#define SECTION(title_)           {.title = title_},
#define OPTION(member, name, ...) {.option = name},
#include "cli/options.def"
	};

	/* Printed with the first option below it, if there is one. */
	const char *title = NULL;

	help_print_usage(out);
	fprintf(out,
		"\nOptions stand before or after the command, or in configuration files without\n"
		"the dashes. Many that take no argument have a form --no-<option>, which takes\n"
		"them back. In brackets: the default.\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct option_spec *spec = rows[i].option ? option_find(rows[i].option)
								: NULL;

		if (rows[i].title)
			title = rows[i].title;
		if (!spec || spec->not_ready)
			continue;
		if (title)
			fprintf(out, "\n%s:\n", title);
		title = NULL;
		print_option(out, spec);
	}
}
