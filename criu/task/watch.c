// SPDX-License-Identifier: GPL-2.0-only
/*
 * A watch over PTRACE_SEIZE. The call waits for a lock that a thread in execve(2) holds while it
 * waits in turn for all other threads of its process to be gone; and those that are traced by then
 * are gone only when their tracer has seen them dead. The tracing thread, in its call, cannot look,
 * and no signal gets it out of there; but any thread of the tracer's process may look for it. So
 * while threads of a process are being seized, one more thread of ours wakes up now and then, and
 * where the tracing thread is in the same call still, waits for the dead of that process.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "kernel/proc.h"
#include "task/dump-priv.h"
#include "util/alloc.h"

/* Nobody is in the same call for that long, in milliseconds, who is not stuck. */
#define TICK_MS 20

struct watch {
	pthread_t thread;
	int end;        /* eventfd */
	uint64_t state; /* pid of the process that is being seized, 0: none; above it, how many
			   calls there were */
};

static void see_dead(pid_t pid)
{
	_cleanup_close_ int dir = proc_open(pid);
	_cleanup_free_ pid_t *tids = NULL;
	siginfo_t info;
	size_t n;

	if (dir < 0 || proc_read_threads(dir, &tids, &n) < 0)
		return;
	/* The main thread is for the tracing thread: it may be the death of the process that its
	 * parent waits for. */
	for (size_t i = 0; i < n; i++)
		if (tids[i] != pid)
			waitid(P_PID, (id_t)tids[i], &info, WEXITED | WNOHANG | __WALL);
}

static void *watch_run(void *arg)
{
	struct watch *watch = arg;
	struct pollfd end = {.fd = watch->end, .events = POLLIN};
	uint64_t before = 0;

	while (poll(&end, 1, TICK_MS) <= 0) {
		uint64_t now = __atomic_load_n(&watch->state, __ATOMIC_ACQUIRE);

		if (now == before && (pid_t)now)
			see_dead((pid_t)now);
		before = now;
	}
	return NULL;
}

int watch_start(struct watch **ret_watch)
{
	struct watch *watch = xcalloc(1, sizeof(*watch));
	sigset_t all, old;
	int err;

	watch->end = eventfd(0, EFD_CLOEXEC);
	if (watch->end < 0) {
		err = -errno;
		free(watch);
		return err;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&watch->thread, NULL, watch_run, watch);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err < 0) {
		close(watch->end);
		free(watch);
		return err;
	}
	*ret_watch = watch;
	return 0;
}

void watch_call(struct watch *watch, pid_t pid)
{
	uint64_t calls;

	if (!watch)
		return;
	calls = (watch->state >> 32) + 1;
	__atomic_store_n(&watch->state, calls << 32 | (uint32_t)pid, __ATOMIC_RELEASE);
}

void watch_stop(struct watch *watch)
{
	if (!watch)
		return;
	eventfd_write(watch->end, 1);
	pthread_join(watch->thread, NULL);
	close(watch->end);
	free(watch);
}
