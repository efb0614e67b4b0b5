// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals that were sent and not delivered yet, because they are blocked or the process is stopped:
 * one queue for the process, one for each thread, in the order of delivery, each signal with its
 * siginfo as the kernel keeps it (who sent it, the value). A signal whose siginfo the kernel had to
 * drop, its queue being full, is only a bit; it is saved as one sent by nobody.
 */
#include "state/parts.h"

#include <errno.h>
#include <string.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/core.pb-c.h"
#include "images/siginfo.pb-c.h"
#include "state/args-builder.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

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

static int queue_load(struct cr *cr, const struct thread *thread, const SignalQueueEntry *queue,
		      struct args_builder *args, struct args_ref *ret)
{
	_cleanup_free_ uint8_t(*infos)[SIGINFO_SIZE] = xcalloc(queue->n_signals, SIGINFO_SIZE);

	for (size_t i = 0; i < queue->n_signals; i++) {
		const ProtobufCBinaryData *info = &queue->signals[i]->siginfo;
		int32_t signo = 0;

		if (info->len == SIGINFO_SIZE)
			memcpy(&signo, info->data, sizeof(signo));
		if (signo < 1 || signo > ARGS_N_SIGNALS)
			return log_refuse(cr, -EBADMSG,
					  "core-%d.img: pending signal %zu: is no siginfo",
					  thread->tid, i);
		memcpy(infos[i], info->data, SIGINFO_SIZE);
	}
	*ret = args_put(args, infos, SIGINFO_SIZE, queue->n_signals);
	return 0;
}

static int sigqueue_load(struct cr *cr, struct task *task, struct args_builder *args)
{
	struct args_ref ref;
	int err = queue_load(cr, task->threads, task->threads[0].core->tc->signals_s, args, &ref);

	if (!err)
		args_task(args)->pending = ref;
	return err;
}

static int sigqueue_load_thread(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const SignalQueueEntry *queue = thread->core->thread_core->signals_p;
	struct args_ref ref;
	int err;

	if (!queue)
		return 0;
	err = queue_load(cr, thread, queue, args, &ref);
	if (!err)
		args_thread(args, (size_t)(thread - thread->task->threads))->pending = ref;
	return err;
}

const struct task_part task_part_sigqueue = {
	.name = "sigqueue",
	.dump = sigqueue_dump,
	.load = sigqueue_load,
};

const struct thread_part thread_part_sigqueue = {
	.name = "sigqueue",
	.dump = sigqueue_dump_thread,
	.load = sigqueue_load_thread,
};
