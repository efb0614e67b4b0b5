/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TEST_COMPEL_INJECT_H
#define TEST_COMPEL_INJECT_H

#include <sys/types.h>

enum {
	INJECT_UNSAFE = 1, /* it has no instructions for a way back */
};

/* Stops the process, tries every call of the library on it, cures it, lets it go. Exits the program
 * if anything is wrong. */
void inject_once(pid_t pid, int flags);

#endif
