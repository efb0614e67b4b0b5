// SPDX-License-Identifier: LGPL-2.1-only
/*
 * One thread's registers, taken away and given back. The order of steps is the whole point here, as
 * this process may be killed between any two, upon which the kernel lets the thread run with what
 * it has then:
 *
 *  hijack: the way back is written into dead memory; then registers that go there; only then are
 * signals blocked, since registers of its own would leave them blocked for ever, and the way back
 * has the original mask in it. cure:   the same backwards; the dead memory last.
 *
 * Between, registers are only set to what ends in the way back. A system call that the stop
 * interrupted is kept by the kernel in orig_ax and its restart block: put back with the original
 * registers, it goes on as if nothing had happened. The emergency way, a signal frame, cannot do
 * that; it has the call issued again.
 */
#include <errno.h>
#include <linux/rseq.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "compel/lib/session-priv.h"
#include "compel/ptrace.h"

/* From the kernel's <linux/ptrace.h>, which clashes with libc's; libc has this one only of late. */
#define GET_RSEQ_CONFIGURATION ((enum __ptrace_request)0x420f)

enum { POOL_HANDLER_ROOM = 2 * PAGE };

static const uint64_t all_signals = ~0ULL;

DEFINE_CLEANUP(struct thread *, session_thread_free)

void session_thread_free(struct thread *t)
{
	if (!t)
		return;
	compel_regs_free(t->regs);
	free(t->dead.saved);
	free(t);
}

bool session_thread_is_main(const struct compel_session *s, const struct thread *t)
{
	return t->tid == s->main_tid;
}

size_t session_thread_index(const struct compel_session *s, pid_t tid)
{
	size_t low = 0, high = s->nr_threads;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->threads[middle]->tid < tid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct thread *session_thread_find(const struct compel_session *s, pid_t tid)
{
	size_t i = session_thread_index(s, tid);

	return i < s->nr_threads && s->threads[i]->tid == tid ? s->threads[i] : NULL;
}

static int thread_add(struct compel_session *s, struct thread *t)
{
	size_t i = session_thread_index(s, t->tid);

	if (is_power_of_two(s->nr_threads) || !s->nr_threads) {
		struct thread **larger =
			realloc(s->threads, MAX(s->nr_threads * 2, (size_t)1) * sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		s->threads = larger;
	}
	memmove(&s->threads[i + 1], &s->threads[i], (s->nr_threads - i) * sizeof(*s->threads));
	s->threads[i] = t;
	s->nr_threads++;
	return 0;
}

/*
 * A thread stopped inside a restartable sequence has been preempted, so the kernel would send it to
 * the sequence's abort handler; it looks only when the thread runs, and then with our registers. So
 * it is done here.
 */
static void abort_rseq(struct compel_session *s, struct thread *t)
{
	struct {
		uint64_t pointer;
		uint32_t size, signature, flags, pad;
	} where = {0};
	struct rseq_cs cs;
	uint64_t at = 0;

	if (compel_arch_syscall_nr(&t->regs->general) >= 0 ||
	    ptrace(GET_RSEQ_CONFIGURATION, t->tid, sizeof(where), &where) < 0 || !where.pointer ||
	    session_memory_read(s->pid, where.pointer + offsetof(struct rseq, rseq_cs), &at,
				sizeof(at)) < 0 ||
	    !at || session_memory_read(s->pid, at, &cs, sizeof(cs)) < 0)
		return;
	if (compel_arch_ip(&t->regs->general) - cs.start_ip < cs.post_commit_offset)
		compel_arch_set_ip(&t->regs->general, cs.abort_ip);
}

/*
 * If we are killed while signals are not yet, or no longer, blocked, a handler may run before the
 * way back does, and build its frame below it: each gets room for that. The main thread goes to the
 * top, where there is most.
 */
static bool take_from_pool(struct compel_session *s, bool is_main, struct dead *dead)
{
	size_t room = round_up(dead->size, PAGE) + POOL_HANDLER_ROOM;

	if (s->pool_end - s->pool < room)
		return false;
	if (is_main) {
		dead->address = round_down(s->pool_end - dead->size, ARCH_FPU_ALIGN);
		s->pool_end -= room;
	} else {
		s->pool += room;
		dead->address = round_down(s->pool - dead->size, ARCH_FPU_ALIGN);
	}
	return true;
}

/*
 * Pages that were used the last time are touched, and zero again; without them each session would
 * take others, and the task would grow. Those between them and the stack pointer, where the last
 * calls left their frames, are not.
 */
static void extend_pool(struct compel_session *s, const struct vma *vma, uint64_t sp)
{
	uint64_t words[PAGE / sizeof(uint64_t)];

	if (!vma || !vma->is_stack || s->pool_end <= vma->start || s->pool_end > vma->end)
		return;
	while (s->pool_end + 2 * PAGE <= sp) {
		if (session_memory_read(s->pid, s->pool_end, words, sizeof(words)) < 0)
			return;
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (words[i])
				return;
		s->pool_end += PAGE;
	}
}

static bool take_below_sp(struct compel_session *s, const struct vma *vma, uint64_t sp,
			  struct dead *dead)
{
	uint64_t at = round_down(sp - compel_arch_redzone - dead->size, ARCH_FPU_ALIGN);

	if (!vma || !vma->is_writable || !vma->is_private || at < vma->start || at >= sp)
		return false;
	dead->address = at;
	dead->saved = malloc(dead->size);
	if (dead->saved && session_memory_read(s->pid, at, dead->saved, dead->size) == 0)
		return true;
	free(dead->saved);
	dead->saved = NULL;
	return false;
}

/* The pages that nobody ever touched are the best, but few: other threads use their own stacks if
 * those look like stacks. */
static int find_dead(struct compel_session *s, struct thread *t, struct dead *dead)
{
	uint64_t sp = compel_arch_sp(&t->regs->general);
	const struct vma *vma = session_maps_find(&s->maps, sp);
	bool is_stack = vma && session_maps_is_thread_stack(&s->maps, vma);

	if (!session_thread_is_main(s, t) && is_stack && take_below_sp(s, vma, sp, dead))
		return 0;
	if (session_thread_is_main(s, t))
		extend_pool(s, vma, sp);
	if (take_from_pool(s, session_thread_is_main(s, t), dead))
		return 0;
	if (!take_below_sp(s, vma, sp, dead))
		return session_say(s, COMPEL_ERROR, -ENOMEM,
				   "thread %d: no memory below stack pointer %#llx", t->tid,
				   (unsigned long long)sp);
	if (!is_stack) {
		s->is_safe = false;
		session_say(s, COMPEL_WARN, 0,
			    "thread %d: what is below its stack pointer may be in use", t->tid);
	}
	return 0;
}

/* Lays the way back out in dead memory: FPU image, the last link, and room for the main thread's
 * unmapping one. */
static int prepare_way_back(struct compel_session *s, struct thread *t)
{
	const size_t links_size = round_up(2 * ARCH_LINK_SIZE, ARCH_FPU_ALIGN);
	size_t image_size =
		round_up(compel_arch_fpu_image_size(t->regs, s->fpu_limit), ARCH_FPU_ALIGN);
	_cleanup_free_ struct compel_regs *emergency = malloc(sizeof(*emergency));
	_cleanup_free_ char *text = NULL;
	int err;

	t->dead.size = links_size + image_size;
	text = calloc(1, t->dead.size);
	if (!text || !emergency)
		return -ENOMEM;
	err = find_dead(s, t, &t->dead);
	if (err < 0)
		return err;
	t->unmap_link = t->dead.address;
	t->final_link = t->unmap_link + ARCH_LINK_SIZE;
	t->fpu_image = t->dead.address + links_size;

	*emergency = *t->regs;
	compel_regs_reissue(emergency);
	compel_arch_fpu_image_fill(text + links_size, t->regs, s->fpu_limit);
	compel_arch_link_fill(text + ARCH_LINK_SIZE, t->final_link, &s->gadgets,
			      &emergency->general, t->regs->sigmask, t->fpu_image);
	err = session_memory_write(s->pid, t->dead.address, text, t->dead.size);
	return err < 0 ? session_say(s, COMPEL_ERROR, err, "thread %d: write below its stack",
				     t->tid)
		       : 0;
}

static void restore_dead(struct compel_session *s, struct thread *t)
{
	_cleanup_free_ void *zeros = NULL;

	if (!t->dead.address)
		return;
	if (!t->dead.saved)
		zeros = calloc(1, t->dead.size);
	if (t->dead.saved || zeros)
		session_memory_write(s->pid, t->dead.address, t->dead.saved ? t->dead.saved : zeros,
				     t->dead.size);
}

int session_thread_set(struct compel_session *s, struct thread *t, const struct user_regs_struct *r)
{
	int err = compel_arch_general_set(t->tid, r);

	t->is_out = false;
	return err < 0 ? session_say(s, COMPEL_ERROR, err, "thread %d: set registers", t->tid) : 0;
}

/* Registers that lead back: for the main thread through the blob's own leaving, while there is a
 * blob. */
int session_thread_rest(struct compel_session *s, struct thread *t)
{
	struct user_regs_struct r = t->regs->general;

	if (session_thread_is_main(s, t) && s->area.size)
		compel_arch_set_call(&r, s->area.leave, s->area.stacks + s->area.stack_size, 0);
	else
		compel_arch_set_sigreturn(&r, s->gadgets.syscall,
					  compel_arch_link_frame(t->final_link));
	return session_thread_set(s, t, &r);
}

static int take_registers(struct compel_session *s, struct thread *t,
			  const struct compel_regs *known)
{
	int err = known ? session_regs_copy(known, &t->regs)
			: session_regs_get_without_tls(t->tid, &t->regs);

	if (err < 0)
		return session_say(s, COMPEL_ERROR, err, "thread %d: get registers", t->tid);
	if (compel_regs_is_compat(t->regs))
		return session_say(s, COMPEL_ERROR, -ENOTSUP, "thread %d runs 32-bit code", t->tid);
	abort_rseq(s, t);

	return prepare_way_back(s, t);
}

int session_thread_block(struct compel_session *s, struct thread *t)
{
	int err;

	t->state = THREAD_RESTING;
	err = session_regs_sigmask_set(t->tid, all_signals);
	return err < 0 ? session_say(s, COMPEL_ERROR, err, "thread %d: block signals", t->tid) : 0;
}

int session_thread_prepare(struct compel_session *s, pid_t tid, const struct compel_regs *regs,
			   struct thread **ret_thread)
{
	_cleanup_(session_thread_free_at) struct thread *t = session_thread_find(s, tid);
	int err;

	if (t) {
		*ret_thread = TAKE_PTR(t);
		return 0;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->tid = tid;
	err = take_registers(s, t, regs);
	if (err == 0)
		err = thread_add(s, t);
	if (err < 0) {
		session_thread_cure(s, t);
		return err;
	}
	*ret_thread = TAKE_PTR(t);
	return 0;
}

int session_thread_hijack(struct compel_session *s, pid_t tid, const struct compel_regs *regs,
			  struct thread **ret_thread)
{
	struct thread *t = NULL;
	int err = session_thread_prepare(s, tid, regs, &t);

	if (err == 0 && t->state == THREAD_OWN) {
		err = session_thread_rest(s, t);
		if (err == 0)
			err = session_thread_block(s, t);
	}
	if (err < 0)
		return err;
	*ret_thread = t;
	return 0;
}

int session_thread_resume(struct compel_session *s, struct thread *t, bool stop_at_syscall)
{
	int err = compel_resume(t->tid, 0, stop_at_syscall);

	t->is_at_syscall = false;
	return err < 0 ? session_say(s, COMPEL_ERROR, err, "thread %d: resume", t->tid) : 0;
}

/* A signal that the thread brought upon itself by what it executed. */
static bool is_fault(const struct thread *t, int signal)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
	siginfo_t info;

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		if (signal == faults[i])
			return ptrace(PTRACE_GETSIGINFO, t->tid, NULL, &info) == 0 &&
			       info.si_code > 0;
	}
	return false;
}

static int say_fault(struct compel_session *s, struct thread *t, int signal)
{
	struct user_regs_struct r = {0};

	t->is_faulted = true;
	compel_arch_general_get(t->tid, &r);
	return session_say(s, COMPEL_ERROR, -EFAULT,
			   "thread %d: %s in injected code at %#llx (area %#llx)", t->tid,
			   strsignal(signal), (unsigned long long)compel_arch_ip(&r),
			   (unsigned long long)s->area.address);
}

/*
 * Waits for a stop of the kind wanted. What else may come: SIGSTOP, which nobody can block (it is
 * delivered: the process is then in a group stop, and what we run in it goes on under ptrace all
 * the same), and notices of group stops.
 */
static int wait_for(struct compel_session *s, struct thread *t, bool want_syscall)
{
	struct compel_stop stop = {0};
	int err;

	for (;;) {
		err = compel_wait_any_stop(t->tid, -1, &stop);
		if (err < 0)
			return session_say(s, COMPEL_ERROR, err, "thread %d: wait for it to stop",
					   t->tid);
		if (want_syscall && stop.kind == COMPEL_STOP_SYSCALL)
			break;
		if (!want_syscall &&
		    (stop.kind == COMPEL_STOP_TRAP || stop.kind == COMPEL_STOP_GROUP))
			break;
		if (stop.kind != COMPEL_STOP_SIGNAL)
			stop.signal = 0;
		else if (is_fault(t, stop.signal))
			return say_fault(s, t, stop.signal);
		err = compel_resume(t->tid, stop.signal, want_syscall);
		if (err < 0)
			return session_say(s, COMPEL_ERROR, err, "thread %d: resume", t->tid);
	}
	t->is_at_syscall = want_syscall;
	return 0;
}

int session_thread_wait_syscall(struct compel_session *s, struct thread *t)
{
	return wait_for(s, t, true);
}

int session_thread_wait_trap(struct compel_session *s, struct thread *t)
{
	return wait_for(s, t, false);
}

/* Looks whether a thread that should run has stopped for another reason; 1 if it had and was let go
 * on. */
int session_thread_look_after(struct compel_session *s, struct thread *t)
{
	struct compel_stop stop = {0};
	int err = compel_wait_any_stop(t->tid, 0, &stop);

	if (err == -ETIMEDOUT)
		return 0;
	if (err < 0)
		return session_say(s, COMPEL_ERROR, err, "thread %d died", t->tid);
	if (stop.kind != COMPEL_STOP_SIGNAL)
		stop.signal = 0;
	else if (is_fault(t, stop.signal))
		return say_fault(s, t, stop.signal);
	compel_resume(t->tid, stop.signal, false);
	return 1;
}

static bool is_to_be_restarted(const struct user_regs_struct *r)
{
	struct compel_regs regs = {.general = *r};

	return compel_regs_restart(&regs, NULL) != 0;
}

/* Runs one call with the given stack, on which it leads back. Registers are left as the call left
 * them. */
int session_thread_syscall(struct compel_session *s, struct thread *t, long nr,
			   const uint64_t args[6], uint64_t stack, long *ret)
{
	struct user_regs_struct r = t->regs->general;
	uint64_t at = s->gadgets.syscall_ret ? s->gadgets.syscall_ret : s->gadgets.syscall;
	int err;

	compel_arch_set_syscall(&r, at, stack, nr, args);
	err = session_thread_set(s, t, &r);
	if (err < 0)
		return err;
	do {
		for (int stop = 0; stop < 2; stop++) { /* before it and after it */
			err = session_thread_resume(s, t, true);
			if (err == 0)
				err = session_thread_wait_syscall(s, t);
			if (err < 0)
				return err;
		}
		err = compel_arch_general_get(t->tid, &r);
		if (err < 0)
			return session_say(s, COMPEL_ERROR, err, "thread %d: get registers",
					   t->tid);
	} while (is_to_be_restarted(&r));
	*ret = compel_arch_syscall_result(&r);
	return 0;
}

/* The kernel restarts an interrupted call on its way out of a trap, not of a system call stop. */
static int move_to_trap(struct compel_session *s, struct thread *t)
{
	int err = compel_interrupt(t->tid);

	if (err < 0)
		return err;
	err = session_thread_resume(s, t, false);
	return err < 0 ? err : session_thread_wait_trap(s, t);
}

static int give_back(struct compel_session *s, struct thread *t)
{
	int err = t->is_at_syscall ? move_to_trap(s, t) : 0;

	if (err == 0)
		err = session_regs_sigmask_set(t->tid, t->regs->sigmask);
	if (err == 0)
		err = compel_arch_general_set(t->tid, &t->regs->general);
	return err < 0 ? session_say(s, COMPEL_ERROR, err, "thread %d: give its registers back",
				     t->tid)
		       : 0;
}

int session_thread_cure(struct compel_session *s, struct thread *t)
{
	if (t->state != THREAD_OWN) {
		int err = give_back(s, t);

		if (err < 0)
			return err;
		t->state = THREAD_OWN;
	}
	restore_dead(s, t);
	return 0;
}
