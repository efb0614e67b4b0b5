// SPDX-License-Identifier: GPL-2.0-only
/*
 * The alternate signal stack of a thread (sigaltstack(2)): where, how large, with which flags
 * (SS_DISABLE, SS_AUTODISARM). Whether the thread is on it now follows from its stack pointer. Only
 * the thread itself can ask.
 */
#include "state/parts.h"

#include <signal.h>

#include "images/core.pb-c.h"
#include "state/args-builder.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"

static int altstack_dump(struct cr *cr, struct thread *thread)
{
	ThreadSasEntry *entry = message_new(&thread_sas_entry__descriptor);

	entry->ss_sp = thread->dump->facts.altstack_sp;
	entry->ss_size = thread->dump->facts.altstack_size;
	entry->ss_flags = thread->dump->facts.altstack_flags;
	thread->core->thread_core->sas = entry;
	return 0;
}

static int altstack_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const ThreadSasEntry *entry = thread->core->thread_core->sas;
	struct thread_args *t = args_thread(args, (size_t)(thread - thread->task->threads));

	if (!entry)
		return 0;
	t->has_altstack = 1;
	t->altstack_sp = entry->ss_sp;
	t->altstack_size = entry->ss_size;
	/* SS_ONSTACK only tells where the stack pointer was. */
	t->altstack_flags = entry->ss_flags & ~(uint32_t)SS_ONSTACK;
	return 0;
}

const struct thread_part thread_part_altstack = {
	.name = "altstack",
	.dump = altstack_dump,
	.load = altstack_load,
};
