// SPDX-License-Identifier: GPL-2.0-only
/*
 * What ptrace(2) tells of a stopped thread: registers, pending signals, where its restartable
 * sequences are registered, seccomp filters. All of it in the tracing thread, as the kernel lets
 * nobody else ask.
 *
 * One thing is changed: a thread in a restartable critical section is sent to its abort handler at
 * once, before any code of ours can run in it. The kernel would do the same when it goes on; done
 * now, it holds as well for a tool that is killed a moment later.
 */
#include "task/dump.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "compel/base/bits.h"
#include "compel/regs.h"
#include "cr.h"
#include "run.h"
#include "task/rseq.h"
#include "util/alloc.h"
#include "util/log.h"

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif

/* How many siginfos are asked for at a time. */
#define SIGNALS_AT_ONCE 32
/* How many places in the memory of a task are read at a time. */
#define READS_AT_ONCE 256

/* glibc has the requests as an enum, the kernel as numbers. */
static long peek(long request, pid_t tid, const void *addr, void *data)
{
	return ptrace((enum __ptrace_request)request, tid, addr, data);
}

static void add_signal(struct signal_queue *queue, const siginfo_t *info)
{
	queue->items =
		array_grow(queue->items, &queue->capacity, queue->n + 1, sizeof(*queue->items));
	memcpy(queue->items[queue->n++], info, SIGINFO_SIZE);
}

static int peek_queue(struct cr *cr, struct thread *thread, bool is_shared,
		      struct signal_queue *queue)
{
	siginfo_t batch[SIGNALS_AT_ONCE];
	struct __ptrace_peeksiginfo_args args = {
		.flags = is_shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
		.nr = SIGNALS_AT_ONCE,
	};
	long n;

	do {
		args.off = queue->n;
		n = peek(PTRACE_PEEKSIGINFO, thread->host_tid, &args, batch);
		if (n < 0)
			return log_err(cr, -errno, "pid %d: read pending signals of thread %d",
				       thread->task->pid, thread->tid);
		for (long i = 0; i < n; i++)
			add_signal(queue, &batch[i]);
	} while (n == SIGNALS_AT_ONCE);
	return 0;
}

/* ---- restartable sequences ---- */

static int read_memory(const struct thread *thread, uint64_t from, void *to, size_t size)
{
	struct iovec local = {to, size}, remote = {(void *)from, size};
	ssize_t n = process_vm_readv(thread->host_tid, &local, 1, &remote, 1, 0);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EFAULT;
}

static int write_memory(const struct thread *thread, uint64_t to, const void *from, size_t size)
{
	struct iovec local = {(void *)from, size}, remote = {(void *)to, size};
	ssize_t n = process_vm_writev(thread->host_tid, &local, 1, &remote, 1, 0);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EFAULT;
}

/* The part of struct rseq that all versions of it begin with. */
struct rseq_head {
	uint32_t cpu_id_start, cpu_id;
	uint64_t section;
	uint32_t flags;
};

static int abort_section(struct cr *cr, struct thread *thread, const struct rseq_section *section)
{
	const uint64_t none = 0;
	int err;

	log_debug(cr, "pid %d: thread %d goes on at the abort handler of its critical section",
		  thread->task->pid, thread->tid);
	compel_regs_general(thread->dump->regs)->rip = section->abort_ip;
	err = compel_regs_set(thread->host_tid, thread->dump->regs);
	if (err == 0)
		err = write_memory(thread,
				   thread->dump->rseq.pointer + offsetof(struct rseq_head, section),
				   &none, sizeof(none));
	if (err < 0)
		return log_err(cr, err, "pid %d: end the critical section of thread %d",
			       thread->task->pid, thread->tid);
	return 0;
}

static int peek_rseq(struct cr *cr, struct thread *thread)
{
	struct rseq_registration *rseq = &thread->dump->rseq;

	/* Kernels before 5.13, or without rseq(2), have nothing to tell. */
	if (peek(PTRACE_GET_RSEQ_CONFIGURATION, thread->host_tid, (void *)sizeof(*rseq), rseq) <
		    0 &&
	    errno != EIO && errno != EINVAL)
		return log_err(cr, -errno, "pid %d: read the rseq registration of thread %d",
			       thread->task->pid, thread->tid);
	return 0;
}

static int settle_section(struct cr *cr, struct thread *thread, const struct rseq_head *head)
{
	struct rseq_section section;

	/* A section that cannot be read cannot be run in either: the kernel will say so to the
	 * thread itself. */
	if (!head->section || read_memory(thread, head->section, &section, sizeof(section)) < 0)
		return 0;
	switch (rseq_decide(compel_regs_general(thread->dump->regs)->rip, head->flags, &section)) {
	case RSEQ_OUTSIDE:
		return 0;
	case RSEQ_KEEP:
		thread->dump->rseq_cs_pointer = head->section;
		return 0;
	case RSEQ_ABORT:
		return abort_section(cr, thread, &section);
	}
	return 0;
}

/* Threads from..end - 1; the head of each struct rseq comes with one call for all, as each call is
 * expensive. */
static int settle_sections(struct cr *cr, struct task *task, size_t from, size_t end)
{
	struct iovec local[READS_AT_ONCE], remote[READS_AT_ONCE];
	struct rseq_head heads[READS_AT_ONCE];
	size_t n = 0, got;
	ssize_t bytes;
	int err = 0;

	for (size_t i = from; i < end; i++) {
		uint64_t at = task->threads[i].dump->rseq.pointer;

		if (!at)
			continue;
		local[n] = (struct iovec){&heads[n], sizeof(heads[n])};
		remote[n++] = (struct iovec){(void *)at, sizeof(heads[n])};
	}
	if (n == 0)
		return 0;
	bytes = process_vm_readv(task->host_pid, local, n, remote, n, 0);
	got = bytes < 0 ? 0 : (size_t)bytes / sizeof(heads[0]);
	n = 0;
	for (size_t i = from; i < end && err == 0; i++) {
		struct thread *thread = &task->threads[i];

		if (!thread->dump->rseq.pointer)
			continue;
		if (n == got)
			return log_err(cr, bytes < 0 ? -errno : -EFAULT,
				       "pid %d: read struct rseq of thread %d", task->pid,
				       thread->tid);
		err = settle_section(cr, thread, &heads[n++]);
	}
	return err;
}

static int thread_peek(struct cr *cr, struct thread *thread)
{
	int err = compel_regs_get(thread->host_tid, &thread->dump->regs);

	if (err < 0)
		return log_err(cr, err, "pid %d: read the registers of thread %d",
			       thread->task->pid, thread->tid);
	if (compel_regs_is_compat(thread->dump->regs))
		return log_refuse(cr, -EOPNOTSUPP, "pid %d: thread %d runs 32-bit code",
				  thread->task->pid, thread->tid);
	err = peek_queue(cr, thread, false, &thread->dump->pending);
	if (err == 0 && thread == &thread->task->threads[0])
		err = peek_queue(cr, thread, true, &thread->task->dump->pending);
	if (err == 0)
		err = peek_rseq(cr, thread);
	return err;
}

int task_peek(struct cr *cr, struct task *task)
{
	struct thread *thread;
	int err = 0;

	task_for_each_thread (thread, task) {
		err = plan_is_cancelled(cr) ? -ECANCELED : thread_peek(cr, thread);
		if (err < 0)
			return err;
	}
	for (size_t from = 0; from < task->n_threads && err == 0; from += READS_AT_ONCE)
		err = settle_sections(cr, task, from, MIN(from + READS_AT_ONCE, task->n_threads));
	return err;
}

/* ---- signals that are only a bit ---- */

static void complete_queue(struct signal_queue *queue, uint64_t pending)
{
	siginfo_t info;

	for (size_t i = 0; i < queue->n; i++) {
		memcpy(&info, queue->items[i], sizeof(info));
		pending &= ~(UINT64_C(1) << (info.si_signo - 1));
	}
	for (int signo = 1; pending; signo++, pending >>= 1) {
		if (!(pending & 1))
			continue;
		memset(&info, 0, sizeof(info));
		info.si_signo = signo;
		info.si_code = SI_USER;
		add_signal(queue, &info);
	}
}

/* ---- seccomp ---- */

static int peek_filter(struct cr *cr, struct thread *thread, uint64_t index)
{
	struct __ptrace_seccomp_metadata metadata = {.filter_off = index};
	struct seccomp_program *program;
	long n;

	/* From the oldest, which is 0. */
	n = peek(PTRACE_SECCOMP_GET_FILTER, thread->host_tid, (void *)index, NULL);
	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0)
		return log_err(cr, -errno, "pid %d: read seccomp filter %llu of thread %d",
			       thread->task->pid, (unsigned long long)index, thread->tid);

	thread->dump->filters = xreallocarray(thread->dump->filters, index + 1, sizeof(*program));
	program = &thread->dump->filters[index];
	program->n = (size_t)n;
	program->code = xcalloc((size_t)n, sizeof(*program->code));
	program->flags = 0;
	thread->dump->n_filters = index + 1;
	n = peek(PTRACE_SECCOMP_GET_FILTER, thread->host_tid, (void *)index, program->code);
	if (n != (long)program->n)
		return log_err(cr, n < 0 ? -errno : -EIO,
			       "pid %d: read the code of seccomp filter %llu of thread %d",
			       thread->task->pid, (unsigned long long)index, thread->tid);
	if (peek(PTRACE_SECCOMP_GET_METADATA, thread->host_tid, (void *)sizeof(metadata),
		 &metadata) >= 0)
		program->flags = (uint32_t)metadata.flags;
	return 1;
}

static void reverse(struct seccomp_program *programs, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct seccomp_program kept = programs[i];

		programs[i] = programs[n - 1 - i];
		programs[n - 1 - i] = kept;
	}
}

static int thread_peek_rest(struct cr *cr, struct thread *thread)
{
	struct thread_dump *dump = thread->dump;
	int more = 1;

	complete_queue(&dump->pending, dump->status.sig_pending);
	if (thread == &thread->task->threads[0])
		complete_queue(&thread->task->dump->pending, dump->status.shd_pending);

	if (dump->status.seccomp == SECCOMP_MODE_DISABLED)
		return 0;
	/* The calls that the parasite makes are not those the filters were written for. */
	if (peek(PTRACE_SETOPTIONS, thread->host_tid, NULL,
		 (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_SUSPEND_SECCOMP)) < 0)
		return log_err(cr, -errno, "pid %d: suspend the seccomp filters of thread %d",
			       thread->task->pid, thread->tid);
	if (dump->status.seccomp != SECCOMP_MODE_FILTER)
		return 0;
	for (uint64_t index = 0; more > 0; index++)
		more = peek_filter(cr, thread, index);
	reverse(dump->filters, dump->n_filters);
	return more;
}

int task_peek_rest(struct cr *cr, struct task *task)
{
	struct thread *thread;
	int err = 0;

	task_for_each_thread (thread, task)
		if (err == 0)
			err = thread_peek_rest(cr, thread);
	return err;
}
