// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protection keys, and mappings that can only be executed (mem/pkey.c). The kernel gives out the
 * lowest key that is free, so taking all of them in order gives each its number; those that the
 * task does not have are freed again when mappings have theirs. The key that the kernel takes for
 * itself cannot be asked for, but comes with the first mapping that can only be executed.
 *
 * This thread, and those it makes, may then access memory of all keys; what the task's threads may
 * do comes with their registers.
 */
#include <errno.h>
#include <linux/mman.h>
#include <stdbool.h>

#include "compel/pie/syscall.h"
#include "pie/restorer.h"

#define N_PKEYS   16
#define PAGE_SIZE 4096

static void take_exec_only(struct restorer *r, uint64_t key)
{
	long at = sys(mmap, 0, PAGE_SIZE, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(r, STEP_PKEY_ALLOC, at, key);
	must(r, STEP_PKEY_ALLOC, sys(munmap, at, PAGE_SIZE), key);
}

static void take_keys(struct restorer *r)
{
	for (uint32_t key = 1; key < N_PKEYS; key++) {
		long ret;

		if (key == r->args->mem.exec_only_pkey) {
			take_exec_only(r, key);
			continue;
		}
		ret = sys(pkey_alloc, 0, 0);
		must(r, STEP_PKEY_ALLOC, ret < 0 || ret == key ? ret : -EBUSY, key);
	}
}

static void free_rest(struct restorer *r)
{
	uint32_t kept = r->args->mem.pkeys | 1u << r->args->mem.exec_only_pkey;

	for (uint32_t key = 1; key < N_PKEYS; key++)
		if (!(kept >> key & 1))
			must(r, STEP_PKEY_FREE, sys(pkey_free, key), key);
}

static long protect(const struct mem_protect *p)
{
	if (p->pkey < 0)
		return sys(mprotect, p->start, p->size, p->prot);
	return sys(pkey_mprotect, p->start, p->size, p->prot, p->pkey);
}

void restore_protection(struct restorer *r)
{
	const struct mem_protect *protects = args_at(r, r->args->protects);
	bool has_keys = r->args->mem.pkeys || r->args->mem.exec_only_pkey;

	for (uint32_t i = 0; i < r->args->protects.n; i++)
		has_keys |= protects[i].pkey > 0;
	if (has_keys)
		take_keys(r);
	for (uint32_t i = 0; i < r->args->protects.n; i++)
		must(r, STEP_PROTECT, protect(&protects[i]), protects[i].start);
	if (has_keys)
		free_rest(r);
}
