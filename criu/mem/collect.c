// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump, first part: the mappings of a frozen task, from /proc alone, by any worker. The list is
 * read before the task is infected, so what the parasite maps is not in it. Consecutive areas of
 * the kernel's clock data (vvar) become one, as the format has it. mem_link_files() then gives ids
 * to what is mapped, in the order of tasks and addresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cr.h"
#include "files/files.h"
#include "mem/mem-priv.h"
#include "options.h"
#include "plugin/legacy.h"
#include "plugin/plugin.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/core.pb-c.h"
#include "images/mm.pb-c.h"

static int read_mappings(struct cr *cr, struct task *task, struct vma_list *ret)
{
	int dir = task_proc_fd(task);
	int err;

	err = maps_read(dir, ret);
	if (err)
		return log_err(cr, err, "pid %d: read its mappings", task->host_pid);
	err = maps_read_flags(dir, ret, cr->mem->flags);
	if (err)
		return log_err(cr, err, "pid %d: read the flags of its mappings", task->host_pid);
	return 0;
}

static int check_uprobes(struct cr *cr, struct task *task)
{
	if (!cr->opts->allow_uprobes) {
		log_refuse(cr, -ENOTSUP, "pid %d: has uprobes", task->host_pid);
		log_remedy(cr, "give --allow-uprobes; the probes must be there again on restore");
		return -ENOTSUP;
	}
	__atomic_store_n(&cr->mem->has_uprobes, true, __ATOMIC_RELAXED);
	return 0;
}

bool mem_has_uprobes(const struct cr *cr)
{
	return cr->mem && cr->mem->has_uprobes;
}

static void warn_of_losses(struct cr *cr, struct task *task, const struct vma_facts *facts)
{
	if (facts->flags & VMA_SL)
		log_warn(cr,
			 "pid %d: mapping %" PRIx64 "-%" PRIx64
			 ": that it is sealed (mseal) is not saved",
			 task->host_pid, facts->start, facts->end);
}

static bool continues_vvar(const struct mm *mm, const struct vma *vma)
{
	const struct vma *last = mm->n_vmas ? &mm->vmas[mm->n_vmas - 1] : NULL;

	return last && (vma->status & VMA_AREA_VVAR) && (last->status & VMA_AREA_VVAR) &&
	       last->end == vma->start;
}

/* Whether a plugin owns it is asked later, by the thread that may ask (mem_link_files()). */
static bool may_be_device(const struct cr *cr)
{
	return plugins_are_active(cr) || legacy_claims_vmas(cr);
}

int mem_collect(struct cr *cr, struct task *task)
{
	struct mm *mm = task->mm = xcalloc(1, sizeof(*mm));
	struct vma_list *list;
	int err;

	mm->dump = xcalloc(1, sizeof(*mm->dump));
	list = &mm->dump->list;
	err = read_mappings(cr, task, list);
	if (err)
		return err;

	mm->vmas = xcalloc(list->n, sizeof(*mm->vmas));
	for (size_t i = 0; i < list->n; i++) {
		const struct vma_facts *facts = &list->items[i];
		struct vma vma;
		const char *why = vma_convert(facts, &vma);

		if (why && may_be_device(cr) && vma_convert_device(facts, &vma))
			vma.refusal = why;
		else if (!why && vma.has_pkey && !vma_is_mapped(&vma))
			why = "it has a protection key, which such a mapping cannot be given again";
		if (why && !vma.refusal)
			return log_refuse(
				cr, -ENOTSUP, "pid %d: mapping %" PRIx64 "-%" PRIx64 " (%s): %s",
				task->host_pid, facts->start, facts->end, facts->path, why);
		warn_of_losses(cr, task, facts);
		if (vma.status & VMA_AREA_UPROBES) {
			err = check_uprobes(cr, task);
			if (err)
				return err;
		} else if (continues_vvar(mm, &vma)) {
			mm->vmas[mm->n_vmas - 1].end = vma.end;
		} else {
			mm->vmas[mm->n_vmas++] = vma;
		}
	}
	log_debug(cr, "pid %d: %u mappings", task->host_pid, mm->n_vmas);
	return 0;
}

/*
 * Mappings of one file share its id; mount namespaces may show different files under one name. How
 * the file was opened matters to shared mappings, and there VM_MAYWRITE tells it; so those of a
 * kind are taken to be alike, which saves asking for each.
 */
static uint64_t file_key(const struct task *task, const struct vma *vma)
{
	const struct vma_facts *facts = vma->facts;
	uint64_t file = hash_pair(facts->inode, hash_pair(facts->dev_major, facts->dev_minor));
	uint64_t kind = facts->is_deleted | facts->is_shared << 1 | (facts->flags & VMA_MW ? 4 : 0);

	return hash_pair(hash_pair(file, hash_str(facts->path)),
			 hash_pair(task->ids ? task->ids->mnt_ns_id : 0, kind));
}

/* What is known of a file is kept as id and open mode in one word. */
static int link_vma(struct cr *cr, struct task *task, struct vma *vma)
{
	uint64_t key = file_key(task, vma);
	uintptr_t known = (uintptr_t)hash_get(&cr->mem->file_ids, key);
	char name[64];
	uint32_t id = 0, mode = 0;
	int err;

	if (!known) {
		/* Names in map_files are of the kernel's mapping, not of ours where we put some
		 * together. */
		snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, vma->facts->start,
			 vma->facts->end);
		err = mem_open_mode(cr, task, name, &mode);
		if (!err)
			err = files_add_link(cr, task, name, 0, &id);
		if (err)
			return err;
		known = (uintptr_t)id << 2 | mode;
		hash_put(&cr->mem->file_ids, key, (void *)known);
	}
	vma->shmid = known >> 2;
	vma->fdflags = known & O_ACCMODE;
	return 0;
}

int mem_link_files(struct cr *cr)
{
	struct task *task;
	int err;

	tree_for_each_task (task, cr->tree) {
		struct mm *mm = task->mm;

		if (!mm)
			continue;
		mm->entry = xcalloc(1, sizeof(*mm->entry));
		mm_entry__init(mm->entry);
		err = files_add_link(cr, task, "exe", 0, &mm->entry->exe_file_id);
		if (err)
			return err;
		for (unsigned int i = 0; i < mm->n_vmas; i++) {
			struct vma *vma = &mm->vmas[i];

			if (vma->status & VMA_AREA_AIORING)
				vma->fdflags = O_RDWR;
			if (!vma_has_file(vma))
				continue;
			err = mem_claim_vma(cr, task, vma);
			if (!err)
				err = link_vma(cr, task, vma);
			if (err < 0)
				return err;
		}
	}
	return 0;
}
