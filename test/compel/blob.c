// SPDX-License-Identifier: GPL-2.0-only
/* The blob of the tests: calls that say who ran them, commands that move bytes and descriptors, and
 * one that faults. */
#include <errno.h>
#include <fcntl.h>

#include "compel/pie/runtime.h"
#include "compel/pie/string.h"
#include "compel/pie/syscall.h"

compel_entry long test_tid(uint64_t add)
{
	return sys(gettid) + add;
}

/* arg: address of a uint64_t that the thread fills with a few calls' results. */
compel_entry long test_facts(uint64_t arg)
{
	uint64_t *facts = (uint64_t *)arg;

	facts[0] = sys(gettid);
	facts[1] = sys(getuid);
	facts[2] = sys(getpriority, 0, 0);
	facts[3] = sys(sched_getscheduler, 0);
	return 0;
}

compel_entry long test_fault(uint64_t arg)
{
	return *(volatile long *)arg;
}

/* 1: the input upside down. 2: takes a descriptor, gives two: its duplicate and /dev/null; closes
 * all three. */
long compel_command(struct compel_command *c)
{
	unsigned char *bytes = c->args;

	if (c->command == 1) {
		for (size_t i = 0; i < c->in_size; i++)
			bytes[i] = ~bytes[i];
		c->out_size = c->in_size;
		return c->in_size;
	}
	if (c->command == 2 && c->nr_fds == 1) {
		c->send_fds[0] = sys(dup, c->fds[0]);
		c->send_fds[1] = sys(openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
		c->nr_send_fds = 2;
		c->close_sent = true;
		return 0;
	}
	return -ENOSYS;
}
