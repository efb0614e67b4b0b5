// SPDX-License-Identifier: GPL-2.0-only
/*
 * PR_SET_PDEATHSIG: the signal a thread gets when the thread that forked its process ends; 0 for
 * none, which is not written. A change of credentials clears it, so that it is set after those on
 * restore.
 */
#include "state/parts.h"

#include <errno.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "state/args-builder.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static int pdeath_dump(struct cr *cr, struct thread *thread)
{
	ThreadCoreEntry *core = thread->core->thread_core;

	core->has_pdeath_sig = thread->dump->facts.pdeath_sig != 0;
	core->pdeath_sig = thread->dump->facts.pdeath_sig;
	return 0;
}

static int pdeath_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	uint32_t sig = thread->core->thread_core->pdeath_sig;

	if (sig > ARGS_N_SIGNALS)
		return log_refuse(cr, -EBADMSG, "core-%d.img: field pdeath_sig: %u is no signal",
				  thread->tid, sig);
	args_thread(args, (size_t)(thread - thread->task->threads))->pdeath_sig = sig;
	return 0;
}

const struct thread_part thread_part_pdeath = {
	.name = "pdeath",
	.dump = pdeath_dump,
	.load = pdeath_load,
};
