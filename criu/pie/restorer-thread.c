// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a thread has of its own: where the kernel finds its lists and areas in memory, its name,
 * seccomp and its credentials.
 *
 * Order: filters while it may still install them without no_new_privs, and while tracing keeps them
 * from being in force; then ids, with securebits that keep capabilities across the change; the
 * inheritable set before the bounding set shrinks (it may hold more than that); ambient
 * capabilities before securebits can forbid them; the final sets last. A change of ids forgets the
 * parent death signal, so that comes after.
 */
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <linux/signal.h>

#include "compel/pie/syscall.h"
#include "pie/restorer.h"

void thread_restore(struct restorer *r)
{
	const struct thread_args *t = r->thread;
	stack_t altstack = {.ss_sp = (void *)t->altstack_sp,
			    .ss_flags = (int)t->altstack_flags,
			    .ss_size = t->altstack_size};

	sys(set_tid_address, t->clear_tid_addr);
	if (t->robust_size)
		must(r, STEP_ROBUST_LIST, sys(set_robust_list, t->robust_head, t->robust_size),
		     t->robust_head);
	if (t->rseq_addr)
		must(r, STEP_RSEQ, sys(rseq, t->rseq_addr, t->rseq_size, 0, t->rseq_signature),
		     t->rseq_addr);
	if (t->has_altstack)
		must(r, STEP_ALTSTACK, sys(sigaltstack, &altstack, 0), t->altstack_sp);
	must(r, STEP_COMM, sys(prctl, PR_SET_NAME, t->comm, 0, 0, 0), 0);
}

static void install_filters(struct restorer *r)
{
	const struct thread_args *t = r->thread;
	const struct seccomp_filter_args *filters = args_at(r, t->filters);

	if (t->no_new_privs)
		must(r, STEP_NO_NEW_PRIVS, sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	if (t->seccomp_mode == SECCOMP_MODE_STRICT)
		must(r, STEP_SECCOMP, sys(seccomp, SECCOMP_SET_MODE_STRICT, 0, 0), 0);
	if (t->seccomp_mode != SECCOMP_MODE_FILTER)
		return;
	for (uint32_t i = 0; i < t->filters.n; i++) {
		struct sock_fprog program = {.len = (unsigned short)filters[i].code.n,
					     .filter = args_at(r, filters[i].code)};
		long ret = sys(seccomp, SECCOMP_SET_MODE_FILTER, filters[i].flags, &program);

		/* Positive: the thread that TSYNC could not take along. */
		must(r, STEP_SECCOMP, ret > 0 ? -3 /* ESRCH */ : ret, i);
	}
}

static long set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(effective >> (32 * i));
		data[i].permitted = (uint32_t)(permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
	}
	return sys(capset, &header, data);
}

static void set_ids(struct restorer *r, const struct creds_args *c)
{
	must(r, STEP_GROUPS, sys(setgroups, c->groups.n, args_at(r, c->groups)), c->groups.n);
	must(r, STEP_GIDS, sys(setresgid, c->gid, c->egid, c->sgid), c->gid);
	must(r, STEP_UIDS, sys(setresuid, c->uid, c->euid, c->suid), c->uid);
	/* These answer the old id whatever happens. */
	sys(setfsgid, c->fsgid);
	sys(setfsuid, c->fsuid);
	if ((uint32_t)sys(setfsgid, -1) != c->fsgid || (uint32_t)sys(setfsuid, -1) != c->fsuid)
		restorer_fail(r, STEP_FSIDS, -1 /* EPERM */, c->fsuid);
}

static void restore_creds(struct restorer *r)
{
	const struct creds_args *c = &r->thread->creds;

	must(r, STEP_SECUREBITS, sys(prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), 0);
	set_ids(r, c);
	must(r, STEP_CAPS, set_caps(c->cap_own, c->cap_own, c->cap_inheritable),
	     c->cap_inheritable);
	for (unsigned int cap = 0; cap < 64; cap++)
		if (c->cap_drop >> cap & 1)
			must(r, STEP_BOUNDING, sys(prctl, PR_CAPBSET_DROP, cap, 0, 0, 0), cap);
	must(r, STEP_AMBIENT, sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), 0);
	for (unsigned int cap = 0; cap < 64; cap++)
		if (c->cap_ambient >> cap & 1)
			must(r, STEP_AMBIENT,
			     sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0), cap);
	must(r, STEP_SECUREBITS, sys(prctl, PR_SET_SECUREBITS, c->securebits, 0, 0, 0),
	     c->securebits);
	must(r, STEP_CAPS, set_caps(c->cap_effective, c->cap_permitted, c->cap_inheritable),
	     c->cap_permitted);
}

void thread_restore_creds(struct restorer *r)
{
	install_filters(r);
	if (r->thread->creds.is_set)
		restore_creds(r);
	/* The leader had the kernel kill it should the tool die; from now on tracing does that. */
	must(r, STEP_PDEATH, sys(prctl, PR_SET_PDEATHSIG, r->thread->pdeath_sig, 0, 0, 0),
	     r->thread->pdeath_sig);
}

/*
 * Each thread for itself: the kernel lets nobody else queue a signal that claims to come from it or
 * from a kill(2). They stay where they are, as all signals are blocked here.
 */
void thread_restore_pending(struct restorer *r)
{
	char(*infos)[ARGS_SIGINFO_SIZE] = args_at(r, r->thread->pending);

	for (uint32_t i = 0; i < r->thread->pending.n; i++)
		must(r, STEP_SIGQUEUE,
		     sys(rt_tgsigqueueinfo, r->args->pid, r->thread->tid, *(int *)infos[i],
			 infos[i]),
		     *(uint32_t *)infos[i]);
}
