// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of commands, and the two commands that older versions had and that only say so: they
 * exit with 255, which scripts may look for.
 */
#include <string.h>

#include "cli/commands.h"
#include "cli/option-table.h"
#include "cr.h"
#include "util/log.h"

static int cmd_removed(struct cr *cr)
{
	log_refuse(cr, -1, "exec, show: these commands were removed; to look into images use crit");
	return 255;
}

const struct command commands[N_COMMANDS] = {
#define COMMAND(word, name_, ready, run_, n_args_, synopsis_, help_) \
	[COMMAND_##word] = {                                         \
		.name = name_,                                       \
		.bit = CMD_##word,                                   \
		.not_ready = area_##ready,                           \
		.run = run_,                                         \
		.n_args = n_args_,                                   \
		.synopsis = synopsis_,                               \
		.help = help_,                                       \
	},
#include "cli/commands.def"
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}
