/* SPDX-License-Identifier: GPL-2.0-only */
/* What --help says, made from the tables of commands and options. */
#ifndef CRIU_CLI_HELP_H
#define CRIU_CLI_HELP_H

#include <stdio.h>

#define CRIU_VERSION "4.2"

/* How commands are called. */
void help_print_usage(FILE *out);
/* The same, and all options. */
void help_print(FILE *out);

#endif
