// SPDX-License-Identifier: GPL-2.0-only
/* Probes of what is about memory: what pagemap and maps can tell, userfaultfd, asynchronous I/O. */
#include "kernel/probes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/aio_abi.h>
#include <linux/userfaultfd.h>

#include "compel/base/cleanup.h"
#include "kernel/maps.h"
#include "kernel/pagemap.h"
#include "kernel/proc.h"
#include "kernel/vma-words.h"
#include "util/fd.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* linux/userfaultfd.h of 6.7 and later. */
#define UFFD_WP_ASYNC (1 << 15)

static void *new_page(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* A page just written is soft-dirty, wherever the kernel tracks that. */
int probe_mem_dirty_track(void)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	volatile char *page = new_page();
	uint64_t entry;
	int err;

	if (fd < 0 || page == MAP_FAILED)
		return -errno;
	page[0] = 1;
	err = pread_exact(fd, &entry, sizeof(entry),
			  (off_t)((uintptr_t)page / 4096 * sizeof(entry)));
	munmap((void *)page, 4096);
	return err < 0 ? err : (int)(entry >> 55 & 1);
}

static int pagemap_can(uint64_t categories)
{
	_cleanup_close_ int dir = proc_open(getpid());
	struct pagemap *pagemap;
	int err = dir < 0 ? dir : pagemap_open(dir, PAGEMAP_BEST, &pagemap);

	if (err < 0)
		return err;
	err = pagemap_knows(pagemap, categories);
	pagemap_free(pagemap);
	return err;
}

/* Only the ioctl knows of huge pages. */
int probe_pagemap_scan(void)
{
	return pagemap_can(PAGE_HUGE);
}

int probe_guard_pages(void)
{
	return pagemap_can(PAGE_HUGE | PAGE_GUARD);
}

int probe_procmap_query(void)
{
	_cleanup_close_ int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	/* struct procmap_query of linux/fs.h, 6.11 and later: its size, then flags and address. */
	uint64_t query[13] = {sizeof(query), 0, (uintptr_t)&query};

	if (fd < 0)
		return -errno;
	return probe_errno(ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, 'f', 17, sizeof(query)), query));
}

int probe_bpf_task_vma(void)
{
	_cleanup_free_ struct vma_word *words = NULL;
	struct vma_words *source;
	size_t n;
	int err = vma_words_open(&source);

	if (err < 0)
		return probe_answer(err);
	err = vma_words_read(source, getpid(), &words, &n);
	vma_words_free(source);
	return probe_answer(err);
}

int probe_populate_write(void)
{
	void *page = new_page();
	int answer;

	if (page == MAP_FAILED)
		return -errno;
	answer = probe_errno(madvise(page, 4096, MADV_POPULATE_WRITE));
	munmap(page, 4096);
	return answer;
}

int probe_pkeys(void)
{
	/* What this thread may do with a key that is free: nothing, before and after. */
	long key = syscall(SYS_pkey_alloc, 0, PKEY_DISABLE_ACCESS);

	/* "None left" is what a kernel says whose CPU has none. */
	if (key < 0)
		return errno == ENOSPC ? 0 : probe_errno(-1);
	(void)syscall(SYS_pkey_free, key);
	return 1;
}

static int uffd_with(uint64_t features)
{
	_cleanup_close_ int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {.api = UFFD_API, .features = features};

	if (fd < 0)
		return probe_errno(fd);
	return probe_errno(ioctl(fd, UFFDIO_API, &api));
}

int probe_uffd(void)
{
	return uffd_with(0);
}

int probe_uffd_noncoop(void)
{
	return uffd_with(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
			 UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP);
}

int probe_uffd_wp_async(void)
{
	return uffd_with(UFFD_WP_ASYNC);
}

/* The ring of an AIO context must keep working where mremap(2) moved it: its address is the
 * context's name. */
static int move_ring(aio_context_t ring)
{
	_cleanup_close_ int dir = proc_open(getpid());
	const struct vma_facts *vma;
	struct vma_list vmas;
	struct timespec no_time = {};
	struct io_event event;
	size_t size;
	void *moved;
	int err = dir < 0 ? dir : maps_read(dir, &vmas);

	if (err < 0)
		return err;
	vma = vma_list_find(&vmas, ring);
	size = vma ? vma->end - vma->start : 0;
	vma_list_release(&vmas);
	if (!size)
		return -ENOENT;
	moved = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (moved == MAP_FAILED)
		return -errno;
	if (mremap((void *)ring, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, moved) != moved)
		return probe_errno(-1);
	return probe_errno(syscall(SYS_io_getevents, moved, 0, 1, &event, &no_time));
}

/* In a child, whose end removes the ring wherever it is by then. */
static int move_new_ring(void)
{
	aio_context_t ring = 0;

	if (syscall(SYS_io_setup, 1, &ring) < 0)
		return probe_errno(-1);
	return move_ring(ring);
}

int probe_aio_remap(void)
{
	return probe_in_child(move_new_ring);
}
