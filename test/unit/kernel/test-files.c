// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors, their fdinfo, locks, mounts and sharing: fixed texts, and files of our own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compel/base/cleanup.h"
#include "kernel/fdinfo.h"
#include "kernel/fds.h"
#include "kernel/kcmp.h"
#include "kernel/locks.h"
#include "kernel/mountinfo.h"
#include "kernel/proc.h"
#include "util/fd.h"

static const char locks_text[] = "1: FLOCK  ADVISORY  WRITE 1230 fe:00:10953929 0 EOF\n"
				 "2: POSIX  ADVISORY  WRITE 1230 08:103:10953929 5 14\n"
				 "2: -> POSIX  ADVISORY  READ  77 08:103:10953929 0 EOF\n"
				 "3: OFDLCK ADVISORY  READ -1 fe:00:10953929 100 EOF\n"
				 "4: LEASE  BREAKING  UNLCK 12 fe:00:1 0 EOF\n"
				 "5: POSIX  *NOINODE* WRITE 1 <none>:0 0 9223372036854775807\n"
				 "6: POSIX  MANDATORY RW    1 00:01:2 0 0\n";

static void lock_lines(void **state)
{
	_cleanup_free_ struct lock_facts *locks = NULL;
	struct lock_facts *none;
	size_t n;

	assert_int_equal(locks_parse(locks_text, strlen(locks_text), &locks, &n), 0);
	assert_int_equal(n, 7);
	assert_true(locks[0].kind == LOCK_FLOCK && locks[0].access == LOCK_FOR_WRITE &&
		    locks[0].end == UINT64_MAX);
	assert_true(locks[1].kind == LOCK_POSIX && locks[1].dev_minor == 0x103 &&
		    locks[1].start == 5 && locks[1].end == 14);
	assert_true(locks[2].is_blocked && locks[2].id == 2 && locks[2].access == LOCK_FOR_READ &&
		    locks[2].pid == 77);
	assert_true(locks[3].kind == LOCK_OFD && locks[3].pid == -1 && locks[3].ino == 10953929);
	assert_true(locks[4].kind == LOCK_LEASE && locks[4].lease == LOCK_LEASE_BREAKING &&
		    locks[4].access == LOCK_FOR_NONE);
	assert_true(locks[5].ino == 0 && locks[5].end == INT64_MAX);
	assert_true(locks[6].is_mandatory && locks[6].access == LOCK_FOR_BOTH);

	assert_int_equal(locks_parse("1: DANCE  ADVISORY  WRITE 1 fe:00:1 0 EOF\n", 42, &none, &n),
			 -EBADMSG);
	assert_int_equal(locks_parse("1: FLOCK  ADVISORY  WRITE 1 fe:00:1 0 EO", 40, &none, &n),
			 -EBADMSG);
}

static const char epoll_text[] =
	"pos:\t0\nflags:\t02000002\nmnt_id:\t17\nino:\t1038\n"
	"tfd:        4 events: 8000001d data: ffffffffffffffff  pos:-1 ino:ab6d sdev:fe00003\n"
	"tfd:        5 events:       19 data:                4 \n";
static const char watch_text[] = "pos:\t0\nflags:\t00\nmnt_id:\t17\nino:\t1038\n"
				 "inotify wd:1f ino:3c51a sdev:fe00000 mask:100 ignored_mask:0 "
				 "fhandle-bytes:8 fhandle-type:1 f_handle:1ac50300000000ff\n"
				 "inotify wd:2 ino:1 sdev:5 mask:fff ignored_mask:0 \n";
static const char fanotify_text[] =
	"fanotify flags:10 event-flags:8000\n"
	"fanotify sdev:fe00000 mflags:40 mask:2 ignored_mask:40000000\n"
	"fanotify ino:3c51a sdev:fe00000 mflags:0 mask:3b ignored_mask:0 fhandle-bytes:8 "
	"fhandle-type:81 f_handle:1ac5030000000000\n"
	"fanotify mnt_id:1b mflags:0 mask:2 ignored_mask:0\n";
static const char timerfd_text[] =
	"clockid: 7\nticks: 18446744073709551615\nsettime flags: 03\nit_value: (1, 999999999)\n"
	"it_interval: (2, 3)\n";
static const char bpf_text[] = "map_type:\t1\nkey_size:\t4\nvalue_size:\t8\nmax_entries:\t10\nmap_"
			       "flags:\t0x20\nmap_extra:\t0\n"
			       "memlock:\t4096\nmap_id:\t33\nfrozen:\t1\nowner_prog_type:\t1\n";

static int parse(const char *text, struct fdinfo *info)
{
	return fdinfo_parse(text, strlen(text), info);
}

static void fdinfo_with_items(void **state)
{
	struct fdinfo info;

	assert_int_equal(parse(epoll_text, &info), 0);
	assert_int_equal(info.flags, 02000002);
	assert_int_equal(info.ino, 1038);
	assert_int_equal(info.n_items, 2);
	assert_true(info.items[0].kind == FDINFO_EPOLL_TARGET && info.items[0].epoll.tfd == 4);
	assert_true(info.items[0].epoll.events == 0x8000001d &&
		    info.items[0].epoll.data == UINT64_MAX);
	assert_true(info.items[0].epoll.has_inode && info.items[0].epoll.pos == -1 &&
		    info.items[0].epoll.ino == 0xab6d);
	assert_true(!info.items[1].epoll.has_inode);
	fdinfo_release(&info);

	assert_int_equal(parse(watch_text, &info), 0);
	assert_int_equal(info.n_items, 2);
	assert_true(info.items[0].inotify.wd == 31 && info.items[0].inotify.sdev == 0xfe00000);
	assert_int_equal(info.items[0].inotify.handle.bytes, 8);
	assert_int_equal(info.items[0].inotify.handle.data[1], 0xc5);
	assert_int_equal(info.items[0].inotify.handle.data[7], 0xff);
	assert_int_equal(info.items[1].inotify.handle.bytes, 0);
	fdinfo_release(&info);

	assert_int_equal(parse(fanotify_text, &info), 0);
	assert_true(info.has & FDINFO_FANOTIFY);
	assert_true(info.fanotify_flags == 0x10 && info.fanotify_event_flags == 0x8000);
	assert_int_equal(info.n_items, 3);
	assert_true(info.items[0].kind == FDINFO_FANOTIFY_SB &&
		    info.items[0].fanotify.ignored_mask == 0x40000000);
	assert_true(info.items[1].kind == FDINFO_FANOTIFY_INODE &&
		    info.items[1].fanotify.handle.type == 0x81);
	assert_true(info.items[2].kind == FDINFO_FANOTIFY_MOUNT &&
		    info.items[2].fanotify.mnt_id == 0x1b);
	fdinfo_release(&info);
}

static void fdinfo_with_fields(void **state)
{
	struct fdinfo info;

	assert_int_equal(parse(timerfd_text, &info), 0);
	assert_true(info.timerfd.clock_id == 7 && info.timerfd.ticks == UINT64_MAX &&
		    info.timerfd.settime_flags == 3);
	assert_true(info.timerfd.value_nsec == 999999999 && info.timerfd.interval_sec == 2);
	fdinfo_release(&info);

	assert_int_equal(
		parse("eventfd-count:         ffffffff\neventfd-id: 9\neventfd-semaphore: 1\n",
		      &info),
		0);
	assert_true(info.eventfd_count == 0xffffffff && info.eventfd_id == 9);
	assert_int_equal(info.has, FDINFO_EVENTFD | FDINFO_EVENTFD_ID | FDINFO_SEMAPHORE);
	fdinfo_release(&info);

	assert_int_equal(parse(bpf_text, &info), 0);
	assert_true(info.has == FDINFO_BPF_MAP && info.bpf_map.map_flags == 0x20 &&
		    info.bpf_map.id == 33 && info.bpf_map.frozen);
	fdinfo_release(&info);

	assert_int_equal(parse("Pid:\t-1\nNSpid:\t10\t1\niff:\ttun0\ntty-index:\t3\nscm_fds: "
			       "2\nunknown: x\n",
			       &info),
			 0);
	assert_true(info.pidfd.pid == -1 && info.pidfd.n_ns == 2 && info.pidfd.ns_pid[1] == 1);
	assert_string_equal(info.tun_iff, "tun0");
	assert_int_equal(info.tty_index, 3);
	assert_int_equal(info.scm_fds, 2);
	fdinfo_release(&info);
}

static void fdinfo_refuses(void **state)
{
	static const char *const bad[] = {
		"pos:\tx\n",
		"flags:\t9\n",
		"mnt_id:\t99999999999\n",
		"it_value: (1, 1000000000)\n",
		"it_value: (1,2)\n",
		"tfd: 1 events: 1\n",
		"inotify wd:1\n",
		"fanotify fish:1\n",
		"iff:\t1234567890123456\n",
		"lock:\t1: x\n",
		"inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:81 fhandle-type:1 "
		"f_handle:00\n",
		"inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:2 fhandle-type:1 "
		"f_handle:000\n",
		"inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:1 fhandle-type:1 "
		"f_handle:000\n",
		"eventfd-count: 5 6\n",
	};
	struct fdinfo info;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(bad[i], &info), -EBADMSG);
}

static void our_own_fdinfo(void **state)
{
	char name[] = "/tmp/test-files.XXXXXX";
	_cleanup_close_ int dir = proc_open(getpid()), file = mkostemp(name, O_APPEND),
			    event = eventfd(7, EFD_CLOEXEC);
	_cleanup_close_ int ino = inotify_init(), ep = epoll_create(1),
			    timer = timerfd_create(CLOCK_BOOTTIME, 0), sig = -1;
	struct itimerspec spec = {.it_value.tv_sec = 1000, .it_interval.tv_sec = 5};
	struct fdinfo info;
	sigset_t set;
	int wd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sig = signalfd(-1, &set, 0);
	assert_int_equal(flock(file, LOCK_EX), 0);
	assert_int_equal(write(file, "hello", 5), 5);
	assert_int_equal(fdinfo_read(dir, file, &info), 0);
	assert_true(info.pos == 5 && (info.flags & O_APPEND) && info.n_items == 1 &&
		    info.items[0].kind == FDINFO_LOCK);
	assert_true(info.items[0].lock.kind == LOCK_FLOCK && info.items[0].lock.pid == getpid());
	fdinfo_release(&info);

	assert_int_equal(fdinfo_read(dir, event, &info), 0);
	assert_true(info.eventfd_count == 7 && (info.flags & O_CLOEXEC) &&
		    (info.has & FDINFO_EVENTFD));
	fdinfo_release(&info);
	assert_int_equal(fdinfo_read(dir, sig, &info), 0);
	assert_true(info.sigmask == 1ull << (SIGUSR1 - 1));
	fdinfo_release(&info);
	timerfd_settime(timer, 0, &spec, NULL);
	assert_int_equal(fdinfo_read(dir, timer, &info), 0);
	assert_true(info.timerfd.clock_id == CLOCK_BOOTTIME && info.timerfd.interval_sec == 5 &&
		    info.timerfd.value_sec >= 998);
	fdinfo_release(&info);

	wd = inotify_add_watch(ino, name, IN_MODIFY);
	assert_int_equal(fdinfo_read(dir, ino, &info), 0);
	assert_true(info.n_items == 1 && info.items[0].inotify.wd == wd &&
		    info.items[0].inotify.mask & IN_MODIFY);
	fdinfo_release(&info);
	epoll_ctl(ep, EPOLL_CTL_ADD, event,
		  &(struct epoll_event){.events = EPOLLIN, .data.u64 = 42});
	assert_int_equal(fdinfo_read(dir, ep, &info), 0);
	assert_true(info.n_items == 1 && info.items[0].epoll.tfd == event &&
		    info.items[0].epoll.data == 42);
	fdinfo_release(&info);

	assert_int_equal(fdinfo_read(dir, 9999, &info), -ENOENT);
	assert_int_equal(fdinfo_read(dir, -1, &info), -EBADF);
	unlink(name);
}

static void our_own_descriptors(void **state)
{
	char name[] = "/tmp/test-files.XXXXXX";
	_cleanup_close_ int dir = proc_open(getpid()), file = mkstemp(name), event = eventfd(0, 0),
			    high = dup2(file, 555);
	struct fd_list list;
	const struct fd_link *found[3] = {};
	struct stat st;

	assert_int_equal(fds_read(dir, &list), 0);
	assert_int_equal(fstat(file, &st), 0);
	for (size_t i = 0; i < list.n; i++) {
		assert_true(i == 0 || list.items[i - 1].fd < list.items[i].fd);
		if (list.items[i].fd == file)
			found[0] = &list.items[i];
		if (list.items[i].fd == event)
			found[1] = &list.items[i];
		if (list.items[i].fd == high)
			found[2] = &list.items[i];
	}
	assert_true(found[0] && found[1] && found[2]);
	assert_string_equal(found[0]->link, name);
	assert_true(found[0]->st.st_ino == st.st_ino && found[2]->st.st_ino == st.st_ino);
	assert_string_equal(found[1]->link, "anon_inode:[eventfd]");
	fd_list_release(&list);
	unlink(name);
}

static const char mounts_text[] =
	"22 27 0:21 / /proc rw,relatime shared:5 master:6 propagate_from:7 new:1 - proc proc rw\n"
	"23 22 259:1048575 /a\\040b//deleted /mnt/x\\134y ro unbindable - fuse.sshfs "
	"user@host:/x\\040y rw,user_id=0\n"
	"24 22 0:4 net:[4026531840] /run/netns/x rw - nsfs nsfs rw\n"
	"25 22 0:40 / /t rw - tmpfs  rw,size=10k\n";

static void mounts(void **state)
{
	struct mount_list list;
	const struct mount_facts *m;

	assert_int_equal(mountinfo_parse(mounts_text, strlen(mounts_text), &list), 0);
	assert_int_equal(list.n, 4);
	m = list.items;
	assert_true(m[0].shared == 5 && m[0].master == 6 && m[0].propagate_from == 7 &&
		    !m[0].unbindable);
	assert_string_equal(m[0].options, "rw,relatime");
	assert_true(m[1].dev_major == 259 && m[1].dev_minor == 1048575 && m[1].unbindable &&
		    m[1].is_root_deleted);
	assert_string_equal(m[1].root, "/a b");
	assert_string_equal(m[1].mountpoint, "/mnt/x\\y");
	assert_string_equal(m[1].fstype, "fuse");
	assert_string_equal(m[1].subtype, "sshfs");
	assert_string_equal(m[1].source, "user@host:/x y");
	assert_string_equal(m[2].root, "net:[4026531840]");
	assert_string_equal(m[3].source, "");
	assert_string_equal(m[3].sb_options, "rw,size=10k");
	assert_null(m[3].subtype);
	assert_ptr_equal(mount_list_find(&list, 24), &m[2]);
	assert_null(mount_list_find(&list, 1));
	mount_list_release(&list);

	for (size_t size = 1; size < 70; size++)
		assert_int_equal(mountinfo_parse(mounts_text, size, &list), -EBADMSG);
}

static void our_own_mounts_and_locks(void **state)
{
	_cleanup_close_ int dir = proc_open(getpid());
	_cleanup_free_ struct lock_facts *locks = NULL;
	struct mount_list list;
	size_t n;

	assert_int_equal(mountinfo_read(dir, &list), 0);
	assert_true(list.n > 0);
	mount_list_release(&list);
	assert_int_equal(locks_read(&locks, &n), 0);
}

static void shared_files_have_one_number(void **state)
{
	enum { N = 100 };
	struct kcmp_ids *ids = kcmp_ids_new(KCMP_KIND_FILE, 1);
	int events[N], copies[N], ep = epoll_create(1), other = eventfd(0, 0);
	uint32_t id[N], again, found;
	bool is_new;
	pid_t pid;

	if (kcmp_compare(getpid(), getpid(), KCMP_KIND_VM, 0, 0) < 0)
		skip();
	for (int i = 0; i < N; i++) {
		events[i] = eventfd(0, 0);
		copies[i] = dup(events[i]);
	}
	pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(
			kcmp_ids_get(ids, getpid(), (unsigned int)events[i], 7, &id[i], &is_new),
			0);
		assert_true(is_new);
		assert_int_equal(id[i], i + 1);
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(
			kcmp_ids_get(ids, pid, (unsigned int)copies[i], 7, &again, &is_new), 0);
		assert_false(is_new);
		assert_int_equal(again, id[i]);
	}
	/* About 2 n log n comparisons; a tree that degenerates would need thousands. */
	assert_true(kcmp_ids_n_calls(ids) < 4000);
	assert_int_equal(kcmp_ids_take(ids), N + 1);
	/* Another key is never compared. */
	assert_int_equal(kcmp_ids_get(ids, getpid(), (unsigned int)other, 8, &again, &is_new), 0);
	assert_true(is_new);

	epoll_ctl(ep, EPOLL_CTL_ADD, events[N / 2], &(struct epoll_event){.events = EPOLLIN});
	epoll_ctl(ep, EPOLL_CTL_ADD, other, &(struct epoll_event){.events = EPOLLIN});
	assert_int_equal(kcmp_ids_find_epoll_target(ids, getpid(), ep, events[N / 2], 0, 7, &found),
			 0);
	assert_int_equal(found, id[N / 2]);
	assert_int_equal(kcmp_ids_find_epoll_target(ids, getpid(), ep, other, 0, 7, &found), 0);
	assert_int_equal(found, 0);
	assert_int_equal(kcmp_ids_find_epoll_target(ids, getpid(), ep, events[0], 0, 7, &found),
			 -ENOENT);
	assert_int_equal(kcmp_ids_get(ids, getpid(), 9999, 7, &again, NULL), -EBADF);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fd_close_range((unsigned int)ep, (unsigned int)copies[N - 1]);
	kcmp_ids_free(ids);
	kcmp_ids_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lock_lines),
		cmocka_unit_test(fdinfo_with_items),
		cmocka_unit_test(fdinfo_with_fields),
		cmocka_unit_test(fdinfo_refuses),
		cmocka_unit_test(our_own_fdinfo),
		cmocka_unit_test(our_own_descriptors),
		cmocka_unit_test(mounts),
		cmocka_unit_test(our_own_mounts_and_locks),
		cmocka_unit_test(shared_files_have_one_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
