// SPDX-License-Identifier: LGPL-2.1-only
/*
 * The compel command: what a build needs to make blobs of one's own (flags, the linked file turned
 * into C), and `run`, which shows the library at work: it runs one function of a blob in a process.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/cli/commands.h"

/* Given by compel/files.mk, the same that the tree's own blobs are built with. */
static const char pie_cflags[] = COMPEL_PIE_CFLAGS;
static const char pie_ldflags[] = COMPEL_PIE_LDFLAGS;

/*
 * This program lies in PREFIX/bin, or in TREE/build/bin where it was built. *ret_tree is set in the
 * second case; root is PREFIX or TREE.
 */
static int find_root(char root[PATH_MAX], int *ret_is_tree)
{
	char probe[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", root, PATH_MAX - 1);

	if (n < 0)
		return -1;
	root[n] = 0;
	for (int up = 0; up < 3; up++) {
		char *slash = strrchr(root, '/');

		if (!slash)
			break;
		*slash = 0;
		if (up == 0)
			continue;
		snprintf(probe, sizeof(probe), "%s/compel/pie/runtime.h", root);
		*ret_is_tree = access(probe, R_OK) == 0;
		snprintf(probe, sizeof(probe), "%s/include/compel/compel.h", root);
		if (*ret_is_tree || access(probe, R_OK) == 0)
			return 0;
	}
	return -1;
}

static int command_flags(int argc, char **argv)
{
	char root[PATH_MAX];
	int is_tree = 0;

	if (find_root(root, &is_tree) < 0) {
		fprintf(stderr,
			"compel: neither headers beside this program nor its source tree\n");
		return 1;
	}
	if (strcmp(argv[0], "includes") == 0)
		printf(is_tree ? "-I%s -I%s/compel/include\n" : "-I%s/include\n", root, root);
	else if (strcmp(argv[0], "cflags") == 0)
		printf("%s\n", pie_cflags);
	else if (strcmp(argv[0], "ldflags") == 0)
		printf("%s -u compel_serve -T %s/%s/blob.lds\n", pie_ldflags, root,
		       is_tree ? COMPEL_ARCH_PIE : "lib/compel");
	else
		printf("%s/%s/%s\n", root, is_tree ? "build/lib" : "lib",
		       strcmp(argv[0], "libs") == 0 ? "libcompel.a" : "libcompel-pie.a");
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"includes", command_flags, "flags of the C compiler to find the headers (host and blob)"},
	{"cflags", command_flags, "flags of the C compiler to compile a blob's sources"},
	{"ldflags", command_flags, "flags of the linker (ld) to link a blob"},
	{"runtime", command_flags, "library to link into a blob, after its objects"},
	{"libs", command_flags, "library to link into the program that injects"},
	{"blob", command_blob, "[-n NAME] -o FILE.c BLOB.elf: make C source and header of a blob"},
	{"run", command_run,
	 "-p PID [-t] [-v] BLOB.elf FUNCTION [ARG]: run a function in a process"},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "usage: compel COMMAND ...\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(stderr, "  %-9s %s\n", commands[i].name, commands[i].help);
	return argc > 1 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
}
