/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Restore: registers of threads that are traced, stopped, and asleep in the restorer blob. Each
 * architecture defines these in its own registers-restore.c.
 */
#ifndef CRIU_ARCH_REGISTERS_H
#define CRIU_ARCH_REGISTERS_H

#include <stdint.h>
#include <sys/types.h>

struct cr;
struct thread;
struct task_args;

/* In the coordinator, once: what this CPU has. 0 or -errno, logged. */
int registers_prepare(struct cr *cr);
void registers_release(struct cr *cr);

/* Leaves this process for the blob: its entry, with args, on the stack that ends at stack. */
void registers_enter_blob(uint64_t entry, uint64_t stack, uint64_t args) __attribute__((noreturn));

/*
 * Makes a thread that sleeps in a system call of the blob issue another one with the same
 * instruction; it is to be resumed to its exit, then registers_call_result() is what came of it. 0
 * or -errno, unlogged.
 */
int registers_call(pid_t host_tid, long nr, const uint64_t args[6]);
int registers_call_result(pid_t host_tid, long *ret);

/* General registers, FPU and segments as the image has them. 0 or -errno, logged. */
int registers_restore(struct cr *cr, const struct thread *thread);

#endif
