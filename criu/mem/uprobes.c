// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump: pages of a program in which the kernel has set breakpoints for uprobes (--allow-uprobes).
 * Such a page is a private copy, but all that makes it one is the kernel's: saved, the breakpoints
 * would come back as part of the program, where the kernel knows of none, and kill it. Left out,
 * the page is that of the file again, into which the kernel puts its breakpoints as it is mapped.
 * A page that has been changed otherwise as well is saved, with a warning.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "arch/breakpoint.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "mem/mem-priv.h"
#include "task/task.h"
#include "util/fd.h"
#include "util/log.h"

bool uprobes_may_be_in(const struct cr *cr, const struct vma *vma)
{
	return mem_has_uprobes(cr) && (vma->prot & PROT_EXEC) && !(vma->prot & PROT_WRITE) &&
	       vma->status & VMA_FILE_PRIVATE;
}

static int open_file(const struct task *task, const struct vma *vma)
{
	char name[64];

	snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, vma->facts->start,
		 vma->facts->end);
	return openat(task_proc_fd(task), name, O_RDONLY | O_CLOEXEC);
}

static bool read_page(const struct task *task, uint64_t address, uint8_t *page)
{
	struct iovec local = {page, MEM_PAGE};
	struct iovec remote = {(void *)(uintptr_t)address, MEM_PAGE};

	return process_vm_readv(task->host_pid, &local, 1, &remote, 1, 0) == MEM_PAGE;
}

void uprobes_add_pages(struct cr *cr, struct task *task, const struct vma *vma, uint64_t start,
		       uint64_t end, uint32_t flags)
{
	_cleanup_close_ int fd = open_file(task, vma);
	uint8_t page[MEM_PAGE], before[MEM_PAGE];

	for (uint64_t at = start; at < end; at += MEM_PAGE) {
		off_t offset = (off_t)(vma->pgoff + (at - vma->start));

		/* The last page of a file has zeros behind its end. */
		memset(before, 0, sizeof(before));
		if (fd >= 0 && pread_all(fd, before, sizeof(before), offset) > 0 &&
		    read_page(task, at, page) && breakpoint_is_all(page, before, sizeof(page)))
			continue;
		log_warn(cr,
			 "pid %d: page %" PRIx64 " of its program was changed: probes in it, if "
			 "any, will be part of it",
			 task->host_pid, at);
		pages_add(&task->mm->dump->pages, at, at + MEM_PAGE, flags);
	}
}
