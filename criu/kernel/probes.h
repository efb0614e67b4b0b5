/* SPDX-License-Identifier: GPL-2.0-only */
/* The probes that features.def names: 1 it is there, 0 it is not, -errno if that could not be found
 * out. Private to criu/kernel and to the probes of criu/arch. */
#ifndef CRIU_KERNEL_PROBES_H
#define CRIU_KERNEL_PROBES_H

#include <sys/types.h>

#define FEATURE(id, name, category, probe, without, remedy) int probe(void);
#include "kernel/features.def"
#undef FEATURE

/* 1 if result is not negative; 0 for the errors that mean "the kernel does not know this", other
 * errors as they are. */
int probe_answer(long result);
/* The same of a call that sets errno. */
int probe_errno(long result);
/* Is the file there? */
int probe_path(const char *path);
/* Runs probe in a child process, which may change what it likes of itself. */
int probe_in_child(int (*probe)(void));
/* Runs probe in a child with a mount namespace and an empty filesystem of its own, as working
 * directory. */
int probe_in_mounts(int (*probe)(void));
/* Calls probe with a stopped child that we trace. */
int probe_traced(int (*probe)(pid_t pid));

#endif
