// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of devices, or of files that stand for them, which plugins own. Saved: the mapping, with
 * the status bit that says that a plugin handles it, and an entry for its path; contents of shared
 * ones are the plugin's. On restore the plugin says with which descriptor and offset it is made. A
 * mapping that restore could not make without a plugin is refused here if nobody claims it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "cr.h"
#include "files/files.h"
#include "mem/mem-priv.h"
#include "plugin/legacy.h"
#include "plugin/plugin.h"
#include "task/task.h"
#include "util/log.h"

int mem_open_mode(struct cr *cr, struct task *task, const char *name, uint32_t *ret)
{
	struct stat st;

	if (fstatat(task_proc_fd(task), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return log_err(cr, -errno, "pid %d: look at %s", task->host_pid, name);
	*ret = files_mapped_mode(&st);
	return 0;
}

static void own_vma(struct cr *cr, struct task *task, struct vma *vma, struct plugin_class *class,
		    const struct stat *st)
{
	const struct device_mapping_facts facts = {
		.pid = task->pid,
		.start = vma->start,
		.length = vma->end - vma->start,
		.offset = vma->pgoff,
		.prot = (int)vma->prot,
		.is_shared = vma->status & VMA_FILE_SHARED,
		.path = vma->facts->path,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.rdev = st->st_rdev,
		.mode = st->st_mode,
	};

	plugins_add_mapping(cr, class, &facts);
}

int mem_claim_vma(struct cr *cr, struct task *task, struct vma *vma)
{
	struct plugin_class *class = NULL;
	uint32_t id = 0, mode = 0;
	struct stat st;
	char name[64];
	int err = 0;

	if (plugins_are_active(cr) || legacy_claims_vmas(cr)) {
		snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, vma->facts->start,
			 vma->facts->end);
		err = mem_open_mode(cr, task, name, &mode);
		if (!err)
			err = files_claim_link(cr, task, name, mode, &class, &id, &st);
	}
	if (err < 0)
		return err;
	if (class)
		own_vma(cr, task, vma, class, &st);
	if (!id) {
		if (!vma->refusal)
			return 0;
		log_refuse(cr, -ENOTSUP, "pid %d: mapping %" PRIx64 "-%" PRIx64 " (%s): %s",
			   task->host_pid, vma->start, vma->end, vma->facts->path, vma->refusal);
		return -ENOTSUP;
	}
	vma->status |= VMA_EXT_PLUGIN;
	vma->shmid = id;
	vma->fdflags = mode;
	return 1;
}

int mem_update_vma(struct cr *cr, struct task *task, const struct vma *vma, int *ret_fd,
		   uint64_t *ret_pgoff)
{
	const char *path = files_path_of(cr, (uint32_t)vma->shmid);
	struct device_mapping *mapping = plugins_find_mapping(cr, task->pid, vma->start);

	*ret_pgoff = vma->pgoff;
	*ret_fd = -1;
	if (!mapping)
		return legacy_update_vma(cr, path, vma->start, ret_pgoff, ret_fd);
	return plugins_update_mapping(cr, mapping, ret_pgoff, ret_fd);
}
