// SPDX-License-Identifier: LGPL-2.1-only
/*
 * Functions of the blob in threads other than the main one. Each gets a slot. A thread is let in by
 * three steps, so that whoever unmaps the area after this process's death knows exactly who is
 * inside:
 *
 *  1. registers that clear the slot's `inside` word (FUTEX_WAKE_OP, done by the kernel) and then
 * give the thread back: harmless whether or not the area is still there, since it lies where
 * nothing else gets mapped;
 *  2. `inside` is set in the area;
 *  3. registers that enter the blob.
 *
 * Killed after 1, the thread clears what is clear. After 2, it clears it and never enters. After 3,
 * it runs its function, sees that the socket has no other end, and leaves by the same registers,
 * now in a frame. The way out is 1 and 2 backwards.
 *
 * The last thread to finish rings; all the others wait where they are until PTRACE_INTERRUPT
 * fetches them: one stop each.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "compel/lib/session-priv.h"
#include "compel/pie/control.h"
#include "compel/ptrace.h"

static const uint64_t all_signals = ~0ULL;

struct batch {
	struct compel_session *s;
	struct thread **threads;
	char *slots; /* as they are to be in the area */
	unsigned int count;
};

static struct compel_slot *slot_of(const struct batch *b, unsigned int i)
{
	return (struct compel_slot *)(b->slots + i * b->s->area.slot_stride);
}

static uint64_t slot_address(const struct batch *b, unsigned int i)
{
	return b->s->area.slots + i * b->s->area.slot_stride;
}

static void set_out(const struct batch *b, unsigned int i, struct user_regs_struct *r)
{
	const struct gadgets *g = &b->s->gadgets;
	const struct thread *t = b->threads[i];
	uint64_t inside = slot_address(b, i) + offsetof(struct compel_slot, inside);
	const uint64_t args[6] = {
		inside,  FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG,
		INT_MAX, 0,
		inside,  FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0),
	};

	*r = t->regs->general;
	if (gadgets_are_complete(g))
		compel_arch_set_syscall(r, g->syscall_ret, compel_arch_link_entry(t->final_link, g),
					__NR_futex, args);
	else
		compel_arch_set_sigreturn(r, g->syscall, compel_arch_link_frame(t->final_link));
}

static int set_all_out(const struct batch *b)
{
	for (unsigned int i = 0; i < b->count; i++) {
		struct thread *t = b->threads[i];
		struct user_regs_struct r;
		int err;

		set_out(b, i, &r);
		err = session_thread_set(b->s, t, &r);
		if (err == 0 && t->state == THREAD_OWN)
			err = session_thread_block(b->s, t);
		if (err < 0)
			return err;
		t->is_out = true;
	}
	return 0;
}

/* Threads of an earlier batch must not clear the slots that this one uses. */
static int rest_earlier(struct compel_session *s)
{
	int err = 0;

	for (size_t i = 0; i < s->nr_threads && err == 0; i++) {
		if (s->threads[i]->is_out)
			err = session_thread_rest(s, s->threads[i]);
	}
	return err;
}

static void fill_slot(const struct batch *b, unsigned int i, uint64_t function, uint64_t arg)
{
	struct compel_slot *slot = slot_of(b, i);
	const struct thread *t = b->threads[i];
	bool has_chain = gadgets_are_complete(&b->s->gadgets);
	uint64_t link = slot_address(b, i) + sizeof(*slot);
	struct user_regs_struct r;

	slot->inside = 1;
	slot->function = b->s->area.address + function;
	slot->arg = arg;
	/* Without the instructions for a chain nobody will unmap the area, and nothing needs
	 * clearing. */
	slot->leave_frame = compel_arch_link_frame(has_chain ? link : t->final_link);
	set_out(b, i, &r);
	compel_arch_link_fill(slot + 1, link, &b->s->gadgets, &r, all_signals, t->fpu_image);
}

static int write_slots(const struct batch *b)
{
	uint32_t running = b->count;
	int err = session_memory_write(
		b->s->pid, b->s->area.control + offsetof(struct compel_control, running), &running,
		sizeof(running));

	if (err == 0)
		err = session_memory_write(b->s->pid, b->s->area.slots, b->slots,
					   b->count * b->s->area.slot_stride);
	return err < 0 ? session_say(b->s, COMPEL_ERROR, err, "write the threads' slots") : 0;
}

static int enter_all(const struct batch *b)
{
	for (unsigned int i = 0; i < b->count; i++) {
		struct thread *t = b->threads[i];
		struct user_regs_struct r = t->regs->general;
		uint64_t top = b->s->area.stacks + (i + 2) * b->s->area.stack_size;
		int err;

		compel_arch_set_call(&r, b->s->area.thread, top, slot_address(b, i));
		err = session_thread_set(b->s, t, &r);
		if (err == 0)
			err = session_thread_resume(b->s, t, false);
		if (err < 0)
			return err;
		t->state = THREAD_RUNNING;
	}
	return 0;
}

/* Fetches all that run, also after a failure; the first error counts. */
static int fetch_all(const struct batch *b)
{
	int first = 0;

	for (unsigned int i = 0; i < b->count; i++) {
		struct thread *t = b->threads[i];

		if (t->state == THREAD_RUNNING && !t->is_faulted)
			compel_interrupt(t->tid);
	}
	for (unsigned int i = 0; i < b->count; i++) {
		struct thread *t = b->threads[i];
		int err = 0;

		if (t->state == THREAD_RUNNING && !t->is_faulted)
			err = session_thread_wait_trap(b->s, t);
		t->state = THREAD_RESTING;
		t->is_faulted = false;
		first = first ? first : err;
	}
	return first;
}

static int read_results(const struct batch *b, struct compel_thread_call *calls)
{
	int err = session_memory_read(b->s->pid, b->s->area.slots, b->slots,
				      b->count * b->s->area.slot_stride);

	if (err < 0)
		return session_say(b->s, COMPEL_ERROR, err, "read the threads' slots");
	for (unsigned int i = 0; i < b->count; i++)
		calls[i].ret = slot_of(b, i)->ret;
	return 0;
}

/* From inside, or on the way there, to their own way back. */
static int take_all_out(const struct batch *b)
{
	int err = set_all_out(b);

	for (unsigned int i = 0; i < b->count; i++)
		slot_of(b, i)->inside = 0;
	return err < 0 ? err : write_slots(b);
}

static int run_batch(struct batch *b, uint64_t function, struct compel_thread_call *calls)
{
	int err = rest_earlier(b->s), after;

	for (unsigned int i = 0; i < b->count && err == 0; i++)
		err = session_thread_prepare(b->s, calls[i].tid, calls[i].regs, &b->threads[i]);
	if (err == 0)
		err = set_all_out(b);
	if (err < 0)
		return err;
	for (unsigned int i = 0; i < b->count; i++)
		fill_slot(b, i, function, calls[i].arg);

	err = write_slots(b);
	if (err == 0)
		err = enter_all(b);
	if (err == 0)
		err = session_receive_done(b->s);
	after = fetch_all(b);
	err = err ? err : after;
	if (err == 0)
		err = read_results(b, calls);
	after = take_all_out(b);
	return err ? err : after;
}

static int call_others(struct compel_session *s, uint64_t function,
		       struct compel_thread_call *calls, unsigned int count)
{
	_cleanup_free_ struct thread **threads = calloc(s->area.nr_slots, sizeof(*threads));
	_cleanup_free_ char *slots = calloc(s->area.nr_slots, s->area.slot_stride);
	struct batch b = {s, threads, slots, 0};
	int err = session_main_serve(s); /* makes the socket */

	if (!threads || !slots)
		return -ENOMEM;
	for (; count && err == 0; count -= b.count, calls += b.count) {
		b.count = MIN(count, s->area.nr_slots);
		err = run_batch(&b, function, calls);
	}
	return err;
}

int compel_call_threads(struct compel_session *s, uint64_t function,
			struct compel_thread_call *calls, unsigned int count)
{
	int err;

	if (!s->area.size)
		return session_say(s, COMPEL_ERROR, -EINVAL, "no blob is loaded");
	/* The main thread is in the command loop, and has no slot. */
	for (unsigned int i = 0; i < count; i++) {
		if (calls[i].tid != s->main_tid)
			continue;
		err = session_main_call(s, function, calls[i].arg, &calls[i].ret);
		if (err == 0)
			err = call_others(s, function, calls, i);
		if (err == 0)
			err = call_others(s, function, calls + i + 1, count - i - 1);
		return err;
	}
	return call_others(s, function, calls, count);
}

int compel_call(struct compel_session *s, pid_t tid, uint64_t function, uint64_t arg, long *ret)
{
	struct compel_thread_call call = {.tid = tid, .arg = arg};
	int err = compel_call_threads(s, function, &call, 1);

	if (err == 0)
		*ret = call.ret;
	return err;
}
