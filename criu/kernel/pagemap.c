// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of a task by category. PAGEMAP_SCAN walks the page tables in the kernel and returns only
 * regions that match, so a sparse mapping costs what is in it; entries of /proc/PID/pagemap are
 * eight bytes for every page, there or not.
 *
 * What the categories do not say: a marker in the page table (guard region, write protection of a
 * page that is not there) looks like swapped memory. Guard regions have a category of their own
 * from 6.15 on; the queries for private memory leave them out. On kernels without it they cannot be
 * told apart, and on those before 6.13 there are none.
 */
#include "kernel/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "compel/base/bits.h"
#include "kernel/proc-priv.h"
#include "util/alloc.h"
#include "util/fd.h"

/* linux/fs.h of 6.7 and later. */
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL       _IOWR('f', 16, struct scan_arg)
#define SCAN_WP_MATCHING (1 << 0)

/* An entry of /proc/PID/pagemap. */
#define ENTRY_PRESENT    (1ull << 63)
#define ENTRY_SWAPPED    (1ull << 62)
#define ENTRY_FILE       (1ull << 61)
#define ENTRY_GUARD      (1ull << 58)
#define ENTRY_SOFT_DIRTY (1ull << 55)
#define ENTRY_PFN        ((1ull << 55) - 1)

#define PAGE_BYTES 4096ull
#define ALL_BUT_GUARD                                                                             \
	(PAGE_WPALLOWED | PAGE_WRITTEN | PAGE_FILE | PAGE_PRESENT | PAGE_SWAPPED | PAGE_PFNZERO | \
	 PAGE_HUGE | PAGE_SOFT_DIRTY)
#define IN_ENTRIES (PAGE_FILE | PAGE_PRESENT | PAGE_SWAPPED | PAGE_SOFT_DIRTY | PAGE_GUARD)

/*
 * Where nothing is to be reported, a category that is the same for all matches is named: the ioctl
 * wants one, and neighbours that differ in it would be regions of their own.
 */
const struct page_query page_query_private_anon = {
	.inverted = PAGE_PFNZERO | PAGE_GUARD,
	.all_of = PAGE_PFNZERO | PAGE_GUARD,
	.any_of = PAGE_PRESENT | PAGE_SWAPPED,
	.report = PAGE_PFNZERO,
};

const struct page_query page_query_private_file = {
	.inverted = PAGE_PFNZERO | PAGE_GUARD | PAGE_FILE,
	.all_of = PAGE_PFNZERO | PAGE_GUARD | PAGE_FILE,
	.any_of = PAGE_PRESENT | PAGE_SWAPPED,
	.report = PAGE_PFNZERO,
};

const struct page_query page_query_present = {
	.inverted = PAGE_GUARD,
	.all_of = PAGE_GUARD,
	.any_of = PAGE_PRESENT | PAGE_SWAPPED,
	.report = PAGE_PRESENT | PAGE_SWAPPED,
};

const struct page_query page_query_guard = {
	.all_of = PAGE_GUARD,
	.report = PAGE_GUARD,
};

struct pagemap {
	int fd;
	bool has_scan;
	uint64_t known;
	uint64_t zero_pfn; /* 0: not known */
};

static int scan_ioctl(const struct pagemap *pagemap, struct scan_arg *arg)
{
	int n;

	do {
		n = ioctl(pagemap->fd, SCAN_IOCTL, arg);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Does the ioctl take these categories? Asked for an empty range. */
static bool scan_takes(const struct pagemap *pagemap, uint64_t categories)
{
	struct page_run run;
	struct scan_arg arg = {
		.size = sizeof(arg),
		.vec = (uintptr_t)&run,
		.vec_len = 1,
		.return_mask = categories,
	};

	return scan_ioctl(pagemap, &arg) >= 0;
}

/* The number of the zero page, seen where we read memory that we never wrote; 0 if numbers are
 * hidden from us. */
static uint64_t find_zero_pfn(void)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	volatile char *page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t entry = 0;

	if (page == MAP_FAILED)
		return 0;
	(void)page[0];
	if (fd >= 0 && pread_exact(fd, &entry, sizeof(entry),
				   (off_t)((uintptr_t)page / PAGE_BYTES * sizeof(entry))) < 0)
		entry = 0;
	munmap((void *)page, PAGE_BYTES);
	return entry & ENTRY_PRESENT ? entry & ENTRY_PFN : 0;
}

int pagemap_open(int dir, enum pagemap_source source, struct pagemap **ret)
{
	int fd = proc_open_file(dir, "pagemap", O_RDONLY);
	struct pagemap *pagemap;

	if (fd < 0)
		return fd;
	pagemap = xcalloc(1, sizeof(*pagemap));
	pagemap->fd = fd;
	pagemap->has_scan = source == PAGEMAP_BEST && scan_takes(pagemap, ALL_BUT_GUARD);
	if (pagemap->has_scan) {
		pagemap->known = ALL_BUT_GUARD;
		if (scan_takes(pagemap, PAGE_GUARD))
			pagemap->known |= PAGE_GUARD;
	} else {
		pagemap->known = IN_ENTRIES;
		pagemap->zero_pfn = find_zero_pfn();
		if (pagemap->zero_pfn)
			pagemap->known |= PAGE_PFNZERO;
	}
	*ret = pagemap;
	return 0;
}

void pagemap_free(struct pagemap *pagemap)
{
	if (!pagemap)
		return;
	close_at(&pagemap->fd);
	free(pagemap);
}

bool pagemap_knows(const struct pagemap *pagemap, uint64_t categories)
{
	return (categories & ~pagemap->known) == 0;
}

bool pagemap_skips_gaps(const struct pagemap *pagemap)
{
	return pagemap->has_scan;
}

/*
 * What is not known counts as "is not so": a zero page is then saved as data, which is right if
 * wasteful. To ask for pages that are so makes no sense then, and is refused.
 */
static int restrict_to_known(const struct pagemap *pagemap, const struct page_query *query,
			     struct page_query *ret)
{
	uint64_t unknown = ~pagemap->known;

	if (query->all_of & unknown & ~query->inverted)
		return -EOPNOTSUPP;
	if (query->any_of && !(query->any_of & ~unknown))
		return -EOPNOTSUPP;
	if (query->write_protect && !pagemap->has_scan)
		return -EOPNOTSUPP;
	*ret = *query;
	ret->inverted &= pagemap->known;
	ret->all_of &= pagemap->known;
	/* An unknown inverted alternative is always met. */
	if (query->any_of & query->inverted & unknown)
		ret->any_of = 0;
	ret->any_of &= pagemap->known;
	ret->report &= pagemap->known;
	if (!ret->report)
		ret->report = PAGE_PRESENT;
	return 0;
}

static int scan_some(const struct pagemap *pagemap, uint64_t *pos, uint64_t end,
		     const struct page_query *query, struct page_run *runs, size_t max)
{
	struct scan_arg arg = {
		.size = sizeof(arg),
		.flags = query->write_protect ? SCAN_WP_MATCHING : 0,
		.start = *pos,
		.end = end,
		.vec = (uintptr_t)runs,
		.vec_len = max,
		.category_inverted = query->inverted,
		.category_mask = query->all_of,
		.category_anyof_mask = query->any_of,
		.return_mask = query->report,
	};
	int n = scan_ioctl(pagemap, &arg);

	if (n < 0)
		return n;
	if (arg.walk_end > end || arg.walk_end < *pos || (arg.walk_end == *pos && *pos < end))
		return -EIO;
	*pos = arg.walk_end;
	return n;
}

static uint64_t categories_of(const struct pagemap *pagemap, uint64_t entry)
{
	uint64_t categories = 0;

	if (entry & ENTRY_PRESENT)
		categories |= PAGE_PRESENT;
	if (entry & ENTRY_SWAPPED)
		categories |= PAGE_SWAPPED;
	if (entry & ENTRY_FILE)
		categories |= PAGE_FILE;
	if (entry & ENTRY_SOFT_DIRTY)
		categories |= PAGE_SOFT_DIRTY;
	if (entry & ENTRY_GUARD)
		categories |= PAGE_GUARD;
	if (pagemap->zero_pfn && (entry & ENTRY_PRESENT) &&
	    (entry & ENTRY_PFN) == pagemap->zero_pfn)
		categories |= PAGE_PFNZERO;
	return categories;
}

static bool matches(const struct page_query *query, uint64_t categories)
{
	categories ^= query->inverted;
	return (categories & query->all_of) == query->all_of &&
	       (!query->any_of || (categories & query->any_of));
}

/* Joins the page with the last run, or begins another; false if there is no room for that. */
static bool add_page(struct page_run *runs, size_t *n, size_t max, uint64_t at, uint64_t categories)
{
	if (*n && runs[*n - 1].end == at && runs[*n - 1].categories == categories) {
		runs[*n - 1].end += PAGE_BYTES;
		return true;
	}
	if (*n == max)
		return false;
	runs[(*n)++] =
		(struct page_run){.start = at, .end = at + PAGE_BYTES, .categories = categories};
	return true;
}

static int entries_some(const struct pagemap *pagemap, uint64_t *pos, uint64_t end,
			const struct page_query *query, struct page_run *runs, size_t max)
{
	uint64_t entries[4096];
	size_t n = 0;

	while (*pos < end) {
		size_t want = MIN((end - *pos) / PAGE_BYTES, (uint64_t)ARRAY_SIZE(entries));
		ssize_t got = pread_all(pagemap->fd, entries, want * sizeof(*entries),
					(off_t)(*pos / PAGE_BYTES * sizeof(*entries)));

		if (got < 0)
			return (int)got;
		/* Beyond the end of the address space of tasks there is nothing. */
		if (got == 0) {
			*pos = end;
			break;
		}
		for (size_t i = 0; i < (size_t)got / sizeof(*entries); i++) {
			uint64_t categories = categories_of(pagemap, entries[i]);

			if (matches(query, categories) &&
			    !add_page(runs, &n, max, *pos, categories & query->report))
				return (int)n;
			*pos += PAGE_BYTES;
		}
	}
	return (int)n;
}

int pagemap_scan_some(const struct pagemap *pagemap, uint64_t *pos, uint64_t end,
		      const struct page_query *query, struct page_run *ret_runs, size_t max)
{
	struct page_query known;
	int err = restrict_to_known(pagemap, query, &known);

	if (err < 0)
		return err;
	if (*pos % PAGE_BYTES || end % PAGE_BYTES || max == 0 || *pos > end)
		return -EINVAL;
	if (*pos == end)
		return 0;
	return pagemap->has_scan ? scan_some(pagemap, pos, end, &known, ret_runs, max)
				 : entries_some(pagemap, pos, end, &known, ret_runs, max);
}

int pagemap_scan(const struct pagemap *pagemap, uint64_t start, uint64_t end,
		 const struct page_query *query, int (*emit)(void *arg, const struct page_run *run),
		 void *arg)
{
	struct page_run runs[512], last = {};
	uint64_t pos = start;
	int err;

	while (pos < end) {
		int n = pagemap_scan_some(pagemap, &pos, end, query, runs, ARRAY_SIZE(runs));

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++) {
			/* A region that was cut because the buffer was full goes on in the next
			 * call. */
			if (last.end == runs[i].start && last.categories == runs[i].categories &&
			    last.end) {
				last.end = runs[i].end;
				continue;
			}
			err = last.end ? emit(arg, &last) : 0;
			if (err)
				return err;
			last = runs[i];
		}
	}
	return last.end ? emit(arg, &last) : 0;
}
