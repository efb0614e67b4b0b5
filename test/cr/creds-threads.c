/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads of one process with credentials of their own: ids, groups, capabilities, securebits,
 * no_new_privs, and a parent death signal, which a change of credentials would clear (one that is
 * ignored: the parent of what is restored ends, which is criu).
 */
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <stdint.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "crtest.h"

#define N 4

static pthread_barrier_t ready, go;
static char texts[N][4096];

/* The lines of the thread's status that are about credentials, and what only it can tell. */
static void look(char *ret)
{
	char path[64], line[512];
	int pdeath = 0;
	size_t len = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)syscall(SYS_gettid));
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Uid:", 4) || !strncmp(line, "Gid:", 4) ||
		    !strncmp(line, "Groups:", 7) || !strncmp(line, "Cap", 3) ||
		    !strncmp(line, "NoNewPrivs:", 11))
			len += (size_t)sprintf(ret + len, "%s", line);
	if (f)
		fclose(f);
	prctl(PR_GET_PDEATHSIG, &pdeath);
	sprintf(ret + len, "securebits %#x, parent death %d\n", prctl(PR_GET_SECUREBITS), pdeath);
}

static void set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
		 (uint32_t)(inheritable >> 32)},
	};

	crtest_must(syscall(SYS_capset, &header, data));
}

static void dress(long i)
{
	static const gid_t groups[] = {7, 1000, 65000};
	uint64_t few = 1ull << CAP_CHOWN | 1ull << CAP_KILL;

	if (i == 1) {
		crtest_must(syscall(SYS_setgroups, 3, groups));
		crtest_must(syscall(SYS_setresgid, 11, 12, 13));
		crtest_must(syscall(SYS_setresuid, 21, 22, 23));
	} else if (i == 2) {
		crtest_must(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT));
		set_caps(~0ull >> 25 & ~(1ull << CAP_SYS_RESOURCE),
			 ~0ull >> 25 & ~(1ull << CAP_SYS_RESOURCE), few);
		crtest_must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
		crtest_must(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP |
							     SECBIT_NO_CAP_AMBIENT_RAISE));
		crtest_must(syscall(SYS_setresuid, 31, 31, 31));
		set_caps(few, few, few);
		crtest_must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	} else if (i == 3) {
		crtest_must(syscall(SYS_setfsuid, 41));
		crtest_must(syscall(SYS_setgroups, 0, groups));
	}
	crtest_must(prctl(PR_SET_PDEATHSIG, i == 0 ? 0 : SIGWINCH));
}

static void *run(void *arg)
{
	long i = (long)arg;
	char now[4096];

	dress(i);
	look(texts[i]);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&go);
	look(now);
	pthread_barrier_wait(&ready);
	crtest_same_text("credentials", now, texts[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t ids[N];
	char now[4096];

	crtest_begin(argc, argv);
	pthread_barrier_init(&ready, NULL, N);
	pthread_barrier_init(&go, NULL, N);
	for (long i = 1; i < N; i++)
		pthread_create(&ids[i], NULL, run, (void *)i);
	dress(0);
	look(texts[0]);
	pthread_barrier_wait(&ready);
	crtest_wait();
	pthread_barrier_wait(&go);
	look(now);
	pthread_barrier_wait(&ready);
	for (long i = 1; i < N; i++)
		pthread_join(ids[i], NULL);
	crtest_same_text("credentials of the leader", now, texts[0]);
	return crtest_end();
}
