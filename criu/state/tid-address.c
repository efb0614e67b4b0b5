// SPDX-License-Identifier: GPL-2.0-only
/*
 * clear_child_tid: where the kernel writes 0 and wakes a futex when the thread ends
 * (set_tid_address(2), CLONE_CHILD_CLEARTID). It is how pthread_join(3) learns of the end. Only the
 * thread itself can ask for it.
 */
#include "state/parts.h"

#include "images/core-x86.pb-c.h"
#include "images/core.pb-c.h"
#include "state/args-builder.h"
#include "task/dump.h"
#include "task/task.h"

static int tid_address_dump(struct cr *cr, struct thread *thread)
{
	thread->core->thread_info->clear_tid_addr = thread->dump->facts.tid_address;
	return 0;
}

static int tid_address_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	args_thread(args, (size_t)(thread - thread->task->threads))->clear_tid_addr =
		thread->core->thread_info->clear_tid_addr;
	return 0;
}

const struct thread_part thread_part_tid_address = {
	.name = "tid-address",
	.dump = tid_address_dump,
	.load = tid_address_load,
};
