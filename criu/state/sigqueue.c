// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals that were sent and not delivered yet, because they are blocked or the process is stopped: one queue for the process, one
 * for each thread, in the order of delivery, each signal with its siginfo as the kernel keeps it (who sent it, the value). A signal
 * whose siginfo the kernel had to drop, its queue being full, is only a bit; it is saved as one sent by nobody.
 */
#include "state/parts.h"

#include "images/core.pb-c.h"
#include "images/siginfo.pb-c.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"

static SignalQueueEntry *queue_dump(const struct signal_queue *queue)
{
	SignalQueueEntry *entry = message_new(&signal_queue_entry__descriptor);

	entry->signals = xcalloc(queue->n, sizeof(*entry->signals));
	for (size_t i = 0; i < queue->n; i++) {
		SiginfoEntry *signal = message_new(&siginfo_entry__descriptor);

		signal->siginfo.data = xmemdup(queue->items[i], SIGINFO_SIZE);
		signal->siginfo.len = SIGINFO_SIZE;
		entry->signals[entry->n_signals++] = signal;
	}
	return entry;
}

static int sigqueue_dump(struct cr *cr, struct task *task)
{
	task->threads[0].core->tc->signals_s = queue_dump(&task->dump->pending);
	return 0;
}

static int sigqueue_dump_thread(struct cr *cr, struct thread *thread)
{
	thread->core->thread_core->signals_p = queue_dump(&thread->dump->pending);
	return 0;
}

const struct task_part task_part_sigqueue = {
	.name = "sigqueue",
	.dump = sigqueue_dump,
};

const struct thread_part thread_part_sigqueue = {
	.name = "sigqueue",
	.dump = sigqueue_dump_thread,
};
