// SPDX-License-Identifier: GPL-2.0-only
/*
 * The alternate signal stack of a thread (sigaltstack(2)): where, how large, with which flags (SS_DISABLE, SS_AUTODISARM). Whether the
 * thread is on it now follows from its stack pointer. Only the thread itself can ask.
 */
#include "state/parts.h"

#include "images/core.pb-c.h"
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

const struct thread_part thread_part_altstack = {
	.name = "altstack",
	.dump = altstack_dump,
};
