// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump: pages of a frozen task are read by process_vm_readv(2), many pieces a call, without
 * touching the task. /proc/PID/mem takes twice as long, and is for pages that the task may not read
 * itself, and for those it shares with other tasks after a fork: process_vm_readv(2) pins pages,
 * and the kernel gives the task a copy of its own of such a page before that. Which pages are
 * shared is read from its page map. Shared memory objects are files, and read as such.
 */
#include "mem/page-read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "mem/objects.h"
#include "task/task.h"
#include "util/fd.h"
#include "util/log.h"

#define PM_MMAP_EXCLUSIVE (1ull << 56)

/* Is the page mapped by this task alone? Where the kernel does not tell, it is. */
static bool is_exclusive(int pagemap_fd, struct page_window *window, uint64_t address)
{
	if (address < window->start || address >= window->end) {
		ssize_t n = pread_all(pagemap_fd, window->entries, sizeof(window->entries),
				      (off_t)(address / MEM_PAGE * 8));

		window->start = address;
		window->end = address + (n > 0 ? n / 8 * MEM_PAGE : 0);
		if (window->end == address)
			return true;
	}
	return window->entries[(address - window->start) / MEM_PAGE] & PM_MMAP_EXCLUSIVE;
}

/* Splits pieces where they begin and cease to be shared with other tasks; a piece has a page at
 * least. */
static size_t split_shared(const struct page_reader *reader, struct page_window *window,
			   const struct pages_piece *pieces, size_t n, struct pages_piece *ret)
{
	size_t n_ret = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t end = pieces[i].address + pieces[i].size;

		for (uint64_t at = pieces[i].address; at < end; at += MEM_PAGE) {
			uint32_t flags = pieces[i].flags;

			if (!is_exclusive(reader->pagemap_fd, window, at))
				flags |= PAGES_FORCED;
			if (at > pieces[i].address && ret[n_ret - 1].flags == flags)
				ret[n_ret - 1].size += MEM_PAGE;
			else
				ret[n_ret++] = (struct pages_piece){at, MEM_PAGE, flags};
		}
	}
	return n_ret;
}

static int read_forced(struct cr *cr, const struct page_reader *reader, char *buffer,
		       uint64_t address, uint64_t size)
{
	ssize_t n = pread_all(reader->mem_fd, buffer, size, (off_t)address);

	if (n == (ssize_t)size)
		return 0;
	address += n < 0 ? 0 : n;
	return log_err(cr, n < 0 ? (int)n : -EFAULT, "pid %d: read its memory at %" PRIx64,
		       reader->task->host_pid, address);
}

/* Pieces from the first on that need no force: how many bytes were read, which may be fewer than
 * they have. */
static ssize_t read_plain(const struct task *task, char *buffer, const struct pages_piece *pieces,
			  size_t n)
{
	struct iovec remote[PAGE_MAX_PIECES];
	struct iovec local = {buffer, 0};
	size_t n_remote = 0;
	ssize_t done;

	for (; n_remote < n && !(pieces[n_remote].flags & PAGES_FORCED); n_remote++) {
		remote[n_remote].iov_base = (void *)(uintptr_t)pieces[n_remote].address;
		remote[n_remote].iov_len = pieces[n_remote].size;
		local.iov_len += pieces[n_remote].size;
	}
	done = n_remote ? process_vm_readv(task->host_pid, &local, 1, remote, n_remote, 0) : 0;
	return done < 0 ? -errno : done;
}

static int read_task(struct cr *cr, const struct page_reader *reader, char *buffer,
		     const struct pages_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n;) {
		ssize_t done = read_plain(reader->task, buffer, pieces + i, n - i);

		if (done < 0 && done != -EFAULT)
			return log_err(cr, (int)done, "pid %d: read its memory at %" PRIx64,
				       reader->task->host_pid, pieces[i].address);
		for (; i < n && done > 0 && (uint64_t)done >= pieces[i].size; i++) {
			done -= pieces[i].size;
			buffer += pieces[i].size;
		}
		/* The next has to be forced, or could not be read in another way, or not all of it.
		 */
		if (i < n && (done > 0 || pieces[i].flags & PAGES_FORCED || done == -EFAULT)) {
			uint64_t skip = done > 0 ? done : 0;
			int err = read_forced(cr, reader, buffer + skip, pieces[i].address + skip,
					      pieces[i].size - skip);

			if (err)
				return err;
			buffer += pieces[i++].size;
		}
	}
	return 0;
}

/* The last page of an object may lie in it only in part; the rest is zero. */
static int read_object(struct cr *cr, const struct mem_object *object, char *buffer,
		       const struct pages_piece *pieces, size_t n)
{
	for (size_t i = 0; i < n; buffer += pieces[i].size, i++) {
		ssize_t done =
			pread_all(object->fd, buffer, pieces[i].size, (off_t)pieces[i].address);

		if (done < 0)
			return log_err(cr, (int)done,
				       "shared memory %s (%" PRIu64 "): read at %" PRIx64,
				       object->name, object->shmid, pieces[i].address);
		memset(buffer + done, 0, pieces[i].size - done);
	}
	return 0;
}

int page_reader_open(struct cr *cr, struct page_reader *reader)
{
	int dir;

	if (!reader->task)
		return 0;
	dir = task_proc_fd(reader->task);
	reader->pagemap_fd = openat(dir, "pagemap", O_RDONLY | O_CLOEXEC);
	reader->mem_fd = openat(dir, "mem", O_RDONLY | O_CLOEXEC);
	if (reader->pagemap_fd < 0 || reader->mem_fd < 0)
		return log_err(cr, -errno, "pid %d: open its memory", reader->task->host_pid);
	return 0;
}

void page_reader_close(struct page_reader *reader)
{
	close_at(&reader->pagemap_fd);
	close_at(&reader->mem_fd);
	reader->pagemap_fd = reader->mem_fd = -1;
}

int page_reader_read(struct cr *cr, const struct page_reader *reader, struct page_window *window,
		     char *buffer, const struct pages_piece *pieces, size_t n)
{
	struct pages_piece apart[PAGE_MAX_PIECES];

	if (reader->object)
		return read_object(cr, reader->object, buffer, pieces, n);
	n = split_shared(reader, window, pieces, n, apart);
	return read_task(cr, reader, buffer, apart, n);
}
