// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process does with each signal: handler, flags (SA_RESTORER included), restorer, mask; shared by its threads. Saved are the
 * 62 that can be set, in order, without SIGKILL and SIGSTOP; only the process itself can read them. On restore SIGCHLD is the last
 * one, as children may end before.
 */
#include "state/parts.h"

#include <signal.h>

#include "images/core.pb-c.h"
#include "images/sa.pb-c.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"

static int sigaction_dump(struct cr *cr, struct task *task)
{
	TaskCoreEntry *tc = task->threads[0].core->tc;

	tc->sigactions = xcalloc(PARASITE_N_SIGNALS, sizeof(*tc->sigactions));
	for (int signo = 1; signo <= PARASITE_N_SIGNALS; signo++) {
		const struct parasite_sigaction *action = &task->dump->facts->actions[signo - 1];
		SaEntry *entry;

		if (signo == SIGKILL || signo == SIGSTOP)
			continue;
		entry = message_new(&sa_entry__descriptor);
		entry->sigaction = action->handler;
		entry->flags = action->flags;
		entry->restorer = action->restorer;
		entry->mask = action->mask;
		entry->has_compat_sigaction = true;
		tc->sigactions[tc->n_sigactions++] = entry;
	}
	return 0;
}

const struct task_part task_part_sigaction = {
	.name = "sigaction",
	.dump = sigaction_dump,
};
