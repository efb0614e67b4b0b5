// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump: pages files on tmpfs are written several times as fast into huge pages: what write(2) does
 * there for each small page costs much more than copying it (test/bench/memory.md). Mostly tmpfs is
 * mounted without huge pages, but madvise(2) MADV_COLLAPSE (Linux 6.1) makes one out of what a
 * mapped file has, holes included, whatever the mount says: so a huge page is begun with one byte,
 * collapsed, and then written. The memory is needed in any case, as all of it will be written, and
 * is charged to the tool, as that of small pages would be.
 *
 * Where that cannot be done (an older kernel, shmem_enabled "deny", a process without THP, memory
 * in too small pieces), files are written as ever; the log says (-v4).
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "compel/base/bits.h"
#include "mem/mem-priv.h"
#include "util/fd.h"
#include "util/time.h"

/* Linux 6.1; not in the headers of all distributions. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Of the page tables' second level; where it is larger, the kernel refuses. */
#define HUGE (2ull << 20)
/* By one call. Clearing 4 MiB takes a fraction of a millisecond. Searching a fragmented memory for
 * huge pages takes longer than they gain. */
#define TOO_LONG_US 20000
/* After so many nothing more is tried. */
#define FAILURES 3

bool huge_file_is_possible(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

static bool read_us(const char *folder, const char *name, long *ret)
{
	char path[256], text[32];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	n = fd_read_file_into(-1, path, text, sizeof(text));
	*ret = n > 0 ? strtol(text, NULL, 10) : 0;
	return n > 0;
}

/* The kernel has a worker run on each CPU before it collapses pages. A real-time task that is never
 * kept from its CPU (sched(7), "Limiting the CPU usage") would keep us waiting, and not to be
 * killed, with the victim frozen. */
bool huge_files_may_hang(const char *folder)
{
	long runtime, period;

	return !read_us(folder, "sched_rt_runtime_us", &runtime) ||
	       !read_us(folder, "sched_rt_period_us", &period) || runtime < 0 || runtime >= period;
}

/* Room for size bytes at an address that huge pages can be at, kept from one time to the next. */
static char *reserve(struct huge_window *window, size_t size)
{
	if (window->size < size + HUGE) {
		huge_window_release(window);
		window->size = size + HUGE;
		window->start = mmap(NULL, window->size, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (window->start == MAP_FAILED)
			*window = (struct huge_window){0};
	}
	return window->start ? (char *)round_up((uintptr_t)window->start, HUGE) : NULL;
}

static int collapse(char *at, int fd, uint64_t offset, size_t size)
{
	uint64_t begin = time_now_us();
	int err = 0;

	/* It is not for holes alone. */
	for (uint64_t i = 0; i < size && !err; i += HUGE)
		err = pwrite_all(fd, "", 1, (off_t)(offset + i));
	if (err)
		return err;
	if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) ==
	    MAP_FAILED)
		return -errno;
	if (madvise(at, size, MADV_COLLAPSE) < 0)
		err = -errno;
	/* What is mapped counts as our memory. */
	(void)mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		   0);
	return !err && time_now_us() - begin >= TOO_LONG_US ? -ETIME : err;
}

static void count_failure(struct huge_files *files, int err)
{
	/* Of memory that is short for a moment, or of others who were faster. */
	bool may_pass = err == -ETIME || err == -ENOMEM || err == -EAGAIN || err == -EBUSY;

	__atomic_store_n(&files->err, err, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&files->failures, 1, __ATOMIC_RELAXED) >= FAILURES || !may_pass)
		__atomic_store_n(&files->is_off, true, __ATOMIC_RELAXED);
}

void huge_file_prepare(struct huge_files *files, struct huge_window *window, int fd,
		       uint64_t offset, uint64_t end)
{
	char *at;
	int err;

	offset = round_up(offset, HUGE);
	end = round_down(end, HUGE);
	if (offset >= end || __atomic_load_n(&files->is_off, __ATOMIC_RELAXED))
		return;
	at = reserve(window, end - offset);
	err = at ? collapse(at, fd, offset, end - offset) : -ENOMEM;
	if (!err || err == -ETIME)
		__atomic_add_fetch(&files->bytes, end - offset, __ATOMIC_RELAXED);
	if (err)
		count_failure(files, err);
}

void huge_window_release(struct huge_window *window)
{
	if (window->size)
		munmap(window->start, window->size);
	*window = (struct huge_window){0};
}
