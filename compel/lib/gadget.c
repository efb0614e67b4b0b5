// SPDX-License-Identifier: LGPL-2.1-only
/*
 * Looks for useful instructions in the process's executable mappings. Files are read through
 * /proc/pid/map_files, from the page cache, which leaves the process's own page tables alone; what
 * is found is then checked in its memory, for a private mapping may have been changed. Other
 * mappings, and files where that link cannot be opened, are copied out of its memory. The C library
 * comes first, as it has all of it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "compel/lib/session-priv.h"

enum { CHUNK = 128 * 1024, OVERLAP = 16 };

struct source {
	pid_t pid;
	int fd; /* -1: the process's memory */
	const struct vma *vma;
};

static int open_file(pid_t pid, const struct vma *vma)
{
	char path[96];

	if (!vma->inode)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid,
		 (unsigned long long)vma->start, (unsigned long long)vma->end);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Returns the bytes read; a file may end before its mapping does. */
static size_t read_code(const struct source *source, uint64_t at, void *to, size_t size)
{
	ssize_t n;

	if (source->fd < 0)
		return session_memory_read(source->pid, at, to, size) < 0 ? 0 : size;
	n = pread(source->fd, to, size, source->vma->offset + (at - source->vma->start));
	return n < 0 ? 0 : n;
}

static void scan(const struct source *source, struct gadgets *g)
{
	_cleanup_free_ unsigned char *code = malloc(CHUNK + OVERLAP);

	for (uint64_t at = source->vma->start; code && at < source->vma->end; at += CHUNK) {
		uint64_t left = source->vma->end - at;
		size_t size = read_code(source, at, code, MIN(left, (uint64_t)CHUNK + OVERLAP));

		compel_arch_gadgets_scan(code, size, at, g);
		if (gadgets_are_complete(g) || size < CHUNK)
			return;
	}
}

static int read_for_verify(void *opaque, uint64_t from, void *to, size_t size)
{
	return session_memory_read(*(pid_t *)opaque, from, to, size);
}

static void scan_vma(pid_t pid, const struct vma *vma, struct gadgets *g)
{
	_cleanup_close_ int fd = open_file(pid, vma);
	struct source file = {pid, fd, vma};
	struct source memory = {pid, -1, vma};
	struct gadgets found = *g;

	if (fd >= 0) {
		scan(&file, &found);
		if (compel_arch_gadgets_verify(&found, read_for_verify, &pid)) {
			*g = found;
			return;
		}
	}
	scan(&memory, g);
}

void session_gadgets_find(pid_t pid, const struct maps *maps, struct gadgets *ret_gadgets)
{
	struct gadgets g = {0};

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < maps->count && !gadgets_are_complete(&g); i++) {
			const struct vma *vma = &maps->vmas[i];

			/* Mappings that cannot be read are no use; [vsyscall] is one. */
			if (vma->is_executable && vma->is_readable && vma->is_libc == (pass == 0))
				scan_vma(pid, vma, &g);
		}
	}
	*ret_gadgets = g;
}

static bool is_code(const struct maps *maps, uint64_t address)
{
	const struct vma *vma = session_maps_find(maps, address);

	return vma && vma->is_executable && vma->is_readable;
}

bool session_gadgets_try(pid_t pid, const struct maps *maps, const struct compel_hint *hint,
			 struct gadgets *ret_gadgets)
{
	struct gadgets g;

	if (!hint)
		return false;
	g = (struct gadgets){
		.syscall = hint->addresses[0],
		.syscall_ret = hint->addresses[1],
		.restorer = hint->addresses[2],
		.pop_number = hint->addresses[3],
	};
	if (!g.syscall || !gadgets_are_complete(&g))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(hint->addresses); i++)
		if (hint->addresses[i] && !is_code(maps, hint->addresses[i]))
			return false;
	if (!compel_arch_gadgets_verify(&g, read_for_verify, &pid))
		return false;
	*ret_gadgets = g;
	return true;
}
