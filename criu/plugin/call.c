// SPDX-License-Identifier: GPL-2.0-only
/*
 * One call of a hook, guarded. A plugin is somebody else's code in the process that holds a frozen
 * tree, so whatever it does, control comes back: a hook that runs past its deadline is interrupted
 * (its system calls return EINTR, criu_is_cancelled() says yes), and if that does not help, left by
 * a jump; one that crashes is left by a jump as well. What a plugin held when it was left that way
 * (locks, memory) is lost; its closing hooks are called all the same, with deadlines of their own.
 * If even that fails and the tool dies, the journal has what is to be done (G8, G11, G12). It dies
 * by its own hand should it not get on any more: what was left may hold the lock of the allocator.
 *
 * In the process of a task that is being restored nothing is caught: a crash kills the process, and
 * the coordinator, which sees in shared memory what was being called, ends the restore.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "compel/base/bits.h"
#include "cr.h"
#include "plugin/priv.h"
#include "run.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/report.h"
#include "util/time.h"

#define STANDARD_TIMEOUT_MS 60000
/* Between the signal that interrupts and the one that ends. */
#define GRACE_MS 1000
/* Of the core's own work behind a hook that was left, beside the time of a call. */
#define WATCHDOG_MS 10000
#define STACK_SIZE  (64u << 10)

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};

/* Handlers get no argument of ours: what this thread is calling. */
static _Thread_local struct call *calling;

static int deadline_signal(void)
{
	return SIGRTMAX - 1;
}

static void on_deadline(int sig, siginfo_t *info, void *context)
{
	struct call *call = calling;

	if (!call)
		return;
	if (!call->is_overdue) {
		call->is_overdue = 1;
		return;
	}
	siglongjmp(call->escape, 1);
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
	struct call *call = calling;

	if (call) {
		call->crash = sig;
		siglongjmp(call->escape, 1);
	}
	/* Our own: as without us. The instruction is run again, or the signal sent. */
	signal(sig, SIG_DFL);
	if (info->si_code <= 0)
		raise(sig);
}

/* Handlers are there for the whole run; they mean something only while `calling` is set. */
int plugin_calls_start(struct cr *cr)
{
	struct sigaction crash = {.sa_sigaction = on_crash,
				  .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	struct sigevent watchdog = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	struct sigaction deadline = {.sa_sigaction = on_deadline, .sa_flags = SA_SIGINFO};

	sigemptyset(&crash.sa_mask);
	sigemptyset(&deadline.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(crash_signals); i++)
		sigaction(crash_signals[i], &crash, NULL);
	sigaction(deadline_signal(), &deadline, NULL);
	/* Now, while nobody has the allocator's lock. */
	if (timer_create(CLOCK_MONOTONIC, &watchdog, &cr->plugins->watchdog) < 0)
		return log_err(cr, -errno, "plugins: make a timer");
	cr->plugins->has_watchdog = true;
	return 0;
}

void plugin_calls_end(struct cr *cr)
{
	if (cr->plugins->has_watchdog)
		timer_delete(cr->plugins->watchdog);
	cr->plugins->has_watchdog = false;
}

/*
 * Once a hook was left, each call of the next one, and each stretch of the core's work until then,
 * has to end in time; otherwise the guardian does what is left to be done, from the journal.
 */
static void watchdog_feed(const struct call *call)
{
	const struct plugins *plugins = call->cr->plugins;
	unsigned int ms = call->timeout_ms + GRACE_MS + WATCHDOG_MS;
	const struct itimerspec when = {
		.it_value = {ms / 1000, (long)(ms % 1000) * 1000000},
	};

	if (plugins->has_watchdog && __atomic_load_n(&plugins->was_left, __ATOMIC_RELAXED))
		timer_settime(plugins->watchdog, 0, &when, NULL);
}

struct guard {
	timer_t timer;
	bool has_timer;
	void *stack;
	stack_t old_stack;
	sigset_t old_mask;
};

/* A stack overflow needs another stack for its handler. */
static void guard_stack(struct guard *guard)
{
	stack_t stack = {.ss_size = STACK_SIZE};

	guard->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (guard->stack == MAP_FAILED) {
		guard->stack = NULL;
		return;
	}
	stack.ss_sp = guard->stack;
	sigaltstack(&stack, &guard->old_stack);
}

static void guard_timer(struct cr *cr, struct guard *guard, unsigned int timeout_ms)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = deadline_signal()};
	struct itimerspec when = {
		.it_value = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000},
		.it_interval = {GRACE_MS / 1000, (long)(GRACE_MS % 1000) * 1000000},
	};

	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &guard->timer) < 0) {
		log_warn(cr, "plugins: no timer for deadlines: %s", strerror(errno));
		return;
	}
	guard->has_timer = true;
	timer_settime(guard->timer, 0, &when, NULL);
}

/* Workers have all signals blocked; these must get through. */
static void guard_start(struct cr *cr, struct guard *guard, unsigned int timeout_ms)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, deadline_signal());
	for (size_t i = 0; i < ARRAY_SIZE(crash_signals); i++)
		sigaddset(&set, crash_signals[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, &guard->old_mask);
	guard_stack(guard);
	guard_timer(cr, guard, timeout_ms);
}

static void guard_end(struct guard *guard)
{
	if (guard->has_timer)
		timer_delete(guard->timer);
	if (guard->stack) {
		sigaltstack(&guard->old_stack, NULL);
		munmap(guard->stack, STACK_SIZE);
	}
	pthread_sigmask(SIG_SETMASK, &guard->old_mask, NULL);
}

unsigned int plugin_timeout(const struct cr *cr, const struct plugin *plugin)
{
	if (cr->opts && cr->opts->plugin_timeout)
		return cr->opts->plugin_timeout * 1000;
	return plugin->decl.timeout_ms ? plugin->decl.timeout_ms : STANDARD_TIMEOUT_MS;
}

void plugin_call_describe(const struct call *call, char *ret, size_t size)
{
	int n = snprintf(ret, size, "plugin %s: %s", call->plugin->decl.name, call->view.hook);

	if (call->task && n > 0 && (size_t)n < size)
		n += snprintf(ret + n, size - (size_t)n, ": pid %d", call->task->view.pid);
	if (call->file && n > 0 && (size_t)n < size)
		n += snprintf(ret + n, size - (size_t)n, ": fd %d (%s)", call->file->fd,
			      call->file->path);
	if (call->mapping && n > 0 && (size_t)n < size)
		snprintf(ret + n, size - (size_t)n, ": mapping %llx (%s)",
			 (unsigned long long)call->mapping->start, call->mapping->path);
}

/* What the result means (G13). */
static int judge(struct call *call, const struct call_about *about, int result)
{
	struct cr *cr = call->cr;
	char text[256];
	int err = result;

	plugin_call_describe(call, text, sizeof(text));
	if (call->crash) {
		err = log_refuse(cr, -EFAULT, "%s: crashed by signal %d (%s)", text,
				 (int)call->crash, strsignal(call->crash));
	} else if (call->is_overdue) {
		err = log_refuse(cr, -ETIMEDOUT, "%s: is not done after %u ms", text,
				 call->timeout_ms);
		log_remedy(cr, "give it longer with --plugin-timeout");
	} else if (result < 0 && !call->has_said) {
		err = log_err(cr, result, "%s", text);
	} else if (result > 0 && (result > 31 || !(about->allowed & 1u << result))) {
		err = log_refuse(cr, -EPROTO, "%s: returned %d, which has no meaning here", text,
				 result);
	}
	if (err < 0 && cr->report)
		report_plugin_set(cr->report, call->plugin->decl.name);
	return err;
}

static int run_guarded(struct call *call, int (*body)(struct criu_call *call, void *arg), void *arg)
{
	struct guard guard = {0};
	volatile int ret = 0;

	watchdog_feed(call);
	guard_start(call->cr, &guard, call->timeout_ms);
	if (sigsetjmp(call->escape, 1) == 0) {
		calling = call;
		ret = body(&call->view, arg);
		call->is_done = ret == 0;
	} else {
		__atomic_store_n(&call->cr->plugins->was_left, true, __ATOMIC_RELAXED);
	}
	calling = NULL;
	guard_end(&guard);
	/* The signal may not have come yet. */
	if (time_now_us() >= call->deadline_us)
		call->is_overdue = 1;
	watchdog_feed(call);
	return ret;
}

int plugin_call(struct cr *cr, struct plugin *plugin, const struct call_about *about,
		int (*body)(struct criu_call *call, void *arg), void *arg, struct call *ret_call)
{
	struct call own = {0};
	struct call *call = ret_call ? ret_call : &own;
	uint64_t started = time_now_us();
	int ret;

	memset(call, 0, sizeof(*call));
	plugin->was_called = true;
	call->cr = cr;
	call->plugin = plugin;
	call->task = about->task;
	call->file = about->file;
	call->mapping = about->mapping;
	call->phase = about->phase;
	call->timeout_ms = plugin_timeout(cr, plugin);
	call->deadline_us = started + call->timeout_ms * 1000ull;
	call->view = (struct criu_call){
		.size = sizeof(call->view),
		.operation = cr->plugins ? cr->plugins->operation : 0,
		.plugin = plugin->exported,
		.hook = about->hook,
		.tasks = plugin->listed,
		.n_tasks = plugin->n_listed,
		.outcome = about->outcome,
		.context = plugin->context,
		.core = call,
	};
	if (cr->plugins && cr->plugins->own_pid) {
		activity_begin(cr->plugins, plugin->decl.name, about->hook, call->timeout_ms);
		ret = body(&call->view, arg);
		call->is_done = ret == 0;
		activity_end(cr->plugins);
	} else {
		ret = run_guarded(call, body, arg);
	}
	if (call->view.context != plugin->context)
		plugin->context = call->view.context;
	plugin_count(plugin, about->hook, time_now_us() - started);
	return judge(call, about, ret);
}

void plugin_call_last(struct cr *cr, struct plugin *plugin, const struct call_about *about,
		      int (*body)(struct criu_call *call, void *arg))
{
	bool is_success = cr->report && !report_cause_get(cr->report);

	if (plugin_call(cr, plugin, about, body, plugin, NULL) == 0 || !is_success)
		return;
	log_warn(cr, "plugin %s: %s: what failed here harms nobody", plugin->decl.name,
		 about->hook);
	report_cause_demote(cr->report);
}
