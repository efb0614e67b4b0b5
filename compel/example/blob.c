// SPDX-License-Identifier: LGPL-2.1-only
/*
 * An example of a blob: two functions for `compel run` and for one's own host program, and a
 * command loop with one command.
 */
#include <errno.h>

#include "compel/pie/print.h"
#include "compel/pie/runtime.h"
#include "compel/pie/string.h"
#include "compel/pie/syscall.h"

/* The process says something on its own standard output. */
compel_entry long greet(uint64_t number)
{
	pie_dprintf(1, "pid %ld was made to say %lu\n", sys(getpid), (unsigned long)number);
	return number;
}

/* Which thread am I? */
compel_entry long which(uint64_t unused)
{
	return sys(gettid);
}

/* Command 1: where is the process? Output: its working directory. */
long compel_command(struct compel_command *command)
{
	long length;

	if (command->command != 1)
		return -ENOSYS;
	length = sys(getcwd, command->args, command->args_size);
	if (length > 0)
		command->out_size = length;
	return length;
}
