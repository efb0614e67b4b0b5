// SPDX-License-Identifier: LGPL-2.1-only
/*
 * Where things are in the process: /proc/pid/maps, read once while it stands still. From it: a hole
 * for the area, in the middle of the largest gap, which neither the kernel's own choice of
 * addresses nor a growing heap or stack will come to; and memory that is dead to the program, which
 * is best the part of its stack that it has never reached.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "compel/lib/session-priv.h"

enum {
	READ_CHUNK = 64 * 1024,
	LOWEST_ADDRESS = 0x10000, /* vm.mmap_min_addr, as usual */
	NEIGHBOURS = 4096,
	STACK_PAGES_MAX = 4096, /* of a stack's lowest part that are looked at */
};

static const uint64_t highest_address =
	0x7ffffffff000; /* 47 bits: what programs get unless they ask for more */
static const uint64_t page_in_use = 3ULL << 62; /* /proc/pid/pagemap: present, swapped */

static int read_all(const char *path, char **ret_text)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t size = 0, room = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		if (room - size < READ_CHUNK) {
			char *larger = realloc(text, room = room * 2 + READ_CHUNK * 2);

			if (!larger)
				return -ENOMEM;
			text = larger;
		}
		n = read(fd, text + size, room - size - 1);
		if (n < 0)
			return -errno;
		size += n;
	} while (n);
	text[size] = 0;
	*ret_text = TAKE_PTR(text);
	return 0;
}

/* start-end rwxp offset major:minor inode   name. Returns the line's end, or NULL when it is not
 * such a line. */
static char *parse_line(char *line, struct vma *vma)
{
	char *end = strchr(line, '\n');
	char *at = line;
	const char *name;

	if (!end)
		return NULL;
	*end = 0;
	vma->start = strtoull(at, &at, 16);
	if (*at++ != '-')
		return NULL;
	vma->end = strtoull(at, &at, 16);
	if (*at++ != ' ' || end - at < 5)
		return NULL;
	vma->is_readable = at[0] == 'r';
	vma->is_writable = at[1] == 'w';
	vma->is_executable = at[2] == 'x';
	vma->is_private = at[3] == 'p';
	vma->offset = strtoull(at + 4, &at, 16);
	at = strchr(at + 1, ' '); /* past the device */
	if (!at)
		return NULL;
	vma->inode = strtoull(at, &at, 10);
	name = at + strspn(at, " ");
	vma->is_stack = strcmp(name, "[stack]") == 0;
	vma->is_libc = strstr(name, "/libc.") || strstr(name, "/libc-") || strstr(name, "/ld-musl");
	return end + 1;
}

int session_maps_read(pid_t pid, struct maps *ret_maps)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ struct vma *vmas = NULL;
	size_t count = 0, room = 0;
	char path[32];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	err = read_all(path, &text);
	if (err < 0)
		return err;
	for (char *line = text; line && *line;) {
		if (count == room) {
			struct vma *larger = realloc(vmas, (room = room * 2 + 64) * sizeof(*vmas));

			if (!larger)
				return -ENOMEM;
			vmas = larger;
		}
		line = parse_line(line, &vmas[count++]);
		if (!line)
			return -EBADMSG;
	}
	*ret_maps = (struct maps){TAKE_PTR(vmas), count};
	return 0;
}

const struct vma *session_maps_find(const struct maps *maps, uint64_t address)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (address >= maps->vmas[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == maps->count || address < maps->vmas[low].start)
		return NULL;
	return &maps->vmas[low];
}

/*
 * The kernel's stack, or one that a thread library made, known by the guard below it. Elsewhere
 * (small stacks of coroutines in a heap) what lies below the stack pointer may well be somebody's.
 */
bool session_maps_is_thread_stack(const struct maps *maps, const struct vma *vma)
{
	const struct vma *below;

	if (vma->is_stack)
		return true;
	if (vma == maps->vmas || vma->inode)
		return false;
	below = vma - 1;
	return below->end == vma->start && !below->is_readable && !below->is_writable &&
	       !below->is_executable && !below->inode;
}

int session_maps_find_hole(const struct maps *maps, uint64_t size, pid_t tid, uint64_t *ret_address)
{
	uint64_t largest = 0, at = 0, end = LOWEST_ADDRESS;

	for (size_t i = 0; i <= maps->count; i++) {
		uint64_t start = i < maps->count ? maps->vmas[i].start : highest_address;

		start = MIN(start, highest_address);
		if (start > end && start - end > largest) {
			largest = start - end;
			at = end;
		}
		if (i < maps->count)
			end = MAX(end, maps->vmas[i].end);
	}
	if (largest < 4 * size)
		return -ENOMEM;
	/* Processes that share their memory must not all be given the same place. */
	at += (largest - size) / 2 + largest / 4 / NEIGHBOURS * (tid % NEIGHBOURS);
	*ret_address = round_down(at, PAGE);
	return 0;
}

int session_maps_find_untouched_stack(pid_t pid, const struct maps *maps, uint64_t *ret_start,
				      uint64_t *ret_end)
{
	_cleanup_close_ int fd = -1;
	uint64_t pages[512];
	const struct vma *stack = NULL;
	size_t count, untouched = 0;
	char path[32];

	for (size_t i = 0; i < maps->count && !stack; i++) {
		if (maps->vmas[i].is_stack && maps->vmas[i].is_writable && maps->vmas[i].is_private)
			stack = &maps->vmas[i];
	}
	if (!stack)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	count = MIN((stack->end - stack->start) / PAGE, (uint64_t)STACK_PAGES_MAX);
	while (untouched < count) {
		size_t wanted = MIN(count - untouched, ARRAY_SIZE(pages));
		ssize_t n = pread(fd, pages, wanted * sizeof(*pages),
				  (stack->start / PAGE + untouched) * sizeof(*pages));
		size_t i = 0;

		if (n <= 0)
			break;
		while (i < n / sizeof(*pages) && !(pages[i] & page_in_use))
			i++;
		untouched += i;
		if (i < ARRAY_SIZE(pages))
			break;
	}
	*ret_start = stack->start;
	*ret_end = stack->start + untouched * PAGE;
	return untouched ? 0 : -ENOENT;
}
