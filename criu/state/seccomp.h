/* SPDX-License-Identifier: GPL-2.0-only */
/* seccomp.img: the filters of all threads in one list (seccomp.c). */
#ifndef CRIU_STATE_SECCOMP_H
#define CRIU_STATE_SECCOMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cr;
struct task;
struct SeccompEntry;

/*
 * Appends the chains of all threads of a task to the list and gives each thread the index of its
 * oldest filter; for a task whose threads all have the same chain, only that of the leader, marked
 * to hold for all.
 */
void seccomp_add_task(struct SeccompEntry *entry, struct task *task);

/* Dump, before the thread parts: numbers the filters of the tree and writes seccomp.img. 0 or
 * -errno, logged. */
int seccomp_dump_image(struct cr *cr);

/* Restore, before the thread parts: reads seccomp.img, which may be missing. 0 or -errno, logged.
 */
int seccomp_load_image(struct cr *cr);

#endif
