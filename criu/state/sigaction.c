// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process does with each signal: handler, flags (SA_RESTORER included), restorer, mask;
 * shared by its threads. Saved are the 62 that can be set, in order, without SIGKILL and SIGSTOP;
 * only the process itself can read them. On restore SIGCHLD is the last one, as children may end
 * before.
 */
#include "state/parts.h"

#include <errno.h>
#include <signal.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/sa.pb-c.h"
#include "state/args-builder.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

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

static int sigaction_load(struct cr *cr, struct task *task, struct args_builder *args)
{
	const TaskCoreEntry *tc = task->threads[0].core->tc;
	struct sigaction_args actions[ARGS_N_SIGNALS] = {0};
	struct args_ref ref;
	size_t i = 0;

	if (tc->n_sigactions != ARGS_N_SIGNALS - 2)
		return log_refuse(cr, -EBADMSG,
				  "core-%d.img: field sigactions: there are %zu, not 62", task->pid,
				  tc->n_sigactions);
	for (int signo = 1; signo <= ARGS_N_SIGNALS; signo++) {
		const SaEntry *entry;

		if (signo == SIGKILL || signo == SIGSTOP)
			continue;
		entry = tc->sigactions[i++];
		if (entry->compat_sigaction)
			return log_refuse(cr, -ENOTSUP,
					  "core-%d.img: field sigactions: of a task of 32 bits",
					  task->pid);
		actions[signo - 1] = (struct sigaction_args){entry->sigaction, entry->flags,
							     entry->restorer, entry->mask};
	}
	ref = args_put(args, actions, sizeof(*actions), ARGS_N_SIGNALS);
	args_task(args)->sigactions = ref;
	return 0;
}

const struct task_part task_part_sigaction = {
	.name = "sigaction",
	.dump = sigaction_dump,
	.load = sigaction_load,
};
