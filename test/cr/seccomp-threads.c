/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Seccomp: threads with different filters, one of them a chain that allows next to nothing (so that
 * restoring could not be done under it), a process whose filters hold for all its threads (TSYNC),
 * and one that may not see a filter at all. Credentials without CAP_SYS_ADMIN and without
 * no_new_privs, under which filters could not be installed any more.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "crtest.h"

#define KIND(k) BPF_STMT(BPF_RET | BPF_K, k)

static pthread_barrier_t ready, go, done;

static void install(struct sock_filter *code, unsigned short n, unsigned int flags)
{
	struct sock_fprog program = {n, code};

	crtest_must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

/* This call fails with this errno. */
static void forbid(int nr, int err, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)nr, 0, 1),
		KIND(SECCOMP_RET_ERRNO | (unsigned int)err),
		KIND(SECCOMP_RET_ALLOW),
	};

	install(code, sizeof(code) / sizeof(*code), flags);
}

/* Nothing but waiting in a futex, sleeping, gettid, exit. */
static void allow_little(void)
{
	static const int allowed[] = {SYS_futex,          SYS_nanosleep,  SYS_clock_nanosleep,
				      SYS_gettid,         SYS_exit,       SYS_madvise,
				      SYS_rt_sigprocmask, SYS_getpriority};
	struct sock_filter code[2 * 16] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
	unsigned short n = 1;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (unsigned int)allowed[i], 0, 1);
		code[n++] = (struct sock_filter)KIND(SECCOMP_RET_ALLOW);
	}
	code[n++] = (struct sock_filter)KIND(SECCOMP_RET_KILL_PROCESS);
	install(code, n, 0);
}

static int error_of(long nr)
{
	return syscall(nr, 0, 0, 0) < 0 ? errno : 0;
}

static void *run(void *arg)
{
	long i = (long)arg;
	int got;

	if (i == 1)
		forbid(SYS_getpriority, 71, 0);
	if (i == 2) {
		forbid(SYS_getpriority, 72, SECCOMP_FILTER_FLAG_LOG);
		allow_little();
	}
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&go);
	got = error_of(SYS_getpriority);
	pthread_barrier_wait(&done);
	return (void *)(long)got;
}

static void *run_synced(void *arg)
{
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&go);
	return (void *)(long)error_of(SYS_getppid);
}

static void synced_child(void)
{
	pthread_t id;
	void *got = NULL;

	pthread_barrier_init(&ready, NULL, 2);
	pthread_barrier_init(&go, NULL, 2);
	pthread_create(&id, NULL, run_synced, NULL);
	pthread_barrier_wait(&ready);
	forbid(SYS_getppid, 81, SECCOMP_FILTER_FLAG_TSYNC);
	/* From here on no filter could be installed. */
	crtest_must(setresuid(1000, 1000, 1000));
	mkfifo(crtest_path("up"), 0666);
	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
	pthread_barrier_wait(&go);
	pthread_join(id, &got);
	crtest_equal("errno in a thread", (long)got, 81);
	crtest_equal("errno in the leader", error_of(SYS_getppid), 81);
	crtest_equal("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	_exit(crtest_child_status());
}

int main(int argc, char **argv)
{
	pthread_t ids[4];
	void *got[4] = {0};
	pid_t pid;

	crtest_begin(argc, argv);
	crtest_must(chmod(crtest_path(""), 0777));
	pid = crtest_must(fork());
	if (!pid)
		synced_child();
	while (access(crtest_path("up"), F_OK) < 0)
		crtest_sleep_ms(1);
	pthread_barrier_init(&ready, NULL, 4);
	pthread_barrier_init(&go, NULL, 4);
	pthread_barrier_init(&done, NULL, 3);
	for (long i = 1; i < 4; i++)
		pthread_create(&ids[i], NULL, run, (void *)i);
	pthread_barrier_wait(&ready);
	crtest_wait();
	pthread_barrier_wait(&go);
	for (int i = 1; i < 4; i++)
		pthread_join(ids[i], &got[i]);
	crtest_equal("errno in thread 1", (long)got[1], 71);
	crtest_equal("errno in thread 2", (long)got[2], 72);
	crtest_equal("errno in thread 3", (long)got[3], 0);
	crtest_equal("errno in the leader", error_of(SYS_getpriority), 0);
	crtest_join("child", pid);
	return crtest_end();
}
