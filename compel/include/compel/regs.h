/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What a stopped thread has in its registers, as the kernel gives it: general registers, the whole
 * FPU state (on x86 the NT_X86_XSTATE regset, of whatever size this CPU needs: SSE, AVX, AVX-512,
 * PKRU, AMX), the thread-local segments and the signal mask. The buffers are the object's own and
 * live as long as it does.
 */
#ifndef COMPEL_REGS_H
#define COMPEL_REGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct compel_regs;

/* Reads all of it from a stopped thread. Returns 0 with a new object in *ret_regs, or negative
 * errno (-ENOMEM, -ESRCH). */
int compel_regs_get(pid_t tid, struct compel_regs **ret_regs);

/* Writes general registers, FPU state and signal mask back (in this order). Returns 0 or negative
 * errno. */
int compel_regs_set(pid_t tid, const struct compel_regs *regs);

/* regs may be NULL. */
void compel_regs_free(struct compel_regs *regs);

/* The general registers, as <sys/user.h> has them for this architecture. */
struct user_regs_struct *compel_regs_general(struct compel_regs *regs);

/*
 * The FPU state and its size in bytes. x86: the standard (not compacted) XSAVE image: 512 bytes of
 * FXSAVE area, of which bytes 464..471 are the features the kernel enabled (XCR0), 64 bytes of
 * header starting with XSTATE_BV, then components at the offsets that CPUID 0xd gives.
 */
void *compel_regs_fpu(struct compel_regs *regs, size_t *ret_size);

/* The signal mask (bit 0 is signal 1); what it will be after a call like sigsuspend or ppoll that
 * it may be in. */
uint64_t compel_regs_sigmask(const struct compel_regs *regs);

/* Thread-local segments: count of slots, each of size bytes. x86: 3 of struct user_desc, GDT
 * entries 12, 13, 14. */
const void *compel_regs_tls(const struct compel_regs *regs, unsigned int *ret_count,
			    size_t *ret_size);

/* Whether the thread runs 32-bit code (whose system calls and frames are others; a session refuses
 * it). */
bool compel_regs_is_compat(const struct compel_regs *regs);

/*
 * The system call that the stop interrupted and that the kernel will restart when the thread goes
 * on. Returns 0 when there is none, else ERESTARTSYS 512, ERESTARTNOINTR 513, ERESTARTNOHAND 514 or
 * ERESTART_RESTARTBLOCK 516, with the call's number in *ret_nr (may be NULL). 516 means that the
 * kernel keeps what remains (nanosleep, futex, poll with a timeout) in a place that no one can
 * read: only the thread itself can go on with it.
 */
int compel_regs_restart(const struct compel_regs *regs, long *ret_nr);

/*
 * Changes the general registers so that an interrupted system call is issued again from its start
 * by whoever runs with them, without help from the kernel's restart. No change where
 * compel_regs_restart() is 0.
 */
void compel_regs_reissue(struct compel_regs *regs);

#endif
