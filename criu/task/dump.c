// SPDX-License-Identifier: GPL-2.0-only
/* The state of a dump: made before anything is touched, freed when all is over, whatever had become
 * of it by then. */
#include "task/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "arch/x86_64/fpu.h"
#include "compel/base/cleanup.h"
#include "compel/regs.h"
#include "cr.h"
#include "images/lib/image.h"
#include "task/dump-priv.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"

int dump_start(struct cr *cr)
{
	struct dump *dump = xcalloc(1, sizeof(*dump));
	int err;

	cr->dump = dump;
	err = fd_read_file(AT_FDCWD, "/proc/self/cgroup", &dump->cgroups, NULL);
	if (err == -ENOENT)
		dump->cgroups = xstrdup("");
	else if (err < 0)
		return log_err(cr, err, "/proc/self/cgroup: read");
	dump->xsave = xcalloc(1, sizeof(*dump->xsave));
	xsave_layout_get(dump->xsave);
	return kobj_ids_start(cr);
}

static void thread_dump_free(struct thread *thread)
{
	struct thread_dump *dump = TAKE_PTR(thread->dump);

	if (thread->core)
		image_message_free(TAKE_PTR(thread->core));
	if (!dump)
		return;
	close_at(&dump->proc);
	proc_status_release(&dump->status);
	free(dump->lsm_profile);
	free(dump->lsm_sockcreate);
	free(dump->pending.items);
	for (size_t i = 0; i < dump->n_filters; i++)
		free(dump->filters[i].code);
	free(dump->filters);
	compel_regs_free(dump->regs);
	free(dump);
}

static void task_dump_free(struct task *task)
{
	struct task_dump *dump = TAKE_PTR(task->dump);
	struct thread *thread;

	task_for_each_thread (thread, task)
		thread_dump_free(thread);
	if (task->ids)
		image_message_free(TAKE_PTR(task->ids));
	if (!dump)
		return;
	close_at(&dump->proc);
	close_at(&dump->pidfd);
	free(dump->timers);
	free(dump->pending.items);
	free(dump->facts);
	free(dump);
}

void dump_forget_tree(struct cr *cr)
{
	struct task *task;

	if (cr->tree)
		tree_for_each_task (task, cr->tree)
			task_dump_free(task);
	tree_free(TAKE_PTR(cr->tree));
	freeze_free(TAKE_PTR(cr->dump->freeze));
}

void dump_free(struct cr *cr)
{
	struct dump *dump = cr->dump;

	if (!dump)
		return;
	dump_forget_tree(cr);
	kobj_ids_free(dump->ids);
	free(dump->xsave);
	free(dump->cgroups);
	free(dump);
	cr->dump = NULL;
}
