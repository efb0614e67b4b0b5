// SPDX-License-Identifier: LGPL-2.1-only
/*
 * A session's beginning and end, and system calls in the process. Looking around (mappings,
 * instructions, stack pages) is done once at the beginning; the caller keeps the process stopped,
 * so it stays true.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "compel/lib/session-priv.h"

DEFINE_CLEANUP(struct compel_session *, compel_session_free)

static int look_around(struct compel_session *s)
{
	int err = session_maps_read(s->pid, &s->maps);

	if (err < 0)
		return session_say(s, COMPEL_ERROR, err, "read its mappings");
	if (!session_gadgets_try(s->pid, &s->maps, s->options.hint, &s->gadgets))
		session_gadgets_find(s->pid, &s->maps, &s->gadgets);
	if (!s->gadgets.syscall)
		return session_say(s, COMPEL_ERROR, -ENOTSUP,
				   "has no system call instruction anywhere");
	if (compel_arch_has_shadow_stack(s->main_tid))
		return session_say(s, COMPEL_ERROR, -ENOTSUP, "has a shadow stack");
	s->fpu_limit = compel_arch_fpu_limit();
	session_maps_find_untouched_stack(s->pid, &s->maps, &s->pool, &s->pool_end);
	s->is_safe = gadgets_are_complete(&s->gadgets);
	if (!s->is_safe) {
		session_say(s, COMPEL_WARN, 0,
			    "its code has no `syscall; ret`: not safe should we be killed");
		/* A chain of half of them is none. */
		s->gadgets.syscall_ret = s->gadgets.restorer = s->gadgets.pop_number = 0;
	}
	return s->is_safe || !s->options.refuse_unsafe ? 0 : -ENOTSUP;
}

int compel_session_new(pid_t pid, const struct compel_options *options,
		       struct compel_session **ret_session)
{
	_cleanup_(compel_session_free_at) struct compel_session *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->pid = pid;
	s->sock = -1;
	if (options)
		s->options = *options;
	s->main_tid = s->options.main_tid ? s->options.main_tid : pid;
	s->pidfd = syscall(__NR_pidfd_open, pid, 0);
	if (s->pidfd < 0)
		return session_say(s, COMPEL_ERROR, -errno, "open a pidfd");
	err = look_around(s);
	s->options.hint = NULL; /* is the caller's */
	if (err < 0)
		return err;

	*ret_session = TAKE_PTR(s);
	return 0;
}

void compel_session_hint(const struct compel_session *s, struct compel_hint *ret_hint)
{
	const struct gadgets *g = &s->gadgets;

	*ret_hint = (struct compel_hint){{g->syscall, g->syscall_ret, g->restorer, g->pop_number}};
}

void compel_session_free(struct compel_session *s)
{
	if (!s)
		return;
	compel_cure(s);
	for (size_t i = 0; i < s->nr_threads; i++)
		session_thread_free(s->threads[i]);
	free(s->threads);
	free(s->maps.vmas);
	if (s->pidfd >= 0)
		close(s->pidfd);
	free(s);
}

bool compel_session_is_kill_safe(const struct compel_session *s)
{
	return s->is_safe;
}

struct compel_regs *compel_session_regs(struct compel_session *s, pid_t tid)
{
	struct thread *t = session_thread_find(s, tid);

	if (!t)
		return NULL;
	if (!t->regs->nr_tls && t->state != THREAD_RUNNING)
		compel_arch_tls_get(tid, t->regs);
	return t->regs;
}

int compel_syscall(struct compel_session *s, pid_t tid, long nr, const uint64_t args[6], long *ret)
{
	uint64_t link;
	struct thread *t = NULL;
	int err;

	if (tid == s->main_tid) {
		err = session_main_stop(s);
		if (err < 0)
			return err;
	}
	err = session_thread_hijack(s, tid, tid == s->main_tid ? s->options.main_regs : NULL, &t);
	if (err < 0)
		return err;
	link = session_thread_is_main(s, t) && s->area.size ? s->area.leave_link : t->final_link;
	err = session_thread_syscall(s, t, nr, args, compel_arch_link_entry(link, &s->gadgets),
				     ret);
	/* Without the return instruction, what comes after the call is not ours to run. */
	if (session_thread_rest(s, t) < 0 && err == 0)
		err = -ESRCH;
	return err;
}

/* Frees what session_thread_hijack() made. */
static void forget_thread(struct compel_session *s, struct thread *t)
{
	size_t i = session_thread_index(s, t->tid);

	/* The array's length decides when it grows; the hole is closed by the last ones moving up.
	 */
	for (; i + 1 < s->nr_threads; i++)
		s->threads[i] = s->threads[i + 1];
	s->nr_threads--;
	session_thread_free(t);
}

int compel_cure_thread(struct compel_session *s, pid_t tid)
{
	struct thread *t = session_thread_find(s, tid);
	int err;

	if (!t)
		return 0;
	if (session_thread_is_main(s, t) && s->area.size)
		return session_say(s, COMPEL_ERROR, -EBUSY,
				   "thread %d: cure it while a blob is loaded", tid);
	err = session_thread_cure(s, t);
	forget_thread(s, t);
	return err;
}

int compel_cure_threads(struct compel_session *s, const struct compel_thread_call *calls,
			unsigned int count)
{
	int first = 0;

	/* The last ones first, whose places in the ordered array cost least to close. */
	for (unsigned int i = count; i-- > 0;) {
		int err = compel_cure_thread(s, calls[i].tid);

		first = first ? first : err;
	}
	return first;
}

int compel_cure(struct compel_session *s)
{
	struct thread *main;
	int first = 0, err;

	for (size_t i = s->nr_threads; i-- > 0;) {
		struct thread *t = s->threads[i];

		if (session_thread_is_main(s, t))
			continue;
		err = session_thread_cure(s, t);
		forget_thread(s, t);
		if (err < 0 && first == 0)
			first = err;
	}
	/* It goes last: what the others stood on is its to take away. */
	main = session_thread_find(s, s->main_tid);
	if (main) {
		err = session_area_unload(s);
		if (first == 0)
			first = err;
		err = session_thread_cure(s, main);
		forget_thread(s, main);
		if (first == 0)
			first = err;
	}
	if (s->sock >= 0)
		close(s->sock);
	s->sock = -1;
	return first;
}
