// SPDX-License-Identifier: GPL-2.0-only
/* The parsers of /proc/PID: fixed texts, what they must refuse, and our own entries. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compel/base/cleanup.h"
#include "kernel/proc.h"

static const char stat_text[] =
	"77 (a) (b\n) R) S 1 77 70 34816 -1 4194304 100 2 3 4 5 6 7 8 -51 -20 3 0 189967 3133440 "
	"396 "
	"18446744073709551615 4096 8192 140731036642896 1 2 3 4 5 6 1 0 0 17 1 99 2 9 10 11 "
	"94304242920496 94304242922112 94305233440768 140731036646002 140731036646022 "
	"140731036646022 "
	"140731036647403 3840\n";

static void stat_fields(void **state)
{
	struct proc_stat st;

	assert_int_equal(proc_parse_stat(stat_text, strlen(stat_text), &st), 0);
	assert_int_equal(st.pid, 77);
	assert_string_equal(st.comm, "a) (b\n) R");
	assert_int_equal(st.state, 'S');
	assert_int_equal(st.ppid, 1);
	assert_int_equal(st.pgrp, 77);
	assert_int_equal(st.session, 70);
	assert_int_equal(st.tty_nr, 34816);
	assert_int_equal(st.tpgid, -1);
	assert_int_equal(st.flags, 4194304);
	assert_int_equal(st.priority, -51);
	assert_int_equal(st.nice, -20);
	assert_int_equal(st.num_threads, 3);
	assert_int_equal(st.starttime, 189967);
	assert_true(st.rsslim == UINT64_MAX);
	assert_int_equal(st.start_code, 4096);
	assert_int_equal(st.exit_signal, 17);
	assert_int_equal(st.processor, 1);
	assert_int_equal(st.rt_priority, 99);
	assert_int_equal(st.policy, 2);
	assert_int_equal(st.start_brk, 94305233440768);
	assert_int_equal(st.env_end, 140731036647403);
	assert_int_equal(st.exit_code, 3840);
}

static void stat_refuses(void **state)
{
	static const char *const bad[] = {
		"",       "77",      "77 ",        "77 (", "77 (x",
		"77 (x)", "77 (x) ", "77 (x) S 1", "-",    "4294967296 (x) S 1 2 3 4",
	};
	struct proc_stat st;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(proc_parse_stat(bad[i], strlen(bad[i]), &st), -EBADMSG);
	/* Cut anywhere before the last field. */
	for (size_t size = 0; size < strlen(stat_text) - 5; size++)
		assert_int_equal(proc_parse_stat(stat_text, size, &st), -EBADMSG);
}

static const char status_text[] =
	"Name:\ta\\\\b\\nc\nUmask:\t0027\nState:\tT "
	"(stopped)\nTgid:\t9\nNgid:\t0\nPid:\t10\nPPid:\t1\n"
	"TracerPid:\t4\nUid:\t1\t2\t3\t4294967295\nGid:\t5\t6\t7\t8\nFDSize:\t256\n"
	"Groups:\t4 24 65534 \nNStgid:\t9\t2\nNSpid:\t10\t3\t1\nNSpgid:\t9\t2\nNSsid:\t0\t0\n"
	"Kthread:\t0\nVmPeak:\t    3060 kB\nVmLck:\t      64 kB\nVmRSS:\t 1696 kB\n"
	"CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff\nThreads:\t2\n"
	"SigQ:\t1/96365\nSigPnd:\t0000000000000200\nShdPnd:\t8000000000000000\n"
	"SigBlk:\t0000000000010000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000180004a07\n"
	"CapInh:\t0000000000000000\nCapPrm:\t000001fffeffffff\nCapEff:\t0000000000000001\n"
	"CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
	"Seccomp_filters:\t3\nSpeculation_Store_Bypass:\tthread vulnerable\n";

static void status_fields(void **state)
{
	struct proc_status st;

	assert_int_equal(proc_parse_status(status_text, strlen(status_text), &st), 0);
	assert_string_equal(st.name, "a\\b\nc");
	assert_int_equal(st.umask, 027);
	assert_int_equal(st.state, 'T');
	assert_int_equal(st.tgid, 9);
	assert_int_equal(st.pid, 10);
	assert_int_equal(st.tracer_pid, 4);
	assert_true(st.uid[3] == UINT32_MAX);
	assert_int_equal(st.gid[1], 6);
	assert_int_equal(st.n_groups, 3);
	assert_int_equal(st.groups[2], 65534);
	assert_int_equal(st.ns_pid.n, 3);
	assert_int_equal(st.ns_pid.id[2], 1);
	assert_int_equal(st.ns_sid.id[1], 0);
	assert_true(st.has_kthread && !st.is_kthread && st.has_mm && st.thp_enabled &&
		    st.no_new_privs);
	assert_int_equal(st.vm_locked, 64);
	assert_int_equal(st.threads, 2);
	assert_int_equal(st.sigq_max, 96365);
	assert_int_equal(st.sig_pending, 1 << 9);
	assert_true(st.shd_pending == 1ull << 63);
	assert_true(st.cap_bounding == 0x1ffffffffffull);
	assert_int_equal(st.seccomp, 2);
	assert_int_equal(st.seccomp_filters, 3);
	proc_status_release(&st);
}

/* The text with one part of it replaced. */
static int parse_status_with(const char *old, const char *new)
{
	char text[sizeof(status_text) + 512];
	const char *at = strstr(status_text, old);
	struct proc_status st;
	int err;

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - status_text), status_text, new,
		 at + strlen(old));
	err = proc_parse_status(text, strlen(text), &st);
	if (err == 0)
		proc_status_release(&st);
	return err;
}

static void status_refuses(void **state)
{
	assert_int_equal(parse_status_with("Kthread:\t0\n", ""), 0);
	/* A key that goes on behind a zero byte is not that key. */
	assert_int_equal(proc_parse_status("VmLib\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0:\t1\n", 24,
					   &(struct proc_status){}),
			 -EBADMSG);
	assert_int_equal(parse_status_with("Pid:\t10", "Pid:\tx"), -EBADMSG);
	assert_int_equal(parse_status_with("\nPid:\t10", ""), -EBADMSG);
	assert_int_equal(parse_status_with("4294967295", "4294967296"), -EBADMSG);
	assert_int_equal(parse_status_with("\t7\t8", "\t7"), -EBADMSG);
	assert_int_equal(parse_status_with("NoNewPrivs:\t1", "NoNewPrivs:\t2"), -EBADMSG);
	assert_int_equal(parse_status_with("24 65534", "24 x"), -EBADMSG);
	assert_int_equal(parse_status_with("0027", "0028"), -EBADMSG);
	assert_int_equal(parse_status_with("1/96365", "1"), -EBADMSG);
	assert_int_equal(
		parse_status_with(
			"10\t3\t1",
			"1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1"
			"\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1"),
		-EBADMSG);
	assert_int_equal(
		parse_status_with(
			"a\\\\b",
			"0123456789012345678901234567890123456789012345678901234567890123"),
		-EBADMSG);
	assert_int_equal(parse_status_with("a\\\\b\\nc", "a\\"), -EBADMSG);
}

static void limits(void **state)
{
	_cleanup_close_ int dir = proc_open(getpid());
	struct proc_limit limits[PROC_N_LIMITS];

	assert_int_equal(proc_read_limits(dir, limits), 0);
	for (int i = 0; i < PROC_N_LIMITS; i++) {
		struct rlimit want;

		assert_int_equal(getrlimit(i, &want), 0);
		assert_true(limits[i].soft == want.rlim_cur && limits[i].hard == want.rlim_max);
	}
	assert_int_equal(proc_parse_limits("Max cpu time  unlimited 1\n", 26, limits), -EBADMSG);
	assert_int_equal(proc_parse_limits("", 0, limits), -EBADMSG);
}

static void cgroups(void **state)
{
	static const char text[] = "4:cpu,cpuacct:/a:b c\n1:name=systemd:/\n0::/x (deleted)\n";
	struct proc_cgroups list;

	assert_int_equal(proc_parse_cgroup(text, strlen(text), &list), 0);
	assert_int_equal(list.n, 3);
	assert_int_equal(list.items[0].hierarchy, 4);
	assert_string_equal(list.items[0].controllers, "cpu,cpuacct");
	assert_string_equal(list.items[0].path, "/a:b c");
	assert_string_equal(list.items[1].controllers, "name=systemd");
	assert_string_equal(list.items[2].path, "/x");
	assert_true(list.items[2].is_deleted && !list.items[1].is_deleted);
	proc_cgroups_release(&list);

	assert_int_equal(proc_parse_cgroup("0::", 3, &list), -EBADMSG);
	assert_int_equal(proc_parse_cgroup("0:/", 3, &list), -EBADMSG);
	assert_int_equal(proc_parse_cgroup("x::/", 4, &list), -EBADMSG);
	assert_int_equal(proc_parse_cgroup("", 0, &list), 0);
	assert_int_equal(list.n, 0);
	proc_cgroups_release(&list);
}

static void tables(void **state)
{
	static const char offsets_text[] =
		"monotonic         -10  999999999\nboottime            3         0\n";
	struct proc_timens_offsets offsets;
	struct proc_id_extent *extents;
	pid_t *pids;
	size_t n;

	assert_int_equal(proc_parse_timens_offsets(offsets_text, strlen(offsets_text), &offsets),
			 0);
	assert_true(offsets.monotonic_sec == -10 && offsets.monotonic_nsec == 999999999 &&
		    offsets.boottime_sec == 3);
	assert_int_equal(
		proc_parse_timens_offsets("monotonic 1 1000000000\nboottime 0 0\n", 37, &offsets),
		-EBADMSG);

	assert_int_equal(
		proc_parse_id_map("   0  1000  1\n 1 100000 4294967294\n", 34, &extents, &n), 0);
	assert_int_equal(n, 2);
	assert_true(extents[1].outside == 100000 && extents[1].count == 4294967294);
	free(extents);
	assert_int_equal(proc_parse_id_map("0 0\n", 4, &extents, &n), -EBADMSG);
	assert_int_equal(proc_parse_id_map("0 0 0\n", 6, &extents, &n), -EBADMSG);

	assert_int_equal(proc_parse_children("12 13 ", 6, &pids, &n), 0);
	assert_true(n == 2 && pids[1] == 13);
	free(pids);
	assert_int_equal(proc_parse_children("", 0, &pids, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(proc_parse_children("12 -3 ", 6, &pids, &n), -EBADMSG);
	assert_int_equal(proc_parse_children("12 x", 4, &pids, &n), -EBADMSG);
}

static int parse_namespace(const char *text, uint64_t *ret)
{
	return proc_parse_namespace(text, strlen(text), ret);
}

static void namespaces(void **state)
{
	_cleanup_close_ int self = proc_open(getpid());
	uint64_t inode = 0;
	struct stat st;

	assert_int_equal(parse_namespace("net:[4026531840]", &inode), 0);
	assert_int_equal(inode, 4026531840u);
	assert_int_equal(parse_namespace("net:[]", &inode), -EBADMSG);
	assert_int_equal(parse_namespace("net:[0]", &inode), -EBADMSG);
	assert_int_equal(parse_namespace("net:[12", &inode), -EBADMSG);
	assert_int_equal(parse_namespace("net:[12]x", &inode), -EBADMSG);
	assert_int_equal(parse_namespace(":[12]", &inode), -EBADMSG);
	assert_int_equal(parse_namespace("/dev/null", &inode), -EBADMSG);

	assert_int_equal(proc_read_namespace(self, "ns/uts", &inode), 0);
	assert_int_equal(fstatat(self, "ns/uts", &st, 0), 0);
	assert_int_equal(inode, st.st_ino);
	assert_int_equal(proc_read_namespace(self, "ns/none", &inode), -ENOENT);
}

static void timers(void **state)
{
	static const char text[] =
		"ID: 1\nsignal: 60/00007ffe5a1b2c30\nnotify: signal/tid.634\nClockID: 1\n"
		"ID: 0\nsignal: 0/(null)\nnotify: none/pid.1\nClockID: -6\n";
	struct proc_timer *timers;
	size_t n;

	assert_int_equal(proc_parse_timers(text, strlen(text), &timers, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(timers[0].id, 1);
	assert_int_equal(timers[0].signo, 60);
	assert_true(timers[0].sival == 0x7ffe5a1b2c30);
	assert_int_equal(timers[0].notify, SIGEV_SIGNAL | SIGEV_THREAD_ID);
	assert_int_equal(timers[0].target, 634);
	assert_int_equal(timers[1].notify, SIGEV_NONE);
	assert_int_equal(timers[1].clock_id, -6);
	free(timers);
	for (size_t size = 1; size < 68; size++)
		assert_int_equal(proc_parse_timers(text, size, &timers, &n), -EBADMSG);
}

static void our_own_stat_and_status(void **state)
{
	_cleanup_close_ int dir = proc_open(getpid()), task = proc_open_task(dir, getpid());
	struct proc_status status;
	struct proc_stat st;
	char comm[PROC_COMM_LEN];
	gid_t groups[NGROUPS_MAX];
	int n_groups = getgroups(NGROUPS_MAX, groups);

	assert_true(dir >= 0 && task >= 0);
	assert_int_equal(prctl(PR_SET_NAME, "we) R 1\n(\\n"), 0);
	assert_int_equal(proc_read_stat(task, &st), 0);
	assert_int_equal(proc_read_status(dir, &status), 0);
	assert_int_equal(proc_read_comm(dir, comm), 0);
	assert_string_equal(st.comm, "we) R 1\n(\\n");
	assert_string_equal(status.name, "we) R 1\n(\\n");
	assert_string_equal(comm, "we) R 1\n(\\n");
	assert_int_equal(st.pid, getpid());
	assert_int_equal(st.ppid, getppid());
	assert_int_equal(st.session, getsid(0));
	assert_int_equal(st.state, 'R');
	assert_true(st.start_code < (uint64_t)(uintptr_t)our_own_stat_and_status &&
		    st.end_code > (uint64_t)(uintptr_t)our_own_stat_and_status);
	assert_int_equal(status.uid[1], geteuid());
	assert_int_equal(status.ppid, getppid());
	assert_int_equal(status.n_groups, n_groups);
	assert_int_equal(status.tracer_pid, 0);
	assert_int_equal(status.umask, umask(022));
	proc_status_release(&status);
}

static void our_own_rest(void **state)
{
	_cleanup_close_ int dir = proc_open(getpid());
	_cleanup_free_ uint64_t(*auxv)[2] = NULL;
	_cleanup_free_ pid_t *threads = NULL, *all = NULL;
	_cleanup_free_ char *cwd = NULL, *exe = NULL;
	_cleanup_free_ struct proc_id_extent *extents = NULL;
	struct proc_timens_offsets offsets;
	struct proc_cgroups groups;
	size_t n, n_found = 0;
	uint32_t persona;
	char here[4096];
	int adj;

	assert_int_equal(proc_read_auxv(dir, &auxv, &n), 0);
	for (size_t i = 0; i < n; i++)
		/* The C library keeps a word of its own for AT_HWCAP. */
		n_found += auxv[i][0] == AT_HWCAP || getauxval(auxv[i][0]) == auxv[i][1];
	assert_int_equal(n_found, n);
	assert_true(n > 10);

	assert_int_equal(proc_read_threads(dir, &threads, &n), 0);
	assert_true(n >= 1 && threads[0] == getpid());
	assert_int_equal(proc_read_processes(&all, &n), 0);
	n_found = 0;
	for (size_t i = 0; i < n; i++)
		n_found += all[i] == getpid();
	assert_int_equal(n_found, 1);

	assert_int_equal(proc_read_personality(dir, &persona), 0);
	assert_int_equal(persona, personality(0xffffffff));
	assert_int_equal(proc_read_oom_score_adj(dir, &adj), 0);
	assert_int_equal(proc_read_link(dir, "cwd", &cwd), 0);
	assert_string_equal(cwd, getcwd(here, sizeof(here)));
	assert_int_equal(proc_read_link(dir, "exe", &exe), 0);
	assert_int_equal(proc_read_cgroup(dir, &groups), 0);
	proc_cgroups_release(&groups);
	if (faccessat(dir, "timens_offsets", R_OK, 0) == 0)
		assert_int_equal(proc_read_timens_offsets(dir, &offsets), 0);
	assert_int_equal(proc_read_id_map(dir, "uid_map", &extents, &n), 0);
	assert_true(n >= 1);
}

static void our_own_timers(void **state)
{
	_cleanup_close_ int dir = proc_open(getpid());
	_cleanup_free_ struct proc_timer *timers = NULL;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
				 .sigev_signo = SIGUSR2,
				 .sigev_value.sival_ptr = &event};
	timer_t timer;
	size_t n;
	int err = proc_read_timers(dir, &timers, &n);

	if (err == -ENOENT)
		skip();
	assert_int_equal(err, 0);
	assert_int_equal(n, 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(proc_read_timers(dir, &timers, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(timers[0].signo, SIGUSR2);
	assert_true(timers[0].sival == (uintptr_t)&event);
	assert_int_equal(timers[0].target, getpid());
	assert_int_equal(timers[0].clock_id, CLOCK_MONOTONIC);
	timer_delete(timer);
}

static void a_child_that_goes(void **state)
{
	_cleanup_close_ int self = proc_open(getpid()), dir = -1;
	_cleanup_free_ pid_t *children = NULL;
	struct proc_stat st;
	char comm[PROC_COMM_LEN];
	char *link;
	size_t n;
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	dir = proc_open(pid);
	assert_true(dir >= 0);
	assert_int_equal(proc_read_children(self, getpid(), &children, &n), 0);
	assert_true(n >= 1 && children[n - 1] == pid);

	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){}, WEXITED | WNOWAIT), 0);
	assert_int_equal(proc_read_stat(dir, &st), 0);
	assert_int_equal(st.state, 'Z');
	assert_int_equal(st.exit_code, SIGKILL);
	assert_int_equal(st.vsize, 0);
	assert_int_equal(proc_read_link(dir, "exe", &link), -ENOENT);

	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(proc_read_stat(dir, &st), -ESRCH);
	assert_int_equal(proc_read_comm(dir, comm), -ESRCH);
	assert_int_equal(proc_read_link(dir, "exe", &link), -ESRCH);
	assert_int_equal(proc_open(pid), -ESRCH);
	assert_int_equal(proc_open(-1), -EINVAL);
	assert_int_equal(proc_open_task(self, pid), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_fields),
		cmocka_unit_test(stat_refuses),
		cmocka_unit_test(status_fields),
		cmocka_unit_test(status_refuses),
		cmocka_unit_test(limits),
		cmocka_unit_test(cgroups),
		cmocka_unit_test(tables),
		cmocka_unit_test(timers),
		cmocka_unit_test(namespaces),
		cmocka_unit_test(our_own_timers),
		cmocka_unit_test(our_own_stat_and_status),
		cmocka_unit_test(our_own_rest),
		cmocka_unit_test(a_child_that_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
