/* SPDX-License-Identifier: LGPL-2.1-only */
/* The command's subcommands: each gets what follows its name, name included, and returns the exit
 * status. */
#ifndef COMPEL_CLI_COMMANDS_H
#define COMPEL_CLI_COMMANDS_H

int command_blob(int argc, char **argv);
int command_run(int argc, char **argv);

#endif
