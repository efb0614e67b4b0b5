// SPDX-License-Identifier: GPL-2.0-only
/*
 * PR_SET_PDEATHSIG: the signal a thread gets when the thread that forked its process ends; 0 for none, which is not written. A change
 * of credentials clears it, so that it is set after those on restore.
 */
#include "state/parts.h"

#include "images/core.pb-c.h"
#include "task/dump.h"
#include "task/task.h"

static int pdeath_dump(struct cr *cr, struct thread *thread)
{
	ThreadCoreEntry *core = thread->core->thread_core;

	core->has_pdeath_sig = thread->dump->facts.pdeath_sig != 0;
	core->pdeath_sig = thread->dump->facts.pdeath_sig;
	return 0;
}

const struct thread_part thread_part_pdeath = {
	.name = "pdeath",
	.dump = pdeath_dump,
};
