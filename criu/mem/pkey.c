// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protection keys, pkeys(7). A process allocates up to 15 of them and gives them to mappings; what
 * a thread may do with a key is in its register PKRU, which is saved with its other registers.
 *
 * Saved: which keys are allocated (the parasite asks), the key of each mapping, also of one whose
 * key was given back since; and the key that the kernel itself took for mappings that can only be
 * executed. That one is in no answer: it is the key such a mapping has and nobody has allocated.
 * Where no mapping has it any more it is not saved; the kernel takes another when it needs one.
 *
 * Restored by the blob, since keys are inherited over fork(2). Memory that can only be executed is
 * made so there, too, in the order that lets the kernel choose the same key again.
 * Tests: test/cr/mem-pkey.c
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cr.h"
#include "kernel/features.h"
#include "mem/mem-priv.h"
#include "pie/mem-args.h"
#include "task/dump.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/mm.pb-c.h"

#define N_PKEYS 16

static bool is_exec_only(const struct vma *vma)
{
	return vma->prot == PROT_EXEC && vma_is_mapped(vma);
}

void pkeys_dump(struct cr *cr, struct task *task)
{
	uint32_t allocated = task->dump->facts->pkeys, exec_only = 0, others = 0;
	struct mm *mm = task->mm;

	if (!feature_has(cr->features, FEATURE_PKEYS))
		return;
	for (unsigned int i = 0; i < mm->n_vmas; i++) {
		struct vma *vma = &mm->vmas[i];

		/* Key 0 is to be given again where the kernel would choose another. */
		if (is_exec_only(vma))
			vma->has_pkey = true;
		if (is_exec_only(vma))
			exec_only |= 1u << vma->pkey;
		else
			others |= 1u << vma->pkey;
	}
	mm->entry->has_pkeys = allocated != 0;
	mm->entry->pkeys = allocated;
	exec_only &= ~(allocated | others | 1);
	mm->entry->has_exec_only_pkey = exec_only != 0;
	mm->entry->exec_only_pkey = exec_only ? (uint32_t)__builtin_ctz(exec_only) : 0;
}

const char *pkey_fault(const struct vma *vma)
{
	if (!vma->has_pkey || (vma->pkey < N_PKEYS && vma_is_mapped(vma)))
		return NULL;
	return vma->pkey < N_PKEYS ? "such a mapping has no protection key"
				   : "its protection key is none";
}

static bool is_kernels(const MmEntry *e, const struct vma *vma)
{
	return e->exec_only_pkey && vma->has_pkey && vma->pkey == e->exec_only_pkey;
}

static int check_vmas(struct cr *cr, const struct task *task, bool *ret_needs_keys)
{
	const struct mm *mm = task->mm;

	for (unsigned int i = 0; i < mm->n_vmas; i++) {
		const struct vma *vma = &mm->vmas[i];

		if (is_kernels(mm->entry, vma) && !is_exec_only(vma))
			return log_refuse(cr, -EBADMSG,
					  "mm-%d.img: mapping %" PRIx64 "-%" PRIx64
					  ": its protection key is for what can only be executed",
					  task->pid, vma->start, vma->end);
		if (vma->has_pkey && vma->pkey && !is_kernels(mm->entry, vma))
			*ret_needs_keys = true;
	}
	return 0;
}

int pkeys_check(struct cr *cr, struct task *task)
{
	const uint32_t possible = (1u << N_PKEYS) - 2;
	const MmEntry *e = task->mm->entry;
	bool needs_keys = e->pkeys != 0;
	int err;

	if (e->pkeys & ~possible)
		return log_refuse(cr, -EBADMSG,
				  "mm-%d.img: pkeys: there are no protection keys %#x", task->pid,
				  e->pkeys & ~possible);
	if (e->exec_only_pkey >= N_PKEYS || (e->pkeys >> e->exec_only_pkey & 1))
		return log_refuse(cr, -EBADMSG,
				  "mm-%d.img: exec_only_pkey: %u is not a key that the kernel took",
				  task->pid, e->exec_only_pkey);
	err = check_vmas(cr, task, &needs_keys);
	if (err)
		return err;
	task->mm->restore->has_pkeys = feature_has(cr->features, FEATURE_PKEYS);
	if (!needs_keys || task->mm->restore->has_pkeys)
		return 0;
	log_refuse(cr, -ENOTSUP, "pid %d: uses protection keys, which this host does not have",
		   task->pid);
	log_remedy(cr, "restore on %s", feature_remedy(FEATURE_PKEYS));
	return -ENOTSUP;
}

void pkeys_args(const struct task *task, struct mem_args *args)
{
	const struct mm *mm = task->mm;
	bool has_keys = mm->restore->has_pkeys;

	if (has_keys) {
		args->pkeys = mm->entry->pkeys;
		args->exec_only_pkey = mm->entry->exec_only_pkey;
	}
	for (unsigned int i = 0; i < mm->n_vmas; i++) {
		const struct vma *vma = &mm->vmas[i];
		bool is_chosen = has_keys && vma->has_pkey && !is_kernels(mm->entry, vma);

		if (!is_exec_only(vma) && !(is_chosen && vma->pkey))
			continue;
		args->protects = xreallocarray(args->protects, args->n_protects + 1,
					       sizeof(*args->protects));
		args->protects[args->n_protects++] = (struct mem_protect){
			.start = vma->start,
			.size = vma->end - vma->start,
			.prot = vma->prot,
			.pkey = is_chosen ? vma->pkey : -1,
		};
	}
}
