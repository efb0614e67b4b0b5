// SPDX-License-Identifier: LGPL-2.1-only
/*
 * Registers of a stopped thread. The FPU regset has no fixed size (it grows with the CPU's
 * features), so it is read into room that is made larger until it does not fill up. Written back in
 * an order that matters only to compel's own use: the signal mask last, so that no signal finds
 * half-set registers if this process dies in between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "compel/base/cleanup.h"
#include "compel/lib/regs-priv.h"
#include "compel/regs.h"

/* The kernel's own numbers, which it does not export. */
enum { RESTARTSYS = 512, RESTARTNOINTR = 513, RESTARTNOHAND = 514, RESTART_RESTARTBLOCK = 516 };

enum { FPU_USUAL_SIZE = 4096, FPU_LARGEST_SIZE = 1 << 20 };

DEFINE_CLEANUP(struct compel_regs *, compel_regs_free)

static int regset(long request, pid_t tid, unsigned int set, void *buffer, size_t *size)
{
	struct iovec iov = {buffer, *size};

	if (ptrace(request, tid, (void *)(uintptr_t)set, &iov) < 0)
		return -errno;
	*size = iov.iov_len;
	return 0;
}

/* Returns 1 when the room was too small for all of it. */
static int fpu_get_into(pid_t tid, unsigned int set, struct compel_regs *regs, char *room,
			size_t size)
{
	size_t got = size;
	int err = regset(PTRACE_GETREGSET, tid, set, room, &got);

	if (err < 0)
		return err;
	if (got == size)
		return 1;
	regs->fpu = malloc(got);
	if (!regs->fpu)
		return -ENOMEM;
	memcpy(regs->fpu, room, got);
	regs->fpu_size = got;
	return 0;
}

static int fpu_get(pid_t tid, unsigned int set, struct compel_regs *regs)
{
	_cleanup_free_ char *large = NULL;
	char usual[FPU_USUAL_SIZE];
	int err = fpu_get_into(tid, set, regs, usual, sizeof(usual));

	if (err <= 0)
		return err;
	large = malloc(FPU_LARGEST_SIZE);
	if (!large)
		return -ENOMEM;
	err = fpu_get_into(tid, set, regs, large, FPU_LARGEST_SIZE);
	return err <= 0 ? err : -EOVERFLOW;
}

int session_regs_sigmask_set(pid_t tid, uint64_t mask)
{
	return ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask) < 0 ? -errno : 0;
}

int session_regs_get_without_tls(pid_t tid, struct compel_regs **ret_regs)
{
	_cleanup_(compel_regs_free_at) struct compel_regs *regs = calloc(1, sizeof(*regs));
	int err;

	if (!regs)
		return -ENOMEM;
	err = compel_arch_general_get(tid, &regs->general);
	if (err < 0)
		return err;
	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(regs->sigmask), &regs->sigmask) < 0)
		return -errno;
	err = fpu_get(tid, compel_arch_regset_fpu, regs);
	if (err < 0 && err != -ESRCH && compel_arch_regset_fpu_plain)
		err = fpu_get(tid, compel_arch_regset_fpu_plain, regs);
	if (err < 0)
		return err;
	if (compel_regs_restart(regs, NULL) == RESTART_RESTARTBLOCK)
		compel_arch_syscall_name_restarted(tid, &regs->general);

	*ret_regs = TAKE_PTR(regs);
	return 0;
}

int session_regs_copy(const struct compel_regs *regs, struct compel_regs **ret_regs)
{
	_cleanup_(compel_regs_free_at) struct compel_regs *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = *regs;
	copy->fpu = malloc(regs->fpu_size);
	if (!copy->fpu)
		return -ENOMEM;
	memcpy(copy->fpu, regs->fpu, regs->fpu_size);
	*ret_regs = TAKE_PTR(copy);
	return 0;
}

int compel_regs_get(pid_t tid, struct compel_regs **ret_regs)
{
	_cleanup_(compel_regs_free_at) struct compel_regs *regs = NULL;
	int err = session_regs_get_without_tls(tid, &regs);

	if (err == 0)
		err = compel_arch_tls_get(tid, regs);
	if (err < 0)
		return err;
	*ret_regs = TAKE_PTR(regs);
	return 0;
}

int compel_regs_set(pid_t tid, const struct compel_regs *regs)
{
	size_t size = regs->fpu_size;
	int err = compel_arch_general_set(tid, &regs->general);

	if (err < 0)
		return err;
	err = regset(PTRACE_SETREGSET, tid, compel_arch_regset_fpu, regs->fpu, &size);
	if (err < 0 && err != -ESRCH && compel_arch_regset_fpu_plain) {
		size = regs->fpu_size;
		err = regset(PTRACE_SETREGSET, tid, compel_arch_regset_fpu_plain, regs->fpu, &size);
	}
	if (err < 0)
		return err;
	return session_regs_sigmask_set(tid, regs->sigmask);
}

void compel_regs_free(struct compel_regs *regs)
{
	if (regs)
		free(regs->fpu);
	free(regs);
}

struct user_regs_struct *compel_regs_general(struct compel_regs *regs)
{
	return &regs->general;
}

void *compel_regs_fpu(struct compel_regs *regs, size_t *ret_size)
{
	*ret_size = regs->fpu_size;
	return regs->fpu;
}

uint64_t compel_regs_sigmask(const struct compel_regs *regs)
{
	return regs->sigmask;
}

const void *compel_regs_tls(const struct compel_regs *regs, unsigned int *ret_count,
			    size_t *ret_size)
{
	*ret_count = regs->nr_tls;
	*ret_size = regs->tls_size;
	return regs->tls;
}

bool compel_regs_is_compat(const struct compel_regs *regs)
{
	return compel_arch_is_compat(&regs->general);
}

int compel_regs_restart(const struct compel_regs *regs, long *ret_nr)
{
	long nr = compel_arch_syscall_nr(&regs->general);
	long result = -compel_arch_syscall_result(&regs->general);

	if (nr < 0 || (result != RESTARTSYS && result != RESTARTNOINTR && result != RESTARTNOHAND &&
		       result != RESTART_RESTARTBLOCK))
		return 0;
	if (ret_nr)
		*ret_nr = nr;
	return result;
}

void compel_regs_reissue(struct compel_regs *regs)
{
	if (compel_regs_restart(regs, NULL))
		compel_arch_syscall_reissue(&regs->general);
}
