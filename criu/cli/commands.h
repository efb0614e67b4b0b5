/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The commands: what follows "criu" on the command line. The table is commands.def; each command
 * that works has a file cmd-<name>.c with one function.
 */
#ifndef CRIU_CLI_COMMANDS_H
#define CRIU_CLI_COMMANDS_H

#include <stddef.h>

struct cr;

enum command_index {
#define COMMAND(word, ...) COMMAND_##word,
#include "cli/commands.def"
	N_COMMANDS
};

enum command_bit {
#define COMMAND(word, ...) CMD_##word = 1 << COMMAND_##word,
#include "cli/commands.def"
};

#define CMD_ALL     ((1u << N_COMMANDS) - 1)
#define CMD_DAEMONS (CMD_PAGE_SERVER | CMD_SERVICE | CMD_LAZY_PAGES)
#define CMD_PAGES   (CMD_DUMP | CMD_PRE_DUMP | CMD_PAGE_SERVER | CMD_LAZY_PAGES)

struct command {
	const char *name;
	unsigned int bit;      /* CMD_x */
	const char *not_ready; /* why it is refused; NULL if it works */
	/* Exit status, or -errno after it was logged. */
	int (*run)(struct cr *cr);
	int n_args; /* at most, after the name; -1 for any number */
	const char *synopsis;
	const char *help; /* "" if not for users */
};

extern const struct command commands[N_COMMANDS];

/* NULL if there is none of that name. */
const struct command *command_find(const char *name);

int cmd_dump(struct cr *cr);
int cmd_restore(struct cr *cr);
int cmd_release(struct cr *cr);
int cmd_check(struct cr *cr);
int cmd_recover(struct cr *cr);
int cmd_plugin(struct cr *cr);

#endif
