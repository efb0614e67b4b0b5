/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the restorer blob does to the address space, as the host side of memory (mem/args.c)
 * describes it. By then each mapping of the task exists with its contents, protection, locks,
 * advice and guards: at its final address, or, where something of ours was in the way, at another
 * one. What remains needs that our own code, libraries and stack are gone. In this order:
 *
 *   1. `early`: each mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to). These are the
 * vDSO and its data; no vDSO function may be called from here on.
 *   2. munmap everything below task_size that is neither in `keep` nor the blob's own.
 *   3. `moves`: the same call. The targets are free (each lies outside `keep` and the blob).
 *   4. Protection keys: exactly those of `pkeys` and `exec_only_pkey` become allocated, and each of
 * `protects` gets its protection.
 *   5. prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map)), exe_fd filled in; close that descriptor.
 *   6. prctl(PR_SET_THP_DISABLE) if thp_disable; PR_SET_DUMPABLE, after the credentials, if
 * dumpable is 0 or 1.
 */
#ifndef CRIU_PIE_MEM_ARGS_H
#define CRIU_PIE_MEM_ARGS_H

#include <stdint.h>

struct mem_span {
	uint64_t start, end;
};

struct mem_move {
	uint64_t from, to, size;
};

/* Of memory at its final address. */
struct mem_protect {
	uint64_t start, size;
	uint32_t prot;
	int32_t pkey; /* -1: the one that the kernel chooses */
};

/* struct prctl_mm_map of linux/prctl.h, whose header clashes with libc's. */
struct mem_map_args {
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t auxv; /* address of auxv_size bytes: of mem_args.auxv */
	uint32_t auxv_size, exe_fd;
};

#define MEM_AUXV_WORDS 64

struct mem_args {
	uint64_t task_size; /* where user addresses end */
	uint32_t n_early, n_keep, n_moves, n_protects;
	int32_t dumpable; /* -1: not told */
	uint32_t thp_disable;
	uint32_t auxv_words;
	uint32_t pkeys;          /* bit 1: key 1 */
	uint32_t exec_only_pkey; /* the kernel's own; 0: none */
	struct mem_move early[4];
	struct mem_span *keep; /* ascending, no two touch */
	struct mem_move *moves;
	struct mem_protect *protects;
	struct mem_map_args map; /* auxv is the builder's to set, exe_fd is set */
	uint64_t auxv[MEM_AUXV_WORDS];
};

#endif
