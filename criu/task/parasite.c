// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asking tasks about themselves. The blob is put into a process, answers one command for the
 * process and one call for each further thread, and is taken out again at once: neither memory nor
 * files are dumped with it inside. A few processes are asked at a time, so that they answer while
 * others are being prepared. Session and registers are compel's, which also sees to it that a
 * process lives on unharmed if this tool is killed meanwhile.
 */
#include "task/dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blob-parasite.h"
#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "compel/session.h"
#include "cr.h"
#include "kernel/features.h"
#include "util/alloc.h"
#include "util/log.h"

/* Processes that are infected at one time, and threads of one that run in the blob at one time. */
#define TASKS_AT_ONCE   16
#define THREADS_AT_ONCE 64
#define STACK_SIZE      8192

static const char *const step_names[] = {
	[PARASITE_STEP_NONE] = "nothing",
	[PARASITE_STEP_TID_ADDRESS] = "the address to clear when a thread ends",
	[PARASITE_STEP_ALTSTACK] = "the alternate signal stack",
	[PARASITE_STEP_PDEATH_SIG] = "the parent death signal",
	[PARASITE_STEP_SECUREBITS] = "the securebits",
	[PARASITE_STEP_BRK] = "the program break",
	[PARASITE_STEP_DUMPABLE] = "whether it is dumpable",
	[PARASITE_STEP_THP] = "whether huge pages are disabled",
	[PARASITE_STEP_SUBREAPER] = "whether it is a child subreaper",
	[PARASITE_STEP_MEMBARRIER] = "registrations for membarrier",
	[PARASITE_STEP_PKEYS] = "its protection keys",
	[PARASITE_STEP_ITIMER] = "an interval timer",
	[PARASITE_STEP_SIGACTION] = "the action for a signal",
	[PARASITE_STEP_POSIX_TIMER] = "a POSIX timer",
};

static int step_failed(struct cr *cr, const struct task *task, int32_t step, int32_t err)
{
	bool is_known = step >= 0 && (size_t)step < ARRAY_SIZE(step_names);

	if (err > 0 || err < -4095)
		err = -EPROTO;
	return log_err(cr, err, "pid %d: ask it for %s", task->pid,
		       is_known ? step_names[step] : "something");
}

/* Errors come back as return values, too: the text is kept for the cause, which needs both. */
static void on_message(void *opaque, enum compel_level level, const char *text)
{
	struct cr *cr = opaque;

	if (level == COMPEL_ERROR)
		log_refuse(cr, -EIO, "%s", text);
	else if (level == COMPEL_WARN)
		log_warn(cr, "%s", text);
	else
		log_debug(cr, "%s", text);
}

static size_t task_args_size(const struct task *task)
{
	return sizeof(struct parasite_task_args) +
	       task->dump->n_timers * sizeof(struct parasite_posix_timer);
}

static void prepare_args(struct cr *cr, struct task *task)
{
	struct parasite_task_args *args;

	task->dump->facts_size = task_args_size(task);
	args = task->dump->facts = xcalloc(1, task->dump->facts_size);
	args->has_membarrier = feature_has(cr->features, FEATURE_MEMBARRIER_GET);
	args->has_pkeys = feature_has(cr->features, FEATURE_PKEYS);
	args->n_timers = (uint32_t)task->dump->n_timers;
	for (size_t i = 0; i < task->dump->n_timers; i++)
		args->timers[i].id = task->dump->timers[i].id;
}

/*
 * Puts the blob in and sends the question about the process; the answer is fetched later. hint is
 * from the process before, and then for the next: most are children of each other.
 */
static int task_infect(struct cr *cr, struct task *task, struct compel_hint *hint)
{
	const struct compel_options options = {
		.log = on_message,
		.log_opaque = cr,
		.hint = hint,
		.main_regs = task->threads[0].dump->regs,
	};
	const size_t n_threads = MIN(task->n_threads - 1, (size_t)THREADS_AT_ONCE);
	const size_t n_slots = n_threads ? n_threads : 1;
	struct compel_layout layout = {
		.args_size = task_args_size(task) + n_threads * sizeof(struct parasite_thread_args),
		.threads = (unsigned int)n_slots,
		.stack_size = STACK_SIZE,
	};
	struct compel_rpc rpc = {.command = PARASITE_TASK};
	int err;

	prepare_args(cr, task);
	rpc.in = task->dump->facts;
	rpc.in_size = task->dump->facts_size;
	err = compel_session_new(task->host_pid, &options, &task->dump->session);
	if (err < 0)
		return err;
	compel_session_hint(task->dump->session, hint);
	if (!compel_session_is_kill_safe(task->dump->session))
		log_warn(cr, "pid %d: must not lose this tool while it is asked about itself",
			 task->pid);
	err = compel_blob_load(task->dump->session, &blob_parasite, &layout);
	if (err < 0)
		return err;
	return compel_rpc_send(task->dump->session, &rpc);
}

/* Threads from..from + n - 1 at the same time. */
static int ask_threads(struct cr *cr, struct task *task, size_t from, size_t n)
{
	struct compel_session *session = task->dump->session;
	struct raddr at = raddr_add(compel_args_address(session), task_args_size(task));
	struct parasite_thread_args args[THREADS_AT_ONCE];
	struct compel_thread_call calls[THREADS_AT_ONCE];
	int err;

	for (size_t i = 0; i < n; i++)
		calls[i] = (struct compel_thread_call){
			.tid = task->threads[from + i].host_tid,
			.arg = raddr_add(at, i * sizeof(args[0])).value,
			.regs = task->threads[from + i].dump->regs,
		};
	err = compel_call_threads(session, BLOB_PARASITE_parasite_thread, calls, (unsigned int)n);
	if (err == 0)
		err = compel_read(session, at, args, n * sizeof(args[0]));
	if (err == 0)
		err = compel_cure_threads(session, calls, (unsigned int)n);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (args[i].err)
			return step_failed(cr, task, args[i].step, args[i].err);
		task->threads[from + i].dump->facts = args[i].facts;
	}
	return 0;
}

static int task_ask(struct cr *cr, struct task *task)
{
	struct parasite_task_args *facts = task->dump->facts;
	struct compel_rpc rpc = {
		.command = PARASITE_TASK,
		.out = facts,
		.out_size = task->dump->facts_size,
	};
	long ret = compel_rpc_receive(task->dump->session, &rpc);
	int err = ret < 0 ? (int)ret : 0;

	/* The answer comes out of the task's memory: lengths are ours. */
	if (err == 0 && rpc.out_size != task->dump->facts_size)
		err = log_refuse(cr, -EPROTO, "pid %d: answered with %zu bytes", task->pid,
				 rpc.out_size);
	if (err == 0 && facts->err)
		err = step_failed(cr, task, facts->step, facts->err);
	if (err < 0)
		return err;
	task->threads[0].dump->facts = facts->leader;

	for (size_t from = 1; from < task->n_threads && err == 0; from += THREADS_AT_ONCE)
		err = ask_threads(cr, task, from,
				  MIN(task->n_threads - from, (size_t)THREADS_AT_ONCE));
	return err;
}

static int task_cure(struct cr *cr, struct task *task)
{
	struct compel_session *session = TAKE_PTR(task->dump->session);
	int err;

	if (!session)
		return 0;
	err = compel_cure(session);
	compel_session_free(session);
	return err;
}

int parasite_ask(struct cr *cr)
{
	struct task **tasks = cr->tree->by_index;
	struct compel_hint hint = {0};
	size_t n = cr->tree->n_tasks;
	int err = 0;

	for (size_t from = 0; from < n && err == 0; from += TASKS_AT_ONCE) {
		size_t end = MIN(from + TASKS_AT_ONCE, n);

		for (size_t i = from; i < end && err == 0; i++)
			err = task_is_alive(tasks[i]) ? task_infect(cr, tasks[i], &hint) : 0;
		for (size_t i = from; i < end && err == 0; i++)
			err = task_is_alive(tasks[i]) ? task_ask(cr, tasks[i]) : 0;
		for (size_t i = from; i < end && err == 0; i++)
			err = task_is_alive(tasks[i]) ? task_cure(cr, tasks[i]) : 0;
	}
	return err;
}

void parasite_cure(struct cr *cr)
{
	struct task *task;

	if (!cr->tree)
		return;
	tree_for_each_task (task, cr->tree)
		if (task_is_alive(task))
			(void)task_cure(cr, task);
}
