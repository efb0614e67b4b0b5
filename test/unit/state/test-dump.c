/* SPDX-License-Identifier: GPL-2.0-only */
/* Facts of a task into messages: signals, actions, credentials, timers, seccomp chains. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/lib/image.h"
#include "images/seccomp.pb-c.h"
#include "state/message.h"
#include "state/parts.h"
#include "state/seccomp.h"
#include "task/dump.h"

#define MAX_THREADS 3

struct fixture {
	struct cr cr;
	struct task task;
	struct task_dump dump;
	struct thread threads[MAX_THREADS];
	struct thread_dump thread_dumps[MAX_THREADS];
};

static void setup(struct fixture *f, size_t n_threads)
{
	memset(f, 0, sizeof(*f));
	f->task.state = TASK_ALIVE;
	f->task.pid = f->task.host_pid = 100;
	f->task.threads = f->threads;
	f->task.n_threads = n_threads;
	f->task.dump = &f->dump;
	f->dump.facts =
		xcalloc(1, sizeof(*f->dump.facts) + 2 * sizeof(struct parasite_posix_timer));
	for (size_t i = 0; i < n_threads; i++) {
		struct thread *thread = &f->threads[i];

		thread->task = &f->task;
		thread->tid = thread->host_tid = 100 + (pid_t)i;
		thread->dump = &f->thread_dumps[i];
		thread->core = message_new(&core_entry__descriptor);
		thread->core->thread_core = message_new(&thread_core_entry__descriptor);
	}
	f->threads[0].core->tc = message_new(&task_core_entry__descriptor);
}

static void teardown(struct fixture *f)
{
	for (size_t i = 0; i < f->task.n_threads; i++)
		image_message_free(f->threads[i].core);
	free(f->dump.facts);
}

static void test_signals(void **state)
{
	uint8_t items[2][SIGINFO_SIZE] = {{SIGUSR1}, {SIGUSR2}};
	struct fixture f;
	SignalQueueEntry *queue;

	setup(&f, 2);
	items[1][127] = 0x5a;
	f.thread_dumps[1].pending = (struct signal_queue){.items = items, .n = 2};
	assert_int_equal(task_part_sigqueue.dump(&f.cr, &f.task), 0);
	assert_int_equal(thread_part_sigqueue.dump(&f.cr, &f.threads[1]), 0);
	/* Empty is a queue as well. */
	assert_int_equal(f.threads[0].core->tc->signals_s->n_signals, 0);
	queue = f.threads[1].core->thread_core->signals_p;
	assert_int_equal(queue->n_signals, 2);
	assert_int_equal(queue->signals[1]->siginfo.len, SIGINFO_SIZE);
	assert_int_equal(queue->signals[0]->siginfo.data[0], SIGUSR1);
	assert_int_equal(queue->signals[1]->siginfo.data[127], 0x5a);
	teardown(&f);
}

static void test_actions(void **state)
{
	struct fixture f;
	TaskCoreEntry *tc;

	setup(&f, 1);
	for (int i = 0; i < PARASITE_N_SIGNALS; i++)
		f.dump.facts->actions[i] = (struct parasite_sigaction){.handler = (uint64_t)i + 1,
								       .flags = 0x04000000,
								       .restorer = 7,
								       .mask = 1ull << 63};
	assert_int_equal(task_part_sigaction.dump(&f.cr, &f.task), 0);
	tc = f.threads[0].core->tc;
	assert_int_equal(tc->n_sigactions, 62);
	/* In order, without 9 and 19. */
	assert_int_equal(tc->sigactions[7]->sigaction, 8);
	assert_int_equal(tc->sigactions[8]->sigaction, 10);
	assert_int_equal(tc->sigactions[16]->sigaction, 18);
	assert_int_equal(tc->sigactions[17]->sigaction, 20);
	assert_int_equal(tc->sigactions[61]->sigaction, 64);
	assert_int_equal(tc->sigactions[0]->flags, 0x04000000);
	assert_true(tc->sigactions[0]->mask == 1ull << 63);
	teardown(&f);
}

static void test_creds(void **state)
{
	uint32_t groups[] = {4, 70000};
	struct fixture f;
	CredsEntry *creds;

	setup(&f, 1);
	f.thread_dumps[0].status = (struct proc_status){
		.uid = {1, 2, 3, 4},
		.gid = {5, 6, 7, 8},
		.groups = groups,
		.n_groups = 2,
		.cap_effective = 0x1ff00000023ull,
		.no_new_privs = true,
	};
	f.thread_dumps[0].facts.securebits = 20;
	assert_int_equal(thread_part_creds.dump(&f.cr, &f.threads[0]), 0);
	creds = f.threads[0].core->thread_core->creds;
	/* /proc has real, effective, saved, file system. */
	assert_int_equal(creds->uid, 1);
	assert_int_equal(creds->euid, 2);
	assert_int_equal(creds->suid, 3);
	assert_int_equal(creds->fsuid, 4);
	assert_int_equal(creds->fsgid, 8);
	assert_int_equal(creds->n_cap_eff, 2);
	assert_int_equal(creds->cap_eff[0], 0x23);
	assert_int_equal(creds->cap_eff[1], 0x1ff);
	assert_int_equal(creds->n_cap_amb, 2);
	assert_int_equal(creds->secbits, 20);
	assert_int_equal(creds->n_groups, 2);
	assert_int_equal(creds->groups[1], 70000);
	assert_true(creds->has_no_new_privs && creds->no_new_privs == 1);
	teardown(&f);
}

static void test_posix_timers(void **state)
{
	struct proc_timer timers[2] = {
		{.id = 3, .signo = 44, .sival = 0xabcd, .notify = 0, .clock_id = 1},
		{.id = 5, .signo = 45, .notify = SIGEV_THREAD_ID, .target = 101, .clock_id = -6},
	};
	struct fixture f;
	TaskTimersEntry *entry;

	setup(&f, 1);
	f.dump.timers = timers;
	f.dump.n_timers = 2;
	f.dump.facts->timers[1] = (struct parasite_posix_timer){
		.id = 5, .overrun = 2, .interval_sec = 70, .value_sec = 9, .value_nsec = 999999999};
	f.dump.facts->itimers[2].value_usec = 4000;
	assert_int_equal(task_part_itimer.dump(&f.cr, &f.task), 0);
	assert_int_equal(task_part_posix_timer.dump(&f.cr, &f.task), 0);
	entry = f.threads[0].core->tc->timers;
	assert_int_equal(entry->prof->vusec, 4000);
	assert_int_equal(entry->n_posix, 2);
	assert_false(entry->posix[0]->has_notify_thread_id);
	assert_true(entry->posix[0]->sival_ptr == 0xabcd);
	assert_int_equal(entry->posix[1]->notify_thread_id, 101);
	assert_true(entry->posix[1]->clock_id == 4294967290u);
	assert_int_equal(entry->posix[1]->overrun, 2);
	assert_int_equal(entry->posix[1]->isec, 70);
	assert_int_equal(entry->posix[1]->vnsec, 999999999);
	teardown(&f);
}

static void test_zombie(void **state)
{
	struct fixture f;
	TaskCoreEntry *tc;

	setup(&f, 1);
	f.task.state = TASK_DEAD;
	f.dump.stat.exit_code = 7 << 8;
	f.dump.stat.flags = 0x400144;
	strcpy(f.dump.stat.comm, "a name of more than 15");
	assert_true(task_part_process.of_zombies && task_part_comm.of_zombies);
	assert_int_equal(task_part_process.dump(&f.cr, &f.task), 0);
	assert_int_equal(task_part_comm.dump(&f.cr, &f.task), 0);
	tc = f.threads[0].core->tc;
	assert_int_equal(tc->task_state, 2);
	assert_int_equal(tc->exit_code, 1792);
	assert_int_equal(tc->flags, 0);
	assert_false(tc->has_stop_signo);
	assert_string_equal(tc->comm, "a name of more ");
	teardown(&f);
}

static void test_stopped(void **state)
{
	struct fixture f;

	setup(&f, 1);
	f.task.state = TASK_STOPPED;
	f.thread_dumps[0].stop_signo = SIGTSTP;
	assert_int_equal(task_part_process.dump(&f.cr, &f.task), 0);
	assert_int_equal(f.threads[0].core->tc->task_state, 3);
	assert_int_equal(f.threads[0].core->tc->stop_signo, SIGTSTP);
	teardown(&f);
}

/* ---- seccomp ---- */

static struct sock_filter code_a[2] = {{.code = 1}, {.code = 6}};
static struct sock_filter code_b[1] = {{.code = 6, .k = 0x7fff0000}};

/* Newest first. */
static struct seccomp_program chain_ba[2] = {
	{.code = code_b, .n = 1, .flags = SECCOMP_FILTER_FLAG_LOG},
	{.code = code_a, .n = 2},
};
static struct seccomp_program chain_a[1] = {{.code = code_a, .n = 2}};

static void give_chain(struct thread_dump *dump, struct seccomp_program *chain, size_t n)
{
	dump->status.seccomp = n ? SECCOMP_MODE_FILTER : SECCOMP_MODE_DISABLED;
	dump->filters = chain;
	dump->n_filters = n;
}

static void test_seccomp_single(void **state)
{
	SeccompEntry *entry = message_new(&seccomp_entry__descriptor);
	struct fixture f;

	setup(&f, 1);
	give_chain(&f.thread_dumps[0], chain_ba, 2);
	seccomp_add_task(entry, &f.task);
	assert_int_equal(entry->n_seccomp_filters, 2);
	/* The newest is the first and has nothing newer; the thread names the oldest. */
	assert_false(entry->seccomp_filters[0]->has_prev);
	assert_int_equal(entry->seccomp_filters[0]->filter.len, sizeof(code_b));
	assert_int_equal(entry->seccomp_filters[0]->flags,
			 SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_TSYNC);
	assert_true(entry->seccomp_filters[1]->has_prev);
	assert_int_equal(entry->seccomp_filters[1]->prev, 0);
	assert_int_equal(entry->seccomp_filters[1]->flags, SECCOMP_FILTER_FLAG_TSYNC);
	assert_int_equal(f.thread_dumps[0].seccomp_id, 1);
	assert_int_equal(thread_part_seccomp.dump(&f.cr, &f.threads[0]), 0);
	assert_int_equal(f.threads[0].core->thread_core->seccomp_filter, 1);
	image_message_free(entry);
	teardown(&f);
}

static void test_seccomp_shared(void **state)
{
	SeccompEntry *entry = message_new(&seccomp_entry__descriptor);
	struct fixture f;

	setup(&f, 3);
	for (size_t i = 0; i < 3; i++)
		give_chain(&f.thread_dumps[i], chain_ba, 2);
	seccomp_add_task(entry, &f.task);
	assert_int_equal(entry->n_seccomp_filters, 2);
	assert_true(f.thread_dumps[0].has_seccomp_id);
	assert_false(f.thread_dumps[1].has_seccomp_id);
	assert_int_equal(thread_part_seccomp.dump(&f.cr, &f.threads[1]), 0);
	assert_int_equal(f.threads[1].core->thread_core->seccomp_mode, SECCOMP_MODE_FILTER);
	assert_false(f.threads[1].core->thread_core->has_seccomp_filter);
	image_message_free(entry);
	teardown(&f);
}

static void test_seccomp_different(void **state)
{
	SeccompEntry *entry = message_new(&seccomp_entry__descriptor);
	struct fixture f;

	setup(&f, 3);
	give_chain(&f.thread_dumps[0], chain_a, 1);
	give_chain(&f.thread_dumps[1], chain_ba, 2);
	give_chain(&f.thread_dumps[2], NULL, 0);
	seccomp_add_task(entry, &f.task);
	assert_int_equal(entry->n_seccomp_filters, 3);
	assert_int_equal(f.thread_dumps[0].seccomp_id, 0);
	assert_int_equal(f.thread_dumps[1].seccomp_id, 2);
	assert_false(entry->seccomp_filters[1]->has_prev);
	assert_int_equal(entry->seccomp_filters[2]->prev, 1);
	assert_int_equal(entry->seccomp_filters[0]->flags, 0);
	assert_int_equal(entry->seccomp_filters[1]->flags, SECCOMP_FILTER_FLAG_LOG);
	assert_int_equal(thread_part_seccomp.dump(&f.cr, &f.threads[2]), 0);
	assert_false(f.threads[2].core->thread_core->has_seccomp_mode);
	image_message_free(entry);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_creds),
		cmocka_unit_test(test_posix_timers),
		cmocka_unit_test(test_zombie),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_seccomp_single),
		cmocka_unit_test(test_seccomp_shared),
		cmocka_unit_test(test_seccomp_different),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
