/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mappings of a task, from outside, with everything the kernel tells: extent, protection, what
 * backs them, and the flags that only smaps shows.
 */
#ifndef CRIU_KERNEL_MAPS_H
#define CRIU_KERNEL_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The two-letter flags of smaps' "VmFlags:", as bits. Ours, not the kernel's. */
enum vma_flag {
	VMA_RD = 1 << 0,
	VMA_WR = 1 << 1,
	VMA_EX = 1 << 2,
	VMA_SH = 1 << 3,
	VMA_MR = 1 << 4,
	VMA_MW = 1 << 5,
	VMA_ME = 1 << 6,
	VMA_MS = 1 << 7,
	VMA_GD = 1 << 8,  /* grows down */
	VMA_PF = 1 << 9,  /* pure PFN range */
	VMA_LO = 1 << 10, /* locked */
	VMA_IO = 1 << 11, /* I/O mapping */
	VMA_SR = 1 << 12, /* MADV_SEQUENTIAL */
	VMA_RR = 1 << 13, /* MADV_RANDOM */
	VMA_DC = 1 << 14, /* MADV_DONTFORK */
	VMA_DE = 1 << 15, /* no mremap to bigger */
	VMA_AC = 1 << 16, /* accounted */
	VMA_NR = 1 << 17, /* MAP_NORESERVE */
	VMA_HT = 1 << 18, /* hugetlb */
	VMA_SF = 1 << 19, /* MAP_SYNC */
	VMA_AR = 1 << 20,
	VMA_WF = 1 << 21, /* MADV_WIPEONFORK */
	VMA_DD = 1 << 22, /* MADV_DONTDUMP */
	VMA_SD = 1 << 23, /* soft-dirty */
	VMA_MM = 1 << 24, /* mixed map */
	VMA_HG = 1 << 25, /* MADV_HUGEPAGE */
	VMA_NH = 1 << 26, /* MADV_NOHUGEPAGE */
	VMA_MG = 1 << 27, /* MADV_MERGEABLE */
	VMA_UM = 1 << 28, /* userfaultfd missing */
	VMA_UW = 1 << 29, /* userfaultfd write-protect */
	VMA_UI = 1 << 30, /* userfaultfd minor */
};

#define VMA_SS    (1ull << 31) /* shadow stack */
#define VMA_SL    (1ull << 32) /* sealed */
#define VMA_LF    (1ull << 33) /* lock on fault (MLOCK_ONFAULT) */
#define VMA_DP    (1ull << 34) /* droppable */
#define VMA_GU    (1ull << 35) /* may have guard regions (6.18 and later) */
#define VMA_BT    (1ull << 36) /* arm64 BTI */
#define VMA_MT    (1ull << 37) /* arm64 MTE */
#define VMA_OTHER (1ull << 62) /* a flag that this table does not know */

struct vma_facts {
	uint64_t start, end; /* bytes */
	uint64_t pgoff;      /* offset in the file, bytes */
	uint64_t inode;      /* 0: not a file */
	uint64_t flags;      /* VMA_*; only if has_flags */
	const char *path; /* unescaped, " (deleted)" taken away; "[heap]", "[stack]", "[anon:name]",
			     "[vdso]"; "" if none */
	uint32_t dev_major, dev_minor;
	uint32_t page_size; /* of the kernel for this mapping: 4096, or that of hugetlb; only if
			       has_flags */
	uint8_t prot;       /* PROT_* */
	uint8_t pkey;       /* protection key, 0: none; only if has_flags */
	bool is_shared;
	bool is_deleted;
	bool has_flags;
};

struct vma_list {
	struct vma_facts *items; /* by address */
	size_t n;
	char *text; /* holds the paths */
};

/*
 * All mappings of the process behind dir (a descriptor of /proc/PID), without the flags of smaps.
 * The task should be stopped, else the answer may be of several moments. 0, or -errno (-ESRCH: it
 * is gone).
 */
int maps_read(int dir, struct vma_list *ret);
/*
 * Adds flags, page_size and pkey to all items, which must be as maps_read() gave them: five to ten
 * times as expensive, and cannot be split (smaps.c, vma-flags.c say why). What does not need the
 * flags can run meanwhile; the other members are not touched. -ESTALE: the mappings have changed.
 */
struct vma_flags;
int maps_read_flags(int dir, struct vma_list *list, struct vma_flags *flags);
/*
 * What has been learned about flags, for all tasks that are looked at (NULL above: nothing is kept,
 * and smaps is read). Threads may share it.
 */
struct vma_flags *vma_flags_new(void);
void vma_flags_free(struct vma_flags *flags);
/*
 * Tells of all mappings that have no page at all, present, swapped out or of hugetlb, in the order
 * of addresses; the task must be stopped. 0 or -errno.
 */
typedef void maps_empty_fn(void *arg, uint64_t start, uint64_t end);
int maps_find_empty(int dir, maps_empty_fn *emit, void *arg);
void vma_list_release(struct vma_list *list);

/* The mapping that holds address, or NULL. */
const struct vma_facts *vma_list_find(const struct vma_list *list, uint64_t address);

int maps_parse(const char *text, size_t size, struct vma_list *ret);
/* smaps of exactly these mappings. */
int maps_parse_smaps(const char *text, size_t size, struct vma_list *list);
/* Two-letter flags behind "VmFlags:". */
int maps_parse_flags(const char *text, size_t size, uint64_t *ret);

#endif
