// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dump parasite: asks the kernel what only the process itself is told (pie/parasite-args.h),
 * and changes nothing. One command for the process, one function for each further thread. The first
 * call that fails ends it, and says which it was.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/time.h>

#include "compel/pie/entry.h"
#include "compel/pie/runtime.h"
#include "compel/pie/string.h"
#include "compel/pie/syscall.h"
#include "pie/parasite-args.h"

/* Kernel 6.3; not in the headers of all distributions. */
#define MEMBARRIER_GET_REGISTRATIONS (1 << 9)

#define N_PKEYS   16
#define PAGE_SIZE 4096
/* Where no process has a mapping. */
#define KERNEL_ADDRESS 0xffff800000000000

static long ask_thread(struct parasite_thread_facts *facts, int32_t *step)
{
	stack_t stack = {0};
	void *address = NULL;
	int signo = 0;
	long ret;

	*step = PARASITE_STEP_TID_ADDRESS;
	ret = sys(prctl, PR_GET_TID_ADDRESS, &address, 0, 0, 0);
	if (ret < 0)
		return ret;
	facts->tid_address = (uint64_t)address;

	*step = PARASITE_STEP_ALTSTACK;
	ret = sys(sigaltstack, NULL, &stack);
	if (ret < 0)
		return ret;
	facts->altstack_sp = (uint64_t)stack.ss_sp;
	facts->altstack_size = stack.ss_size;
	/* Whether it is in use now goes by the stack pointer, which is the blob's. */
	facts->altstack_flags = (uint32_t)stack.ss_flags & ~SS_ONSTACK;

	*step = PARASITE_STEP_PDEATH_SIG;
	ret = sys(prctl, PR_GET_PDEATHSIG, &signo, 0, 0, 0);
	if (ret < 0)
		return ret;
	facts->pdeath_sig = (uint32_t)signo;

	*step = PARASITE_STEP_SECUREBITS;
	ret = sys(prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
	if (ret < 0)
		return ret;
	facts->securebits = (uint32_t)ret;
	return 0;
}

static long ask_process(struct parasite_task_args *args)
{
	int subreaper = 0;
	long ret;

	args->brk = (uint64_t)sys(brk, 0);

	args->step = PARASITE_STEP_DUMPABLE;
	ret = sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	if (ret < 0)
		return ret;
	args->dumpable = (int32_t)ret;

	args->step = PARASITE_STEP_THP;
	ret = sys(prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
	if (ret < 0)
		return ret;
	args->thp_disabled = (int32_t)ret;

	args->step = PARASITE_STEP_SUBREAPER;
	ret = sys(prctl, PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
	if (ret < 0)
		return ret;
	args->child_subreaper = subreaper;

	if (args->has_membarrier) {
		args->step = PARASITE_STEP_MEMBARRIER;
		ret = sys(membarrier, MEMBARRIER_GET_REGISTRATIONS, 0, 0);
		if (ret < 0)
			return ret;
		args->membarrier_registrations = (uint32_t)ret;
	}
	return 0;
}

/*
 * Which keys are allocated is written nowhere. A change of protection is refused for the key
 * (EINVAL) before it is for the address (ENOMEM), so one that must fail tells, and nothing is
 * changed: unlike pkey_alloc(2), which would take a key and open it for this thread.
 */
static long ask_pkeys(struct parasite_task_args *args)
{
	args->step = PARASITE_STEP_PKEYS;
	for (int key = 1; key < N_PKEYS; key++) {
		long ret = sys(pkey_mprotect, KERNEL_ADDRESS, PAGE_SIZE, 0, key);

		if (ret == -ENOMEM)
			args->pkeys |= 1u << key;
		else if (ret != -EINVAL)
			return ret < 0 ? ret : -EPROTO;
	}
	return 0;
}

static long ask_signals(struct parasite_task_args *args)
{
	long ret;

	args->step = PARASITE_STEP_SIGACTION;
	for (int signo = 1; signo <= PARASITE_N_SIGNALS; signo++) {
		ret = sys(rt_sigaction, signo, NULL, &args->actions[signo - 1], sizeof(uint64_t));
		if (ret < 0)
			return ret;
	}
	return 0;
}

static long ask_timers(struct parasite_task_args *args)
{
	/* struct itimerval and struct itimerspec have the kernel's layout: four words, as ours. */
	struct {
		int64_t words[4];
	} value;
	long ret;

	args->step = PARASITE_STEP_ITIMER;
	for (int which = 0; which < 3; which++) {
		ret = sys(getitimer, which, &args->itimers[which]);
		if (ret < 0)
			return ret;
	}
	args->step = PARASITE_STEP_POSIX_TIMER;
	for (uint32_t i = 0; i < args->n_timers; i++) {
		struct parasite_posix_timer *timer = &args->timers[i];

		ret = sys(timer_gettime, timer->id, &value);
		if (ret < 0)
			return ret;
		memcpy(&timer->interval_sec, &value, sizeof(value));
		ret = sys(timer_getoverrun, timer->id);
		if (ret < 0)
			return ret;
		timer->overrun = (int32_t)ret;
	}
	return 0;
}

/* In a thread other than the one of the command loop. arg: its struct parasite_thread_args. */
compel_entry long parasite_thread(uint64_t arg)
{
	struct parasite_thread_args *args = (struct parasite_thread_args *)arg;

	args->err = (int32_t)ask_thread(&args->facts, &args->step);
	return 0;
}

long compel_command(struct compel_command *command)
{
	struct parasite_task_args *args = command->args;
	long ret;

	if (command->command != PARASITE_TASK)
		return -ENOSYS;
	ret = ask_thread(&args->leader, &args->step);
	if (ret >= 0)
		ret = ask_process(args);
	if (ret >= 0)
		ret = ask_signals(args);
	if (ret >= 0 && args->has_pkeys)
		ret = ask_pkeys(args);
	if (ret >= 0)
		ret = ask_timers(args);
	args->err = ret < 0 ? (int32_t)ret : 0;
	command->out_size = sizeof(*args) + args->n_timers * sizeof(args->timers[0]);
	return 0;
}
