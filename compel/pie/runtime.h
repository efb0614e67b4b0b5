/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The runtime that is linked into each blob with a command loop (those whose recipe does not say
 * otherwise). The blob supplies compel_command(); the rest serves it. Code in a blob runs with all
 * signals blocked, with no libc, and compiled so that it does not use FPU registers.
 */
#ifndef COMPEL_PIE_RUNTIME_H
#define COMPEL_PIE_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compel/pie/entry.h"

enum { COMPEL_COMMAND_FDS_MAX = 64 };

struct compel_command {
	uint32_t command;
	void *args;                      /* the argument area: input, and room for the output */
	size_t args_size;                /* all of it */
	size_t in_size;                  /* bytes of input the host put there */
	size_t out_size;                 /* set this to the bytes of output */
	int fds[COMPEL_COMMAND_FDS_MAX]; /* received; closed before the answer, unless nr_fds is set
					    to 0 */
	unsigned int nr_fds;
	int send_fds[COMPEL_COMMAND_FDS_MAX]; /* to be sent with the answer; not one of fds:
						 duplicate it */
	unsigned int nr_send_fds;
	bool close_sent; /* close send_fds then: they were opened only for this */
};

/* Supplied by the blob. Returns what compel_rpc() returns: 0 or positive, or negative errno. */
long compel_command(struct compel_command *command);

#endif
