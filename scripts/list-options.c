// SPDX-License-Identifier: GPL-2.0-only
/*
 * list-options man|completion|names: what documents list of the options, commands and kernel
 * features, from the tables that criu itself is built from. Options whose machinery is not there
 * are left out of man and completion, as criu --help does.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define AREA(word, sentence) static const bool is_ready_##word __attribute__((unused)) = false;
#include "cli/options.def"
static const bool is_ready_READY = true;

struct row {
	const char *section; /* a heading, or: */
	const char *name;
	char short_name;
	const char *kind;
	const char *argument;
	bool is_ready;
	const char *standard;
	const char *values;
	bool has_no_form;
	const char *help;
};

#define NO_NO         false
#define WITH_NO       true
#define SECTION(text) {.section = text},
#define OPTION(member, name_, short_, kind_, argument_, commands, ready, standard_, values_, rpc, \
	       no, help_)                                                                         \
	{NULL, name_, short_, #kind_, argument_, is_ready_##ready, standard_, values_, no, help_},
static const struct row rows[] = {
#include "cli/options.def"
};

static const struct {
	const char *name;
	bool is_ready;
	const char *synopsis;
	const char *help;
} commands[] = {
#define COMMAND(word, name, ready, run, n_args, synopsis, help) \
	{name, is_ready_##ready, synopsis, help},
#include "cli/commands.def"
};

static const struct {
	const char *name;
	int category;
	const char *missing;
	const char *remedy;
} features[] = {
#define FEATURE(id, name, category, probe, missing, remedy) {name, category, missing, remedy},
#include "kernel/features.def"
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Text for troff: dashes as typed, no line that begins with a control character. */
static void roff(const char *text)
{
	for (; *text; text++)
		if (*text == '-')
			fputs("\\-", stdout);
		else if (*text == '\\')
			fputs("\\e", stdout);
		else
			putchar(*text);
}

static bool is_optional(const struct row *row)
{
	static const char *const kinds[] = {"VERBOSITY", "CGROUP_MODE", "CPU_CAP", "UNIX_SK"};

	for (size_t i = 0; i < COUNT(kinds); i++)
		if (strcmp(row->kind, kinds[i]) == 0)
			return true;
	return false;
}

static void man_option(const struct row *row)
{
	printf(".TP\n\\fB");
	if (row->short_name)
		printf("\\-%c\\fR, \\fB", row->short_name);
	printf("\\-\\-");
	roff(row->name);
	printf("\\fR");
	if (*row->argument) {
		printf(is_optional(row) ? "[=\\fI" : " \\fI");
		roff(row->argument);
		printf(is_optional(row) ? "\\fR]" : "\\fR");
	}
	putchar('\n');
	putchar(toupper(row->help[0]));
	roff(row->help + 1);
	puts(".");
	if (*row->values) {
		printf("Values: ");
		roff(row->values);
		puts(".");
	}
	if (*row->standard && *row->standard != '-') {
		printf("Default: \\fB");
		roff(row->standard);
		puts("\\fR.");
	}
	if (row->has_no_form) {
		printf("\\fB\\-\\-no\\-");
		roff(row->name);
		puts("\\fR takes it back.");
	}
}

/* A heading is printed only if something stands below it. */
static bool has_ready(size_t section)
{
	for (size_t i = section + 1; i < COUNT(rows) && !rows[i].section; i++)
		if (rows[i].is_ready)
			return true;
	return false;
}

static void man_features(void)
{
	static const char *const used[] = {"", "Needed by every dump.", "For --extra.",
					   "For --experimental."};

	puts(".SH KERNEL FEATURES\nWhat \\fBcriu check\\fR looks at, each of which "
	     "\\fB\\-\\-feature\\fR can name.");
	for (size_t i = 0; i < COUNT(features); i++) {
		printf(".TP\n\\fB");
		roff(features[i].name);
		printf("\\fR\n");
		roff(used[features[i].category]);
		printf("\nWithout it ");
		roff(features[i].missing);
		printf(".\nIt needs ");
		roff(features[i].remedy);
		puts(".");
	}
}

static void man(void)
{
	puts(".SH COMMANDS");
	for (size_t i = 0; i < COUNT(commands); i++) {
		if (!commands[i].is_ready || !*commands[i].help)
			continue;
		printf(".TP\n\\fB");
		roff(commands[i].synopsis);
		printf("\\fR\n%c", toupper(commands[i].help[0]));
		roff(commands[i].help + 1);
		puts(".");
	}
	puts(".SH OPTIONS");
	for (size_t i = 0; i < COUNT(rows); i++)
		if (rows[i].section && has_ready(i))
			printf(".SS %s\n", rows[i].section);
		else if (rows[i].is_ready)
			man_option(&rows[i]);
	man_features();
}

/* Options of which the completion offers file names. */
static bool is_path(const struct row *row)
{
	return strcmp(row->kind, "PATH") == 0 || strcmp(row->kind, "SCAN_PATHS") == 0 ||
	       strcmp(row->argument, "FILE") == 0;
}

static void completion(void)
{
	puts("# bash completion for criu; made from the table of options\n"
	     "_criu() {\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	     "\tcase $prev in");
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *row = &rows[i];

		if (row->section || !row->is_ready || !*row->argument || is_optional(row))
			continue;
		printf("\t--%s", row->name);
		if (row->short_name)
			printf("|-%c", row->short_name);
		if (is_path(row)) {
			puts(") COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o filenames; "
			     "return ;;");
		} else if (strcmp(row->kind, "CHOICE") == 0) {
			printf(") COMPREPLY=($(compgen -W \"");
			for (const char *c = row->values; *c; c++)
				putchar(*c == ',' ? ' ' : *c);
			puts("\" -- \"$cur\")); return ;;");
		} else {
			puts(") return ;;");
		}
	}
	printf("\tesac\n\tcase $cur in\n\t-*) COMPREPLY=($(compgen -W \"");
	for (size_t i = 0; i < COUNT(rows); i++)
		if (!rows[i].section && rows[i].is_ready)
			printf("--%s ", rows[i].name);
	printf("\" -- \"$cur\")) ;;\n\t*) COMPREPLY=($(compgen -W \"");
	for (size_t i = 0; i < COUNT(commands); i++)
		if (commands[i].is_ready && *commands[i].help)
			printf("%s ", commands[i].name);
	puts("\" -- \"$cur\")) ;;\n\tesac\n}\ncomplete -F _criu criu");
}

static void names(void)
{
	for (size_t i = 0; i < COUNT(rows); i++)
		if (!rows[i].section)
			printf("%s\t%c\t%d\t%d\n", rows[i].name, rows[i].short_name ?: '-',
			       rows[i].is_ready, rows[i].has_no_form);
}

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";

	if (strcmp(what, "man") == 0)
		man();
	else if (strcmp(what, "completion") == 0)
		completion();
	else if (strcmp(what, "names") == 0)
		names();
	else
		return fprintf(stderr, "usage: list-options man|completion|names\n"), 2;
	return 0;
}
