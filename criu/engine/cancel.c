/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cancellation by signal. A handler, not a signalfd: a blocked signal would stay pending in forked
 * tasks and hit them when they run again, and would be inherited through exec; a handler is shed by
 * exec, and interrupts system calls that wait (hence no SA_RESTART). It sets a flag in shared
 * memory and makes an eventfd readable, so that a wait that polls it cannot miss the signal. While
 * the run is undone the signals are blocked: nothing then meets EINTR. Dispositions that were
 * "ignore" (nohup, background jobs) are left alone.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "engine/run-priv.h"
#include "run.h"
#include "util/log.h"
#include "util/time.h"

static const int signals[RUN_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};

/* A handler gets no argument of ours: the run that the signals of this process are for. */
static struct run *signalled;

static void take_signal(struct run *run, int sig)
{
	const uint64_t one = 1;
	uint32_t none = 0;
	int saved = errno;

	if (__atomic_compare_exchange_n(&run->signal, &none, (uint32_t)sig, false, __ATOMIC_ACQ_REL,
					__ATOMIC_RELAXED) &&
	    write(run->cancel_fd, &one, sizeof(one)) < 0)
		/* Waits that poll it go on till their own end; the flag is set. */
		errno = saved;
	errno = saved;
}

static void cancel_handler(int sig)
{
	if (signalled && !signalled->is_deaf)
		take_signal(signalled, sig);
}

static void signals_of_run(sigset_t *ret)
{
	sigemptyset(ret);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(ret, signals[i]);
}

int cancel_start(struct cr *cr)
{
	struct sigaction action = {.sa_handler = cancel_handler};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct run *run = cr->run;

	run->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (run->cancel_fd < 0)
		return log_err(cr, -errno, "run: eventfd");
	signalled = run;
	signals_of_run(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		sigaction(signals[i], NULL, &run->old[i]);
		if (run->old[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
	sigaction(SIGPIPE, &ignore, &run->old_pipe);
	sigaction(SIGXFSZ, &ignore, &run->old_xfsz);
	return 0;
}

void cancel_deafen(struct cr *cr)
{
	sigset_t set;

	signals_of_run(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	cr->run->is_deaf = true;
}

void cancel_stop(struct cr *cr)
{
	struct run *run = cr->run;
	sigset_t set;

	/* What came meanwhile is taken by our handler still, and comes to nothing: the run has
	 * ended. */
	run->is_deaf = true;
	signals_of_run(&set);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &run->old[i], NULL);
	sigaction(SIGPIPE, &run->old_pipe, NULL);
	sigaction(SIGXFSZ, &run->old_xfsz, NULL);
	signalled = NULL;
	close(run->cancel_fd);
}

void plan_reset_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

bool plan_is_cancelled(const struct cr *cr)
{
	const struct run *run = cr->run;

	return run && !run->is_deaf && __atomic_load_n(&run->signal, __ATOMIC_ACQUIRE);
}

bool plan_is_cancelled_blocked(const struct cr *cr)
{
	struct run *run = cr->run;
	sigset_t pending;

	if (plan_is_cancelled(cr))
		return true;
	if (!run || run->is_deaf || getpid() != run->owner || sigpending(&pending) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (run->old[i].sa_handler != SIG_IGN && sigismember(&pending, signals[i]))
			take_signal(run, signals[i]);
	return plan_is_cancelled(cr);
}

int plan_cancel_fd(const struct cr *cr)
{
	return cr->run && !cr->run->is_deaf ? cr->run->cancel_fd : -1;
}

int plan_wait_fd(struct cr *cr, int fd, short events, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = fd, .events = events},
			       {.fd = plan_cancel_fd(cr), .events = POLLIN}};
	uint64_t end_us = time_now_us() + (uint64_t)MAX(timeout_ms, 0) * 1000;

	/* A signal before the first poll(2) has made the eventfd readable. */
	for (;;) {
		int tick = progress_interval_ms(cr), wait_ms = tick, n;

		if (timeout_ms >= 0) {
			uint64_t now = time_now_us();
			int left = now < end_us ? (int)((end_us - now + 999) / 1000) : 0;

			wait_ms = tick < 0 ? left : MIN(left, tick);
		}
		/* A negative fd is passed over by poll(2). */
		n = poll(fds, 2, wait_ms);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (plan_is_cancelled(cr))
			return -ECANCELED;
		if (n > 0 && fds[0].revents)
			return fds[0].revents & POLLNVAL ? -EBADF : 1;
		if (n == 0 && timeout_ms >= 0 && time_now_us() >= end_us)
			return 0;
		progress_tick(cr);
	}
}
