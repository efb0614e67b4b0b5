/* SPDX-License-Identifier: LGPL-2.1-only */
/* The registers object, and what each architecture says about its own. */
#ifndef COMPEL_LIB_REGS_PRIV_H
#define COMPEL_LIB_REGS_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

enum { ARCH_TLS_ROOM = 64 };

struct compel_regs {
	struct user_regs_struct general;
	uint64_t sigmask;
	void *fpu;
	size_t fpu_size;
	unsigned char tls[ARCH_TLS_ROOM];
	unsigned int nr_tls; /* 0: not read yet */
	size_t tls_size;     /* of one */
};

/* The regset with the whole FPU state, and the one to fall back to where that does not exist (0:
 * none). */
extern const unsigned int compel_arch_regset_fpu, compel_arch_regset_fpu_plain;

/* The general registers; of 32-bit threads as well, in the 64-bit layout where the kernel offers
 * that. */
int compel_arch_general_get(pid_t tid, struct user_regs_struct *ret_regs);
int compel_arch_general_set(pid_t tid, const struct user_regs_struct *regs);

/* Reads the thread-local segments into regs->tls. */
int compel_arch_tls_get(pid_t tid, struct compel_regs *regs);

bool compel_arch_is_compat(const struct user_regs_struct *r);

/* The call that the thread was in when it stopped, or -1; and the call's result so far. */
long compel_arch_syscall_nr(const struct user_regs_struct *r);
long compel_arch_syscall_result(const struct user_regs_struct *r);

/*
 * A call that the kernel has restarted once goes by the number of restart_syscall. Which one it was
 * stands in the code before the instruction, in most programs; then that number is put in its
 * place, with which the kernel restarts just as well.
 */
void compel_arch_syscall_name_restarted(pid_t tid, struct user_regs_struct *r);

/* Makes the thread issue the call it was in again. */
void compel_arch_syscall_reissue(struct user_regs_struct *r);

/* The segments take several calls, and most threads have none. */
int session_regs_get_without_tls(pid_t tid, struct compel_regs **ret_regs);

int session_regs_copy(const struct compel_regs *regs, struct compel_regs **ret_regs);

int session_regs_sigmask_set(pid_t tid, uint64_t mask);

#endif
