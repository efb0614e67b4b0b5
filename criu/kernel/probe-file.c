// SPDX-License-Identifier: GPL-2.0-only
/* Probes of what is about files, mounts and /proc. */
#include "kernel/probes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/sockios.h>

#include "compel/base/cleanup.h"
#include "kernel/fdinfo.h"
#include "kernel/maps.h"
#include "kernel/mountinfo.h"
#include "kernel/proc.h"
#include "util/fd.h"

/* Does fdinfo of a descriptor of ours say what? */
static int fdinfo_says(int fd, uint32_t what)
{
	_cleanup_close_ int dir = proc_open(getpid());
	struct fdinfo info;
	int err;

	if (fd < 0 || dir < 0)
		return fd < 0 ? probe_answer(fd) : dir;
	err = fdinfo_read(dir, fd, &info);
	if (err < 0)
		return probe_answer(err);
	fdinfo_release(&info);
	return (info.has & what) == what;
}

static int fdinfo_lists(int fd, enum fdinfo_kind kind)
{
	_cleanup_close_ int dir = proc_open(getpid());
	struct fdinfo info;
	bool found = false;
	int err;

	if (dir < 0)
		return dir;
	err = fdinfo_read(dir, fd, &info);
	if (err < 0)
		return probe_answer(err);
	for (size_t i = 0; i < info.n_items; i++)
		found = found || info.items[i].kind == kind;
	fdinfo_release(&info);
	return found;
}

int probe_mnt_id(void)
{
	_cleanup_close_ int fd = open("/", O_PATH | O_CLOEXEC);

	return fdinfo_says(fd < 0 ? -errno : fd, FDINFO_MNT_ID);
}

int probe_timerfd(void)
{
	_cleanup_close_ int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t ticks = 1;
	int answer = fdinfo_says(fd < 0 ? -errno : fd, FDINFO_TIMERFD);

	if (answer != 1)
		return answer;
	return probe_errno(ioctl(fd, _IOW('T', 0, uint64_t), &ticks));
}

int probe_fdinfo_lock(void)
{
	_cleanup_close_ int fd = memfd_create("probe", MFD_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return -errno;
	return fdinfo_lists(fd, FDINFO_LOCK);
}

int probe_fdinfo_epoll(void)
{
	_cleanup_close_ int ep = epoll_create1(EPOLL_CLOEXEC),
			    target = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};

	if (ep < 0 || target < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, target, &event) < 0)
		return -errno;
	return fdinfo_lists(ep, FDINFO_EPOLL_TARGET);
}

int probe_fdinfo_eventfd_semaphore(void)
{
	_cleanup_close_ int fd = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);

	return fdinfo_says(fd < 0 ? -errno : fd, FDINFO_SEMAPHORE);
}

int probe_map_files(void)
{
	_cleanup_close_ int fd = memfd_create("probe", MFD_CLOEXEC), opened = -1;
	char path[96], *p;

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		return -errno;
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
		 (unsigned long)p + 4096);
	opened = open(path, O_RDONLY | O_CLOEXEC);
	if (opened < 0)
		opened = -errno;
	munmap(p, 4096);
	return probe_answer(opened);
}

int probe_proc_children(void)
{
	return probe_path("/proc/thread-self/children");
}

int probe_posix_timers(void)
{
	return probe_path("/proc/self/timers");
}

int probe_memfd(void)
{
	_cleanup_close_ int fd = memfd_create("probe", MFD_CLOEXEC);

	return probe_errno(fd);
}

int probe_memfd_hugetlb(void)
{
	_cleanup_close_ int fd = memfd_create("probe", MFD_CLOEXEC | MFD_HUGETLB);

	return probe_errno(fd);
}

int probe_hugetlb(void)
{
	return probe_path("/proc/sys/vm/nr_hugepages");
}

int probe_tun(void)
{
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	return probe_errno(fd);
}

int probe_tun_ns(void)
{
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), ns = -1;

	if (fd < 0)
		return probe_errno(fd);
	ns = ioctl(fd, SIOCGSKNS);
	return probe_errno(ns);
}

int probe_openat2(void)
{
	struct {
		uint64_t flags, mode, resolve;
	} how = {.flags = O_PATH | O_CLOEXEC};
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	return probe_errno(fd);
}

int probe_close_range(void)
{
	return probe_errno(syscall(SYS_close_range, ~0U, ~0U, 0));
}

int probe_ns_last_pid(void)
{
	return access("/proc/sys/kernel/ns_last_pid", W_OK) == 0 ? 1 : probe_errno(-1);
}

int probe_pidfs(void)
{
	_cleanup_close_ int fd = pidfd_new(getpid());
	struct statfs fs;

	if (fd < 0)
		return probe_answer(fd);
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	return fs.f_type == 0x50494446; /* PIDFS_MAGIC */
}

int probe_apparmor_stacking(void)
{
	char text[16];
	ssize_t n = fd_read_file_into(AT_FDCWD,
				      "/sys/kernel/security/apparmor/features/domain/stack", text,
				      sizeof(text));

	return n < 0 ? probe_answer(n) : strncmp(text, "yes", 3) == 0;
}

int probe_loginuid(void)
{
	_cleanup_close_ int dir = proc_open(getpid());
	uint32_t uid;

	return dir < 0 ? dir : probe_answer(proc_read_loginuid(dir, &uid));
}

/* ---- mounts ---- */

/* Since 4.10 the mount options of autofs name the inode of its pipe, without which nobody can tell
 * which it is. */
static int autofs_shows_its_pipe(void)
{
	_cleanup_close_ int dir = proc_open(getpid());
	struct mount_list mounts;
	char options[128];
	bool found = false;
	int fds[2], err;

	if (pipe2(fds, O_CLOEXEC) < 0 || mkdir("a", 0700) < 0)
		return -errno;
	snprintf(options, sizeof(options), "fd=%d,pgrp=%d,minproto=5,maxproto=5,indirect", fds[1],
		 getpgrp());
	if (mount("probe", "a", "autofs", 0, options) < 0)
		return probe_errno(-1);
	err = dir < 0 ? dir : mountinfo_read(dir, &mounts);
	if (err < 0)
		return err;
	for (size_t i = 0; i < mounts.n; i++) {
		found = found || (strcmp(mounts.items[i].fstype, "autofs") == 0 &&
				  strstr(mounts.items[i].sb_options, "pipe_ino="));
	}
	mount_list_release(&mounts);
	return found;
}

int probe_autofs(void)
{
	return probe_in_mounts(autofs_shows_its_pipe);
}

static int set_group(void)
{
	if (mkdir("a", 0700) < 0 || mkdir("b", 0700) < 0 ||
	    mount("probe", "a", "tmpfs", 0, NULL) < 0 || mount("a", "b", NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, "a", NULL, MS_SHARED, NULL) < 0)
		return -errno;
	return probe_errno(syscall(SYS_move_mount, AT_FDCWD, "a", AT_FDCWD, "b",
				   0x100 /* MOVE_MOUNT_SET_GROUP */));
}

int probe_move_mount_set_group(void)
{
	return probe_in_mounts(set_group);
}

/* The device of the mapping, as maps has it, of the file that is mapped at p. */
static int maps_device(const void *p, dev_t *ret)
{
	_cleanup_close_ int dir = proc_open(getpid());
	const struct vma_facts *vma;
	struct vma_list vmas;
	int err = dir < 0 ? dir : maps_read(dir, &vmas);

	if (err < 0)
		return err;
	vma = vma_list_find(&vmas, (uintptr_t)p);
	*ret = vma ? makedev(vma->dev_major, vma->dev_minor) : 0;
	vma_list_release(&vmas);
	return vma ? 0 : -ENOENT;
}

static int overlay_maps_tell_the_device(void)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	dev_t dev;
	void *p;
	int err;

	if (mkdir("l", 0700) < 0 || mkdir("u", 0700) < 0 || mkdir("w", 0700) < 0 ||
	    mkdir("m", 0700) < 0 || mknod("l/f", S_IFREG | 0600, 0) < 0)
		return -errno;
	if (mount("probe", "m", "overlay", 0, "lowerdir=l,upperdir=u,workdir=w") < 0)
		return probe_errno(-1);
	fd = open("m/f", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	err = maps_device(p, &dev);
	return err < 0 ? err : dev == st.st_dev;
}

int probe_overlayfs_maps(void)
{
	return probe_in_mounts(overlay_maps_tell_the_device);
}
