// SPDX-License-Identifier: LGPL-2.1-only
/*
 * compel blob: turns a linked blob into C that a program embeds: FILE.c with the bytes and the
 * table of entries, FILE.h beside it with the constants. The header is included by host code only;
 * the blob's sources do not need it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "compel/cli/commands.h"
#include "compel/cli/elf.h"

static void print_identifier(FILE *f, const char *name, bool upper)
{
	for (; *name; name++) {
		int c = (unsigned char)*name;

		fputc(!isalnum(c) ? '_' : upper ? toupper(c) : c, f);
	}
}

static void print_header(FILE *f, const char *name, const struct compel_blob *blob)
{
	fprintf(f, "/* Made by `compel blob`. */\n#pragma once\n#include <compel/blob.h>\n");
	fprintf(f, "extern const struct compel_blob blob_");
	print_identifier(f, name, false);
	fprintf(f, ";\nenum {\n");
	for (size_t i = 0; i < blob->nr_symbols; i++) {
		fprintf(f, "\tBLOB_");
		print_identifier(f, name, true);
		fprintf(f, "_%s = %#llx,\n", blob->symbols[i].name,
			(unsigned long long)blob->symbols[i].offset);
	}
	fprintf(f, "};\n");
}

static void print_source(FILE *f, const char *name, const struct compel_blob *blob)
{
	const unsigned char *image = blob->image;

	fprintf(f, "/* Made by `compel blob`. */\n#include <compel/blob.h>\n");
	fprintf(f, "static const unsigned char image[] __attribute__((aligned(64))) = {");
	for (size_t i = 0; i < blob->image_size; i++)
		fprintf(f, "%s%u,", i % 24 ? "" : "\n", image[i]);
	fprintf(f, "\n};\nstatic const struct compel_symbol symbols[] = {\n");
	for (size_t i = 0; i < blob->nr_symbols; i++)
		fprintf(f, "\t{\"%s\", %#llx},\n", blob->symbols[i].name,
			(unsigned long long)blob->symbols[i].offset);
	fprintf(f, "};\nextern const struct compel_blob blob_");
	print_identifier(f, name, false);
	fprintf(f, ";\nconst struct compel_blob blob_");
	print_identifier(f, name, false);
	fprintf(f, " = {\n\t.name = \"%s\",\n\t.image = image,\n\t.image_size = %zu,\n", name,
		blob->image_size);
	fprintf(f, "\t.memory_size = %zu,\n\t.symbols = symbols,\n\t.nr_symbols = %zu,\n};\n",
		blob->memory_size, blob->nr_symbols);
}

/* The file appears whole or not at all: a half-written one would look up to date to make. */
static int write_file(const char *path, const char *name, const struct compel_blob *blob,
		      void (*print)(FILE *, const char *, const struct compel_blob *))
{
	_cleanup_free_ char *draft = NULL;
	bool failed;
	FILE *f;

	if (asprintf(&draft, "%s.tmp", path) < 0) {
		draft = NULL;
		return -1;
	}
	f = fopen(draft, "we");
	if (!f) {
		fprintf(stderr, "compel: %s: %s\n", draft, strerror(errno));
		return -1;
	}
	print(f, name, blob);
	failed = ferror(f);
	if (fclose(f) != 0 || failed || rename(draft, path) < 0) {
		fprintf(stderr, "compel: %s: cannot be written\n", path);
		unlink(draft);
		return -1;
	}
	return 0;
}

static char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = strdup(slash ? slash + 1 : path);
	char *dot = name ? strchr(name, '.') : NULL;

	if (dot)
		*dot = 0;
	return name;
}

int command_blob(int argc, char **argv)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_free_ char *header = NULL;
	const char *out = NULL;
	struct elf_blob elf;
	int option, ret;

	while ((option = getopt(argc, argv, "n:o:")) != -1) {
		if (option == 'o') {
			out = optarg;
		} else if (option == 'n') {
			free(name);
			name = strdup(optarg);
		} else {
			return 2;
		}
	}
	if (optind + 1 != argc || !out || strlen(out) < 3 ||
	    strcmp(out + strlen(out) - 2, ".c") != 0) {
		fprintf(stderr, "usage: compel blob [-n NAME] -o FILE.c BLOB.elf\n");
		return 2;
	}
	if (!name)
		name = name_of(argv[optind]);
	header = strdup(out);
	if (!name || !header || elf_blob_read(argv[optind], &elf) < 0)
		return 1;

	header[strlen(header) - 1] = 'h';
	ret = write_file(out, name, &elf.blob, print_source) < 0 ||
	      write_file(header, name, &elf.blob, print_header) < 0;
	elf_blob_free(&elf);
	return ret;
}
