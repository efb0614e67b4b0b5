// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore, before anything is forked: what was asked for, what the inventory says, whether this
 * machine can hold the tree, and what each part of the state wants from the restorer. All that can
 * be refused is refused here.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/registers.h"
#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/restore-priv.h"
#include "engine/stages.h"
#include "files/files.h"
#include "images/core.pb-c.h"
#include "images/inventory.pb-c.h"
#include "images/lib/image.h"
#include "images/seccomp.pb-c.h"
#include "images/timens.pb-c.h"
#include "kernel/features.h"
#include "mem/mem.h"
#include "options.h"
#include "state/args-builder.h"
#include "state/part.h"
#include "state/seccomp.h"
#include "task/restore.h"
#include "util/alloc.h"
#include "util/log.h"

/* ---- options, and what this tool is ---- */

static int read_own(struct cr *cr)
{
	_cleanup_close_ int dir = proc_open(getpid());
	int err = dir < 0 ? dir : proc_read_status(dir, &cr->restore->own), bits;

	if (err < 0)
		return log_err(cr, err, "restore: read our own credentials");
	bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	cr->restore->own_securebits = bits < 0 ? 0 : (uint32_t)bits;
	for (unsigned long cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		cr->restore->known_caps |= 1ull << cap;
	return 0;
}

int restore_check_options(struct cr *cr)
{
	cr->restore = xcalloc(1, sizeof(*cr->restore));
	cr->restore->own_timens = -1;
	cr->restore->tool = getpid();
	if (cr->opts->restore_sibling && !cr->opts->restore_detached)
		return log_refuse(cr, -EINVAL, "--restore-sibling: needs --restore-detached");
	if (cr->opts->exec_cmd && cr->opts->restore_detached)
		return log_refuse(cr, -EINVAL, "--exec-cmd: does not go with --restore-detached");
	return read_own(cr);
}

/* ---- inventory ---- */

static const char *inventory_fault(const struct cr *cr, const InventoryEntry *e)
{
	if (e->img_version != 1 && e->img_version != 2)
		return "field img_version: is none that can be restored (pre-dumps cannot be)";
	if (!e->has_fdinfo_per_id || !e->fdinfo_per_id)
		return "field fdinfo_per_id: images of an old release";
	if (!e->root_ids)
		return "field root_ids: is missing";
	if (e->has_tcp_close && e->tcp_close && !cr->opts->tcp_close)
		return "the tree was dumped with --tcp-close and is to be restored with it";
	if (e->has_allow_uprobes && e->allow_uprobes && !cr->opts->allow_uprobes)
		return "the tree was dumped with --allow-uprobes and is to be restored with it";
	return NULL;
}

int restore_load_inventory(struct cr *cr)
{
	InventoryEntry *e;
	const char *fault;
	int err = image_read_one(cr->images, IMAGE_INVENTORY, 0, &cr->restore->inventory);

	if (err < 0) {
		log_refuse(cr, err, "%s", image_last_error(cr->images));
		if (err == -ENOENT)
			log_remedy(cr, "the folder holds no complete dump: name that of a dump "
				       "with --images-dir");
		return err;
	}
	e = cr->restore->inventory;
	fault = inventory_fault(cr, e);
	if (fault)
		return log_refuse(cr, -ENOTSUP, "inventory.img: %s", fault);
	return 0;
}

/* ---- namespaces ---- */

struct ns_ids {
	const char *name;
	size_t has, id; /* offsets in TaskKobjIdsEntry */
};

#define NS_IDS(kind, text)                                            \
	{                                                             \
		text, offsetof(TaskKobjIdsEntry, has_##kind##_ns_id), \
			offsetof(TaskKobjIdsEntry, kind##_ns_id)      \
	}

static const struct ns_ids own_namespaces[] = {
	NS_IDS(pid, "pid"),   NS_IDS(net, "network"), NS_IDS(ipc, "IPC"),       NS_IDS(uts, "UTS"),
	NS_IDS(mnt, "mount"), NS_IDS(user, "user"),   NS_IDS(cgroup, "cgroup"),
};

static uint32_t ns_id(const TaskKobjIdsEntry *ids, const struct ns_ids *ns)
{
	bool has = *(const protobuf_c_boolean *)((const char *)ids + ns->has);

	return has ? *(const uint32_t *)((const char *)ids + ns->id) : 0;
}

/* The time namespace is one that every restored tree gets. */
static int check_namespaces(struct cr *cr)
{
	const TaskKobjIdsEntry *own = cr->restore->inventory->root_ids;
	struct task *task;

	tree_for_each_task (task, cr->tree) {
		for (size_t i = 0; task->ids && i < ARRAY_SIZE(own_namespaces); i++) {
			const struct ns_ids *ns = &own_namespaces[i];

			if (!ns_id(task->ids, ns) || ns_id(task->ids, ns) == ns_id(own, ns))
				continue;
			return log_refuse(cr, -ENOTSUP,
					  "pid %d: was in a %s namespace of its own, which cannot "
					  "be restored yet",
					  task->pid, ns->name);
		}
	}
	return 0;
}

/* ---- tree ---- */

static int plan_forks(struct cr *cr)
{
	const struct task *odd = NULL;
	const struct seed *seed;
	int err;

	err = tree_adopt_session(cr);
	if (err)
		return err;
	err = seeds_plan(cr->tree, getsid(0), getpgrp(), &cr->restore->seeds, &odd);
	if (err)
		return log_refuse(cr, err,
				  "pid %d: session %d and group %d, as a child of %d, cannot be "
				  "had by any order of forks",
				  odd->pid, odd->sid, odd->pgid,
				  odd->parent ? odd->parent->pid : 0);
	err = seeds_number_helpers(cr, cr->restore->seeds);
	if (err)
		return err;
	seeds_for_each(seed, cr->restore->seeds) if (!seed->task)
		log_debug(cr, "helper %d: session %d, group %d, forked by %d", seed->pid, seed->sid,
			  seed->pgid, seed->forker->pid);
	return stages_prepare(cr);
}

static void hang_state(struct cr *cr)
{
	struct seed *seed;

	seeds_for_each(seed, cr->restore->seeds)
	{
		struct task *task = seed->task;

		if (!task || !task_is_alive(task))
			continue;
		task->restore = xcalloc(1, sizeof(*task->restore));
		task->restore->seed = seed;
		task->restore->args = args_new(task->n_threads);
		task->restore->depth = task->parent ? task->parent->restore->depth + 1 : 0;
	}
}

int restore_load_tree(struct cr *cr)
{
	int err = tree_load(cr);

	if (!err)
		err = check_namespaces(cr);
	if (!err)
		err = pids_check(cr);
	if (!err)
		err = timens_load(cr);
	if (!err)
		err = plan_forks(cr);
	if (!err)
		hang_state(cr);
	return err;
}

/* ---- parts ---- */

static int load_parts(struct cr *cr, struct task *task)
{
	struct args_builder *args = task->restore->args;
	struct thread *thread;
	int err;

	for (const struct task_part *const *part = task_parts; *part; part++) {
		err = (*part)->load ? (*part)->load(cr, task, args) : 0;
		if (err < 0)
			return err;
	}
	task_for_each_thread (thread, task) {
		for (const struct thread_part *const *part = thread_parts; *part; part++) {
			err = (*part)->load ? (*part)->load(cr, thread, args) : 0;
			if (err < 0)
				return err;
		}
	}
	return 0;
}

int restore_load_parts(struct cr *cr)
{
	struct task *task;
	int err = seccomp_load_image(cr);

	if (!err)
		err = registers_prepare(cr);
	if (err)
		return err;
	tree_for_each_task (task, cr->tree) {
		err = task_is_alive(task) ? load_parts(cr, task) : 0;
		if (err < 0)
			return err;
		if (task->restore && args_task(task->restore->args)->posix_timers.n)
			cr->restore->has_timer_ids =
				feature_has(cr->features, FEATURE_TIMER_CR_IDS);
	}
	return 0;
}

void restore_free(struct cr *cr)
{
	struct task *task;

	if (!cr->restore)
		return;
	area_unmap(cr);
	stages_release(cr);
	registers_release(cr);
	if (cr->tree) {
		tree_for_each_task (task, cr->tree) {
			if (task->restore)
				args_free(task->restore->args);
			free(task->restore);
			task->restore = NULL;
		}
	}
	seeds_free(cr->restore->seeds);
	proc_status_release(&cr->restore->own);
	image_message_free(cr->restore->inventory);
	image_message_free(cr->restore->seccomp);
	image_message_free(cr->restore->clocks);
	free(cr->restore);
	cr->restore = NULL;
}
