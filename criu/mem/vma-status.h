/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers of vma_entry.status, pagemap_entry.flags and mmap flags that the image format has: they
 * are facts of the format. */
#ifndef CRIU_MEM_VMA_STATUS_H
#define CRIU_MEM_VMA_STATUS_H

enum vma_status {
	VMA_AREA_REGULAR = 1 << 0, /* has to be mapped on restore */
	VMA_AREA_STACK = 1 << 1,
	VMA_AREA_VSYSCALL = 1 << 2,
	VMA_AREA_VDSO = 1 << 3,
	VMA_AREA_HEAP = 1 << 5,
	VMA_FILE_PRIVATE = 1 << 6,
	VMA_FILE_SHARED = 1 << 7,
	VMA_ANON_SHARED = 1 << 8,
	VMA_ANON_PRIVATE = 1 << 9,
	VMA_AREA_SYSVIPC = 1 << 10,
	VMA_AREA_SOCKET = 1 << 11,
	VMA_AREA_VVAR = 1 << 12,
	VMA_AREA_AIORING = 1 << 13,
	VMA_AREA_MEMFD = 1 << 14,
	VMA_AREA_SHSTK = 1 << 15,
	VMA_AREA_GUARD = 1 << 16,
	VMA_AREA_UPROBES = 1 << 17,
	VMA_EXT_PLUGIN = 1 << 27,
	VMA_UNSUPP = 1u << 31,
};

/* pagemap_entry.flags */
enum pe_flag { PE_PARENT = 1, PE_LAZY = 2, PE_PRESENT = 4 };

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define MEM_PAGE      4096ull
#define MEM_TASK_SIZE 0x7ffffffff000ull

#endif
