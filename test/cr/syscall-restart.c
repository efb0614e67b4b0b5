// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls that threads sleep in while they are dumped: none may return early or with EINTR,
 * neither in the tree that goes on nor in the one that is restored. Each is ended by what it waits
 * for, after the trigger.
 */
#include "crtest.h"

#include <ctype.h>
#include <dirent.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define HOUR 3600

static int pipes[8][2];
static uint32_t word, timed_word, bitset_word;
static volatile sig_atomic_t is_over;

static void *in_read(void *arg)
{
	char c = 0;

	return (void *)(intptr_t)(read(pipes[0][0], &c, 1) == 1 && c == 'x');
}

static void *in_poll(void *arg)
{
	struct pollfd p = {.fd = pipes[1][0], .events = POLLIN};

	return (void *)(intptr_t)(poll(&p, 1, HOUR * 1000) == 1 && p.revents == POLLIN);
}

static void *in_ppoll(void *arg)
{
	struct pollfd p = {.fd = pipes[2][0], .events = POLLIN};
	struct timespec t = {.tv_sec = HOUR};
	sigset_t none;

	sigemptyset(&none);
	return (void *)(intptr_t)(ppoll(&p, 1, &t, &none) == 1 && p.revents == POLLIN);
}

static void *in_select(void *arg)
{
	struct timeval t = {.tv_sec = HOUR};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pipes[3][0], &set);
	return (void *)(intptr_t)(select(pipes[3][0] + 1, &set, NULL, NULL, &t) == 1);
}

/* epoll_wait(2) and sockets with a timeout fail with EINTR after a stop: that is what signal(7)
 * says of them. */
static void *in_epoll(void *arg)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = epoll_create1(0), n;

	epoll_ctl(fd, EPOLL_CTL_ADD, pipes[4][0], &event);
	do
		n = epoll_wait(fd, &event, 1, -1);
	while (n < 0 && errno == EINTR);
	return (void *)(intptr_t)(n == 1);
}

static void *in_futex(void *arg)
{
	return (void *)(intptr_t)(syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0) == 0);
}

static void *in_timed_futex(void *arg)
{
	struct timespec t = {.tv_sec = HOUR};

	return (void *)(intptr_t)(syscall(SYS_futex, &timed_word, FUTEX_WAIT, 0, &t, NULL, 0) == 0);
}

static void *in_bitset_futex(void *arg)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += HOUR;
	return (void *)(intptr_t)(syscall(SYS_futex, &bitset_word, FUTEX_WAIT_BITSET, 0, &t, NULL,
					  FUTEX_BITSET_MATCH_ANY) == 0);
}

static void *in_nanosleep(void *arg)
{
	struct timespec t = {.tv_nsec = 300000000};

	/* Many short ones: whichever the dump meets, none may end early. */
	while (!is_over)
		if (nanosleep(&t, NULL) < 0)
			return NULL;
	return (void *)1;
}

static void *in_clock_nanosleep(void *arg)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	while (!is_over) {
		t.tv_nsec += 200000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_nsec -= 1000000000;
			t.tv_sec++;
		}
		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
			return NULL;
	}
	return (void *)1;
}

static void on_signal(int signo)
{
}

static void *in_pause(void *arg)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	/* Only a handler ends it. */
	return (void *)(intptr_t)(pause() < 0 && errno == EINTR && is_over);
}

static void *in_sigsuspend(void *arg)
{
	sigset_t set, now;

	sigfillset(&set);
	sigdelset(&set, SIGUSR2);
	if (sigsuspend(&set) == 0 || errno != EINTR || !is_over)
		return NULL;
	/* And the mask of before is back. */
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	return (void *)(intptr_t)(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGHUP));
}

static void *in_sigwait(void *arg)
{
	siginfo_t info;
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	/* rt_sigtimedwait(2) is one that ends with EINTR after a stop. */
	do
		signo = sigwaitinfo(&set, &info);
	while (signo < 0 && errno == EINTR && !is_over);
	return (void *)(intptr_t)(signo == SIGWINCH);
}

static void *(*const calls[])(void *) = {
	in_read,  in_poll,        in_ppoll,        in_select,    in_epoll,
	in_futex, in_timed_futex, in_bitset_futex, in_nanosleep, in_clock_nanosleep,
	in_pause, in_sigsuspend,  in_sigwait,
};
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

static void wake(uint32_t *at)
{
	__atomic_store_n(at, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, at, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Is every thread but this one in a system call that it waits in? /proc/PID/task/TID/syscall says
 * "running" of one that is not, and the number of the call of the others. */
static bool are_all_asleep(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	size_t n = 0;

	while (dir && (entry = readdir(dir))) {
		char path[300], text[32] = "";
		int fd;

		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/syscall", entry->d_name);
		fd = open(path, O_RDONLY);
		if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && isdigit(text[0]))
			n++;
		close(fd);
	}
	if (dir)
		closedir(dir);
	return n == N_CALLS;
}

int main(int argc, char **argv)
{
	pthread_t threads[N_CALLS];
	sigset_t set;

	crtest_begin(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	for (int i = 0; i < 8; i++)
		crtest_must(pipe(pipes[i]));
	for (size_t i = 0; i < N_CALLS; i++)
		if (pthread_create(&threads[i], NULL, calls[i], NULL))
			crtest_broken("pthread_create");
	while (!are_all_asleep())
		crtest_sleep_ms(10);
	crtest_wait();

	is_over = 1;
	for (int i = 0; i < 5; i++)
		crtest_equal("write", write(pipes[i][1], "x", 1), 1);
	wake(&word);
	wake(&timed_word);
	wake(&bitset_word);
	pthread_kill(threads[10], SIGUSR1);
	pthread_kill(threads[11], SIGUSR2);
	pthread_kill(threads[12], SIGWINCH);
	for (size_t i = 0; i < N_CALLS; i++) {
		void *is_well = NULL;

		pthread_join(threads[i], &is_well);
		if (!is_well)
			crtest_fail("call %zu did not end as it should", i);
	}
	return crtest_end();
}
