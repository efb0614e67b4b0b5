// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program that notices if something is done to it: victim REPORT KIND... runs one thread of each
 *kind (the first is the main thread), each of which works in rounds and checks everything it can
 *see.
 *
 *	compute    all general, x87, SSE, AVX, AVX-512 and tile registers this CPU has, PKRU, the
 *red zone below the stack pointer nanosleep futex poll pipe epoll    the call returns what it
 *should, not early, never EINTR
 *
 * SIGRTMIN with increasing values must arrive one by one.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "test/compel/victim.h"

static struct victim_report *report;

struct work {
	unsigned int index;
	void (*round)(struct work *);
	int fds[2];
	uint32_t next, word;
};

static void fail(const char *format, ...)
{
	va_list args;

	if (__atomic_exchange_n(&report->failed, 1, __ATOMIC_SEQ_CST))
		return;
	va_start(args, format);
	vsnprintf(report->text, sizeof(report->text), format, args);
	va_end(args);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#include "test/compel/victim-registers.h"

static void round_nanosleep(struct work *w)
{
	struct timespec t = {0, 3000000};
	int64_t before = now_ns();

	if (nanosleep(&t, NULL) != 0 || now_ns() - before < 3000000)
		fail("nanosleep: %s after %lld ns", strerror(errno),
		     (long long)(now_ns() - before));
}

static void round_futex(struct work *w)
{
	struct timespec t = {0, 4000000};
	int64_t before = now_ns();
	long ret = syscall(__NR_futex, &w->word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);

	if (ret != -1 || errno != ETIMEDOUT || now_ns() - before < 4000000)
		fail("futex: %ld, %s", ret, strerror(errno));
}

static void round_poll(struct work *w)
{
	struct pollfd pfd = {.fd = w->fds[0], .events = POLLIN};
	int64_t before = now_ns();
	int ret = poll(&pfd, 1, 5);

	if (ret != 0 || now_ns() - before < 4900000)
		fail("poll: %d, %s", ret, strerror(errno));
}

static void round_epoll(struct work *w)
{
	struct epoll_event event;
	int64_t before = now_ns();
	int ret = epoll_wait(w->fds[0], &event, 1, 5);

	/* The kernel never restarts this one after a stop (signal(7)). */
	if (ret < 0 && errno == EINTR)
		return;
	if (ret != 0 || now_ns() - before < 4900000)
		fail("epoll_wait: %d, %s", ret, strerror(errno));
}

static void *pipe_writer(void *arg)
{
	struct work *w = arg;
	struct timespec t = {0, 2000000};

	for (uint32_t n = 0;; n++) {
		if (write(w->fds[1], &n, sizeof(n)) != sizeof(n))
			fail("write to a pipe: %s", strerror(errno));
		nanosleep(&t, NULL);
	}
	return NULL;
}

static void round_pipe(struct work *w)
{
	uint32_t n;
	ssize_t ret = read(w->fds[0], &n, sizeof(n));

	if (ret != sizeof(n) || n != w->next++)
		fail("read from a pipe: %zd, %s, %u instead of %u", ret, strerror(errno), n,
		     w->next - 1);
}

/* For those who want many threads and little noise. */
static void round_sleep(struct work *w)
{
	pause();
}

/* From now on whoever maps memory or makes sockets in this process kills it. */
static void round_sandbox(struct work *w)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socketpair, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), (void *)code};

	if (!w->next++ && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			   syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
				   &program) != 0))
		fail("seccomp: %s", strerror(errno));
	round_nanosleep(w);
}

static void prepare(struct work *w)
{
	static const struct timespec settle = {0, 1000000};
	pthread_t writer;

	if (w->round == round_poll && pipe(w->fds) < 0)
		fail("pipe");
	if (w->round == round_epoll)
		w->fds[0] = epoll_create1(0);
	if (w->round == round_pipe &&
	    (pipe(w->fds) < 0 || pthread_create(&writer, NULL, pipe_writer, w)))
		fail("pipe");
	nanosleep(&settle, NULL);
}

static void *work(void *arg)
{
	struct work *w = arg;

	prepare(w);
	__atomic_add_fetch(&report->ready, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		w->round(w);
		__atomic_add_fetch(&report->rounds[w->index], 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static const struct {
	const char *name;
	void (*round)(struct work *);
} kinds[] = {
	{"compute", round_compute}, {"nanosleep", round_nanosleep}, {"futex", round_futex},
	{"poll", round_poll},       {"epoll", round_epoll},         {"pipe", round_pipe},
	{"sleep", round_sleep},     {"sandbox", round_sandbox},
};

static void *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return kinds[i].round;
	}
	exit(2);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	if ((uint32_t)info->si_value.sival_int != report->signals)
		fail("signal %d instead of %u", info->si_value.sival_int, report->signals);
	__atomic_add_fetch(&report->signals, 1, __ATOMIC_SEQ_CST);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct work *works = calloc(argc, sizeof(*works));
	sigset_t queued;
	pthread_attr_t attr;
	pthread_t thread;
	bool takes_signals;
	int receiver = 0;
	int fd;

	if (argc < 3)
		return 2;
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (report == MAP_FAILED)
		return 2;
	/* Signals go to the first computing thread: elsewhere some calls return EINTR after any
	 * handler. */
	sigaction(SIGRTMIN, &action, NULL);
	sigemptyset(&queued);
	sigaddset(&queued, SIGRTMIN);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);

	for (int i = 2; i < argc; i++) {
		works[i].index = i - 2;
		works[i].round = find_kind(argv[i]);
		takes_signals = works[i].round == round_compute && !receiver;
		if (takes_signals)
			receiver = i;
		pthread_sigmask(takes_signals ? SIG_UNBLOCK : SIG_BLOCK, &queued, NULL);
		if (i > 2 && pthread_create(&thread, &attr, work, &works[i]))
			fail("thread: %s", strerror(errno));
	}
	pthread_sigmask(receiver == 2 ? SIG_UNBLOCK : SIG_BLOCK, &queued, NULL);
	work(&works[2]);
	return 0;
}
