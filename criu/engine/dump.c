// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu dump. The tree stands still from `freeze` to `resume`, `go-on` or `kill`, so that all that
 * can be done before and after is done there: what is probed, opened and listed comes before, and
 * with --leave-running the small images, which are made of facts in memory, are written when the
 * tree runs again. Nothing in a task is changed but for the moment in which it is asked about
 * itself. Whatever fails, the undo backwards takes the parasite out, lets the tree go as it was
 * found and removes the images.
 */
#include <errno.h>
#include <signal.h>

#include "arch/cpuinfo.h"
#include "compel/base/bits.h"
#include "cr.h"
#include "engine/devices.h"
#include "engine/dump-tasks.h"
#include "engine/engine.h"
#include "engine/guardian.h"
#include "engine/inventory.h"
#include "engine/plan.h"
#include "engine/scripts.h"
#include "engine/stats.h"
#include "files/files.h"
#include "images/lib/image.h"
#include "kernel/features.h"
#include "mem/mem.h"
#include "options.h"
#include "plugin/legacy.h"
#include "plugin/plugin.h"
#include "run.h"
#include "state/lsm.h"
#include "task/dump.h"
#include "util/log.h"
#include "util/pool.h"

/* ---- before ---- */

static int no_job(void *ctx, size_t index, size_t worker)
{
	return 0;
}

/* What is asked for while the tree stands still is found out before, and workers are there. */
static int prepare(struct cr *cr)
{
	static const enum feature wanted[] = {
		FEATURE_MEMBARRIER_GET,   FEATURE_PAGEMAP_SCAN, FEATURE_PROCMAP_QUERY,
		FEATURE_GUARD_PAGES,      FEATURE_PIDFD_GETFD,  FEATURE_PKEYS,
		FEATURE_PIDFD_NAMESPACES,
	};
	int err;

	plan_raise_limits(cr);
	err = dump_start(cr);
	if (err < 0)
		return err;
	mem_new(cr);
	cr->dump->lsm = lsm_kind();
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		(void)feature_probe(cr->features, wanted[i]);
	return pool_run(cr->pool, 2 * pool_size(cr->pool), no_job, NULL);
}

static int start_images(struct cr *cr)
{
	int err = undo_add_images(cr, image_dir_fd(cr->images));

	return err < 0 ? err : 0;
}

/* Images of a tree that has been killed are all that is left of it. */
static void drop_images(struct cr *cr)
{
	if (!cr->dump || !cr->dump->is_killed)
		image_dir_abort(cr->images);
}

static int run_scripts(struct cr *cr, enum script_action action, int *ret_status)
{
	const struct scripts scripts = {
		.paths = cr->opts->action_script.items,
		.n_paths = cr->opts->action_script.n,
		.image_dir = image_dir_fd(cr->images),
		.init_pid = cr->opts->tree,
	};

	return scripts_run(cr, &scripts, action, ret_status);
}

static int pre_dump_scripts(struct cr *cr)
{
	return run_scripts(cr, SCRIPT_PRE_DUMP, NULL);
}

/* ---- the tree stands still ---- */

static void thaw(struct cr *cr)
{
	/* They are told while the tasks still stand. */
	legacy_exit(cr, -1);
	if (cr->dump && !cr->dump->goes_on)
		tree_thaw(cr, 0);
}

/* Scripts of the moment after the dump are promised a tree that stands still, and plugins that
 * nothing fails any more when they hear that it goes on. */
static bool resumes_early(const struct cr *cr)
{
	return cr->opts->leave_running && cr->opts->action_script.n == 0 && !plugins_take_part(cr);
}

static int resume_early(struct cr *cr)
{
	if (resumes_early(cr)) {
		tree_thaw(cr, 0);
		cr->dump->goes_on = true;
	}
	return 0;
}

/* ---- after ---- */

/* A script that fails does not undo what it was told of: the images are complete, and the tree goes
 * on. */
static int post_dump_scripts(struct cr *cr)
{
	int err = run_scripts(cr, SCRIPT_POST_DUMP, &cr->dump->script_status);

	if (err < 0 && cr->dump->script_status > 0)
		return 0;
	return err;
}

/* Locks are given up, and devices let go of, only when the kernel closes what the tree had open. */
static bool is_death_awaited(const struct cr *cr)
{
	return cr->opts->file_locks || plugins_take_part(cr);
}

/*
 * Killed now, the tree is killed as a whole, should we die meanwhile; and what the images need must
 * not go, as they are all that is left of it.
 */
static int kill_tree(struct cr *cr)
{
	int err;

	files_keep_links(cr);
	err = undo_add_kill_tree(cr, cr->tree->root->host_pid);
	if (err < 0)
		return err;
	err = tree_kill(cr, is_death_awaited(cr));
	cr->dump->is_killed = cr->dump->goes_on;
	return err;
}

static void let_go(struct cr *cr)
{
	bool is_stopped = cr->opts->leave_stopped && !cr->dump->script_status;

	tree_thaw(cr, is_stopped ? SIGSTOP : 0);
	cr->dump->goes_on = true;
}

static int decide(struct cr *cr)
{
	const bool is_kept = cr->dump->script_status || cr->opts->leave_running ||
			     cr->opts->leave_stopped;

	legacy_exit(cr, cr->dump->script_status ? -1 : 0);
	/* It may have been let go of early. */
	if (!cr->dump->goes_on && is_kept)
		let_go(cr);
	if (!cr->dump->goes_on) {
		int err = kill_tree(cr);

		if (err < 0)
			return err;
	}
	plan_commit(cr);
	return 0;
}

/* ---- the plans ---- */

static const struct step dump_steps[] = {
	/* First, while there are no threads yet that a fork would lose. */
	{.name = "guardian", .run = guardian_start, .undo = guardian_undo, .done = guardian_commit},
	{.name = "images", .run = start_images, .undo = drop_images},
	{.name = "prepare", .run = prepare},
	/* Refuses what cannot be dumped before a script is told that there will be a dump. */
	{.name = "list", .run = tree_list},
	{.name = "plugins", .run = devices_load},
	{.name = "probe", .run = devices_probe},
	{.name = "look", .run = devices_look},
	{.name = "pre-dump-scripts", .run = pre_dump_scripts},
	/* While every task runs: a device may need them all to become quiet. */
	{.name = "pause-devices", .run = devices_pause, .undo = devices_unpause},
	{.name = "freeze", .run = devices_freeze, .undo = thaw},
	{.name = "collect", .run = dump_collect},
	/* Tables of descriptors are told apart by their ids. */
	{.name = "ids", .run = kobj_ids_collect},
	{.name = "clocks", .run = dump_collect_clocks},
	{.name = "files-collect", .run = files_collect},
	{.name = "mapped-files", .run = mem_link_files},
	/* After all that can refuse the tree, so that it is not entered in vain; out of it before
	   its memory is read. */
	{.name = "parasite", .run = parasite_ask, .undo = parasite_cure},
	/* No device is read before all are quiet. */
	{.name = "pre-dump-devices", .run = devices_pre_dump, .undo = devices_abort_dump},
	{.name = "devices", .run = devices_dump_first},
	{.name = "memory", .run = mem_dump_pages},
	{.name = "devices-after-memory", .run = devices_dump_before_files},
	{.name = "files", .run = files_dump},
	{.name = "devices-after-files", .run = devices_dump_before_mappings},
	{.name = "mappings", .run = dump_write_mms},
	/* Files and pages may have found more of them. */
	{.name = "memfds", .run = mem_dump_memfd},
	{.name = "devices-after-mappings", .run = devices_dump_rest},
	{.name = "post-dump-devices", .run = devices_post_dump},
	/* Closing hooks may still have had something to keep. */
	{.name = "plugin-image", .run = devices_dump_image},
	/* From here on nothing looks at a task: what is still to be written is in memory. */
	{.name = "resume", .run = resume_early},
	{.name = "cores", .run = dump_write_cores},
	{.name = "tree", .run = dump_write_tree},
	{.name = "cpu", .run = cpuinfo_dump},
	/* Now it is a complete dump; the tree may be killed only after this. */
	{.name = "inventory", .run = inventory_dump},
	{.name = "post-dump-scripts", .run = post_dump_scripts},
	{.name = "go-on", .run = decide, .is_final = true},
	/* Now it is known what became of the tree. */
	{.name = "resume-devices", .run = devices_resume, .is_final = true},
};

/* Within steps, where the tool may be killed at a bad moment. */
static const char *const dump_points[] = {"task-tty", NULL};

static const struct plan dump_plan = {
	.name = "dump",
	.steps = dump_steps,
	.n_steps = ARRAY_SIZE(dump_steps),
	.points = dump_points,
	.check = tree_check_alive,
};

static const struct step dry_steps[] = {
	{.name = "guardian", .run = guardian_start, .undo = guardian_undo, .done = guardian_commit},
	{.name = "prepare", .run = prepare},
	{.name = "list", .run = tree_list},
	{.name = "plugins", .run = devices_load},
	{.name = "probe", .run = devices_probe},
	{.name = "look", .run = devices_look},
	{.name = "freeze", .run = tree_freeze, .undo = thaw, .done = thaw},
	{.name = "collect", .run = dump_collect},
	{.name = "ids", .run = kobj_ids_collect},
	{.name = "files-collect", .run = files_collect},
	{.name = "mapped-files", .run = mem_link_files},
	{.name = "print", .run = dump_print},
	{.name = "print-devices", .run = devices_print},
};

static const struct plan dry_plan = {
	.name = "dump --dry-run",
	.steps = dry_steps,
	.n_steps = ARRAY_SIZE(dry_steps),
	.check = tree_check_alive,
};

int engine_dump(struct cr *cr)
{
	int err;

	if (cr->opts->tree <= 0) {
		err = log_refuse(cr, -EINVAL, "--tree: is missing");
		log_remedy(cr, "say which process to dump: --tree PID");
		return err;
	}
	err = plan_run(cr, cr->opts->dry_run ? &dry_plan : &dump_plan);
	/* Whatever kept the last step from being run: devices do not stay paused. */
	(void)devices_resume(cr);
	if (err == 0 && !cr->opts->dry_run)
		(void)stats_write(cr, STATS_OF_DUMP);
	if (err == 0)
		err = cr->dump->script_status ? cr->dump->script_status : cr->dump->resume_error;
	plugins_free(cr);
	mem_free(cr);
	files_free(cr);
	dump_free(cr);
	return err;
}
