// SPDX-License-Identifier: GPL-2.0-only
/*
 * The flags of mappings, from /proc/PID/smaps. For 20 000 mappings the kernel takes 62 ms, nearly
 * all of it for printing 15 MB of text (perf: the walk through the page tables is under a tenth
 * where mappings are small). The work cannot be split among threads, because seeking costs as much
 * as reading what lies before; what can be avoided is in vma-flags.c.
 *
 * What is left to save here is on our side: the text goes through a small buffer, and because the
 * lines between the header and "VmFlags:" have fixed widths, the flags of a mapping are expected as
 * far behind the header as those of the one before it were.
 */
#include "kernel/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "kernel/maps-priv.h"
#include "kernel/proc-priv.h"
#include "util/alloc.h"
#include "util/fd.h"

static const struct {
	char name[3];
	uint64_t flag;
} flag_names[] = {
	{"rd", VMA_RD}, {"wr", VMA_WR}, {"ex", VMA_EX}, {"sh", VMA_SH}, {"mr", VMA_MR},
	{"mw", VMA_MW}, {"me", VMA_ME}, {"ms", VMA_MS}, {"gd", VMA_GD}, {"pf", VMA_PF},
	{"lo", VMA_LO}, {"io", VMA_IO}, {"sr", VMA_SR}, {"rr", VMA_RR}, {"dc", VMA_DC},
	{"de", VMA_DE}, {"ac", VMA_AC}, {"nr", VMA_NR}, {"ht", VMA_HT}, {"sf", VMA_SF},
	{"ar", VMA_AR}, {"wf", VMA_WF}, {"dd", VMA_DD}, {"sd", VMA_SD}, {"mm", VMA_MM},
	{"hg", VMA_HG}, {"nh", VMA_NH}, {"mg", VMA_MG}, {"um", VMA_UM}, {"uw", VMA_UW},
	{"ui", VMA_UI}, {"ss", VMA_SS}, {"sl", VMA_SL}, {"lf", VMA_LF}, {"dp", VMA_DP},
	{"gu", VMA_GU}, {"bt", VMA_BT}, {"mt", VMA_MT},
};

static uint64_t flag_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++) {
		if (flag_names[i].name[0] == name[0] && flag_names[i].name[1] == name[1])
			return flag_names[i].flag;
	}
	return VMA_OTHER;
}

int maps_parse_flags(const char *text, size_t size, uint64_t *ret)
{
	struct scan s = scan_of(text, size);
	uint64_t flags = 0;

	scan_blanks(&s);
	while (!scan_at_end(&s)) {
		size_t len;
		const char *name = scan_until(&s, ' ', &len);

		/* A flag without letters of its own (a key, on some kernels) leaves two blanks; one
		 * of other length is not ours. */
		flags |= len == 2 ? flag_of(name) : VMA_OTHER;
		scan_blanks(&s);
	}
	*ret = flags;
	return 0;
}

/* What one pass over the text remembers. */
struct pass {
	struct vma_list *list;
	size_t next;         /* item that the next header must name */
	size_t flags_offset; /* from the end of the last header line to its "\nVmFlags:" */
	size_t last_size;    /* text of the last flags line, in flags_text */
	char flags_text[128];
	uint64_t last_flags;
};

static const char flags_key[] = "\nVmFlags:";
#define KEY_LEN (sizeof(flags_key) - 1)

/* "Key:   123 kB" somewhere in the body; false if the key is not there. */
static bool find_number(const char *body, size_t size, const char *key, uint64_t *ret)
{
	const char *at = memmem(body, size, key, strlen(key));
	struct scan s;

	if (!at)
		return false;
	at += strlen(key);
	s = scan_of(at, (size_t)(body + size - at));
	scan_blanks(&s);
	*ret = scan_u64(&s, 10);
	return scan_ok(&s);
}

static int take_flags(struct pass *pass, const char *text, size_t size, uint64_t *ret)
{
	/* Neighbours mostly have the same. */
	if (pass->last_size == size && memcmp(pass->flags_text, text, size) == 0) {
		*ret = pass->last_flags;
		return 0;
	}
	if (maps_parse_flags(text, size, ret) < 0)
		return -EBADMSG;
	pass->last_size = 0;
	if (size && size <= sizeof(pass->flags_text)) {
		memcpy(pass->flags_text, text, size);
		pass->last_size = size;
		pass->last_flags = *ret;
	}
	return 0;
}

static int take_record(struct pass *pass, const char *header, const char *body, size_t body_size,
		       const char *flags, size_t flags_size)
{
	struct scan s = scan_of(header, (size_t)(body - header));
	uint64_t start = scan_u64(&s, 16), end, kib, pkey;
	struct vma_facts *vma;

	scan_char(&s, '-');
	end = scan_u64(&s, 16);
	if (!scan_ok(&s))
		return -EBADMSG;
	if (pass->next == pass->list->n)
		return -ESTALE;
	vma = &pass->list->items[pass->next++];
	if (vma->start != start || vma->end != end)
		return -ESTALE;

	if (!find_number(body, body_size, "\nKernelPageSize:", &kib) || kib == 0 ||
	    kib > UINT32_MAX / 1024)
		return -EBADMSG;
	vma->page_size = (uint32_t)(kib * 1024);
	/* The line before the flags, so that only the end needs to be searched; absent where the
	 * CPU has no keys. */
	if (body_size > 64 && find_number(body + body_size - 64, 64, "\nProtectionKey:", &pkey)) {
		if (pkey > 31)
			return -EBADMSG;
		vma->pkey = (uint8_t)pkey;
	}
	vma->has_flags = true;
	return take_flags(pass, flags, flags_size, &vma->flags);
}

/* Where "\nVmFlags:" of the record lies whose header ends at body; NULL if it is not in the text
 * yet. */
static const char *find_flags(struct pass *pass, const char *body, const char *end)
{
	const char *guess = body + pass->flags_offset;
	const char *at;

	if (pass->flags_offset && (size_t)(end - body) >= pass->flags_offset + KEY_LEN &&
	    memcmp(guess, flags_key, KEY_LEN) == 0)
		return guess;
	at = memmem(body, (size_t)(end - body), flags_key, KEY_LEN);
	if (at)
		pass->flags_offset = (size_t)(at - body);
	return at;
}

/* Takes all whole records of the text; how many bytes they are, or -errno. */
static ssize_t take_records(struct pass *pass, const char *text, size_t size)
{
	const char *at = text, *end = text + size;

	while (at < end) {
		const char *body = memchr(at, '\n', (size_t)(end - at)), *flags, *newline;
		int err;

		if (!body)
			break;
		flags = find_flags(pass, body, end);
		if (!flags)
			break;
		newline = memchr(flags + KEY_LEN, '\n', (size_t)(end - flags) - KEY_LEN);
		if (!newline)
			break;
		err = take_record(pass, at, body, (size_t)(flags - body), flags + KEY_LEN,
				  (size_t)(newline - flags) - KEY_LEN);
		if (err < 0)
			return err;
		at = newline + 1;
	}
	return at - text;
}

static int finish(const struct pass *pass, size_t left_over)
{
	if (left_over)
		return -EBADMSG;
	return pass->next == pass->list->n ? 0 : -ESTALE;
}

int maps_parse_smaps(const char *text, size_t size, struct vma_list *list)
{
	struct pass pass = {.list = list};
	ssize_t taken = take_records(&pass, text, size);

	return taken < 0 ? (int)taken : finish(&pass, size - (size_t)taken);
}

int smaps_read(int dir, struct vma_list *list, smaps_enough_fn *enough, void *arg)
{
	_cleanup_close_ int fd = proc_open_file(dir, "smaps", O_RDONLY);
	const size_t capacity = 65536;
	_cleanup_free_ char *text = xmalloc(capacity);
	struct pass pass = {.list = list};
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	while ((n = read(fd, text + len, capacity - len)) != 0) {
		size_t before = pass.next;
		ssize_t taken;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		taken = take_records(&pass, text, len);
		if (taken < 0)
			return (int)taken;
		len -= (size_t)taken;
		memmove(text, text + taken, len);
		/* A record is under two pages, path included. */
		if (len == capacity)
			return -EBADMSG;
		if (enough && enough(arg, before, pass.next))
			return 0;
	}
	return finish(&pass, len);
}

/* Resident pages, which smaps looks at one by one. */
static unsigned long resident_pages(int dir)
{
	unsigned long resident = 0;
	char text[128];

	if (fd_read_file_into(dir, "statm", text, sizeof(text)) > 0)
		(void)sscanf(text, "%*u %lu", &resident);
	return resident;
}

int maps_read_flags(int dir, struct vma_list *list, struct vma_flags *flags)
{
	/* Below that, smaps takes less than looking up how to do without it. */
	const size_t many = 4000;
	const unsigned long many_pages = 16384;

	if (flags && (list->n >= many || resident_pages(dir) >= many_pages) &&
	    vma_flags_by_words(dir, list, flags) == 0)
		return 0;
	return smaps_read(dir, list, NULL, NULL);
}
