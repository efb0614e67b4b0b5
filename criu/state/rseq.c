// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restartable sequences: where the thread has registered its struct rseq, of what size, with which
 * signature. A thread that was caught inside of a critical section has been sent to its abort
 * handler by task/peek.c, as any preemption does, so that nothing of it is left; unless the section
 * says that signals do not restart it: then the kernel is to find it again, and the address of its
 * descriptor is saved to be written back at the very end.
 */
#include "state/parts.h"

#include "images/core.pb-c.h"
#include "images/rseq.pb-c.h"
#include "state/args-builder.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"

static int rseq_dump(struct cr *cr, struct thread *thread)
{
	const struct rseq_registration *rseq = &thread->dump->rseq;
	RseqEntry *entry = message_new(&rseq_entry__descriptor);

	entry->rseq_abi_pointer = rseq->pointer;
	entry->rseq_abi_size = rseq->size;
	entry->signature = rseq->signature;
	entry->has_rseq_cs_pointer = thread->dump->rseq_cs_pointer != 0;
	entry->rseq_cs_pointer = thread->dump->rseq_cs_pointer;
	thread->core->thread_core->rseq_entry = entry;
	return 0;
}

static int rseq_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const RseqEntry *entry = thread->core->thread_core->rseq_entry;
	struct thread_args *t = args_thread(args, (size_t)(thread - thread->task->threads));

	if (!entry || !entry->rseq_abi_pointer)
		return 0;
	t->rseq_addr = entry->rseq_abi_pointer;
	t->rseq_size = entry->rseq_abi_size;
	t->rseq_signature = entry->signature;
	return 0;
}

const struct thread_part thread_part_rseq = {
	.name = "rseq",
	.dump = rseq_dump,
	.load = rseq_load,
};
