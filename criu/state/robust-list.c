// SPDX-License-Identifier: GPL-2.0-only
/*
 * The robust futex list of a thread: where in its memory the list of locks stands that the kernel
 * must release should the thread end holding them (set_robust_list(2)). Saved: address and length
 * of the head.
 */
#include "state/parts.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "state/args-builder.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/log.h"

static int robust_list_collect(struct cr *cr, struct thread *thread)
{
	void *head = NULL;
	size_t length = 0;

	if (syscall(SYS_get_robust_list, thread->host_tid, &head, &length) < 0)
		return log_err(cr, -errno, "pid %d: get the robust list of thread %d",
			       thread->task->pid, thread->tid);
	thread->dump->robust_list = (uintptr_t)head;
	thread->dump->robust_list_length = length;
	return 0;
}

static int robust_list_dump(struct cr *cr, struct thread *thread)
{
	ThreadCoreEntry *core = thread->core->thread_core;

	core->futex_rla = thread->dump->robust_list;
	core->futex_rla_len = (uint32_t)thread->dump->robust_list_length;
	return 0;
}

static int robust_list_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const ThreadCoreEntry *core = thread->core->thread_core;
	struct thread_args *t = args_thread(args, (size_t)(thread - thread->task->threads));

	if (!core->futex_rla)
		return 0;
	if (core->futex_rla_len != sizeof(struct robust_list_head))
		return log_refuse(cr, -EBADMSG, "core-%d.img: field futex_rla_len: %u, not %zu",
				  thread->tid, core->futex_rla_len,
				  sizeof(struct robust_list_head));
	t->robust_head = core->futex_rla;
	t->robust_size = core->futex_rla_len;
	return 0;
}

const struct thread_part thread_part_robust_list = {
	.name = "robust-list",
	.collect = robust_list_collect,
	.dump = robust_list_dump,
	.load = robust_list_load,
};
