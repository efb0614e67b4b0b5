// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu restore. Everything that images, options and this machine can refuse is refused before
 * `fork`; from there to `detach` there are processes, none of which has run an instruction of its
 * own: whatever fails, they are killed and nothing is left. The stages that the processes pass at
 * the same time are steps here: each lets them into a stage and waits until all have reached its
 * end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "arch/cpuinfo.h"
#include "compel/base/bits.h"
#include "cr.h"
#include "engine/devices.h"
#include "engine/engine.h"
#include "engine/guardian.h"
#include "engine/hold.h"
#include "engine/plan.h"
#include "engine/restore-priv.h"
#include "engine/scripts.h"
#include "engine/stages.h"
#include "engine/stats.h"
#include "files/files.h"
#include "images/lib/image.h"
#include "mem/mem.h"
#include "options.h"
#include "plugin/plugin.h"
#include "task/restore.h"
#include "util/log.h"
#include "util/pool.h"

static int load_files(struct cr *cr)
{
	int err;

	mem_new(cr);
	err = mem_load_memfd(cr);
	return err ? err : files_load(cr);
}

static int load_memory_of(void *ctx, size_t index, size_t worker)
{
	struct cr *cr = ctx;
	struct task *task = cr->tree->by_index[index];

	return task_is_alive(task) ? mem_load(cr, task) : 0;
}

static int load_memory(struct cr *cr)
{
	return pool_run(cr->pool, cr->tree->n_tasks, load_memory_of, cr);
}

static int run_scripts(struct cr *cr, enum script_action action)
{
	const struct scripts scripts = {
		.paths = cr->opts->action_script.items,
		.n_paths = cr->opts->action_script.n,
		.image_dir = image_dir_fd(cr->images),
		.init_pid = action == SCRIPT_PRE_RESTORE ? 0 : cr->tree->root->host_pid,
	};

	return scripts_run(cr, &scripts, action, NULL);
}

static int pre_restore_scripts(struct cr *cr)
{
	return run_scripts(cr, SCRIPT_PRE_RESTORE);
}

/* ---- fork ---- */

static int prepare_fork(struct cr *cr)
{
	int err = area_map(cr);

	if (!err)
		err = files_prepare(cr);
	if (!err)
		err = plugins_prepare_fork(cr);
	/* Threads do not survive a fork, and locks that they hold would be held for ever. */
	pool_stop(cr->pool);
	return err;
}

/* Blocked in all that are forked; a task's own mask is the last thing that it gets. */
static int fork_root(struct cr *cr)
{
	struct sigaction standard = {.sa_handler = SIG_DFL}, old;
	sigset_t all, mask;
	int err = guardian_show(cr);

	if (err)
		return err;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &mask);
	sigaction(SIGCHLD, &standard, &old);
	if (root_is_orphan(cr))
		err = root_fork_orphan(cr);
	else
		err = seed_fork(cr, cr->restore->seeds->root);
	sigaction(SIGCHLD, &old, NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return err;
}

static int fork_stage(struct cr *cr)
{
	int err;

	/* Orphans of a tree that is killed half-way are ours to reap, but a root that is one. */
	prctl(PR_SET_CHILD_SUBREAPER, !root_is_orphan(cr), 0, 0, 0);
	stats_begin(cr->stats, STATS_FORKING_TIME);
	stage_begin(cr, STAGE_FORK, cr->restore->seeds->n);
	err = timens_enter(cr);
	if (!err)
		err = fork_root(cr);
	timens_leave(cr);
	if (!err)
		err = stage_wait(cr);
	stats_end(cr->stats, STATS_FORKING_TIME);
	return err;
}

static void kill_all(struct cr *cr)
{
	plugins_give_up(cr);
	stages_kill_all(cr);
	prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

static void stop_adopting(struct cr *cr)
{
	prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

/* ---- stages ---- */

static size_t count_live(const struct cr *cr)
{
	struct task *task;
	size_t n = 0;

	tree_for_each_task (task, cr->tree)
		n += task_is_alive(task);
	return n;
}

static int groups_stage(struct cr *cr)
{
	const struct seed *seed;
	size_t n = 0;

	seeds_for_each(seed, cr->restore->seeds) n += !seed_is_midwife(seed);
	stage_begin(cr, STAGE_GROUPS, n);
	return stage_wait(cr);
}

static int files_stage(struct cr *cr)
{
	stage_begin(cr, STAGE_FILES, count_live(cr));
	return stage_wait(cr);
}

static int memory_stage(struct cr *cr)
{
	stage_begin(cr, STAGE_MEMORY, cr->tree->n_threads);
	return stage_wait(cr);
}

static int finish_files(struct cr *cr)
{
	int err = files_finish(cr);

	return err ? err : mem_finish(cr);
}

static int creds_stage(struct cr *cr)
{
	stage_begin(cr, STAGE_CREDS, cr->tree->n_threads);
	return stage_wait(cr);
}

static int post_restore_scripts(struct cr *cr)
{
	return run_scripts(cr, SCRIPT_POST_RESTORE);
}

static int pre_resume_scripts(struct cr *cr)
{
	/* Failures of this one are only logged. */
	(void)run_scripts(cr, SCRIPT_PRE_RESUME);
	return 0;
}

static int post_resume_scripts(struct cr *cr)
{
	(void)run_scripts(cr, SCRIPT_POST_RESUME);
	return 0;
}

static int begin(struct cr *cr)
{
	int err;

	stats_begin(cr->stats, STATS_RESTORE_TIME);
	plan_raise_limits(cr);
	err = restore_check_options(cr);
	return err ? err : hold_prepare(cr);
}

static int detach(struct cr *cr)
{
	int err = 0;

	/*
	 * All threads are what they were. If we are killed from the commit on, the kernel lets go
	 * of those that we have not yet: a tree of which a part runs must not be undone. One that
	 * is to be stopped does not run before it has stopped.
	 */
	if (!cr->opts->leave_stopped) {
		err = release_outlive(cr);
		if (err)
			return err;
		guardian_commit(cr);
		plan_commit(cr);
		files_remove_links(cr);
	}
	err = release_detach(cr);
	if (!err && cr->opts->leave_stopped) {
		guardian_commit(cr);
		plan_commit(cr);
		files_remove_links(cr);
	}
	stats_end(cr->stats, STATS_RESTORE_TIME);
	return err;
}

static int conclude(struct cr *cr)
{
	(void)stats_write(cr, STATS_OF_RESTORE);
	return 0;
}

static const struct step restore_steps[] = {
	{.name = "options", .run = begin},
	{.name = "guardian", .run = guardian_start, .undo = guardian_undo, .done = guardian_commit},
	{.name = "inventory", .run = restore_load_inventory},
	{.name = "cpu", .run = cpuinfo_check},
	{.name = "tree", .run = restore_load_tree},
	/* Before anything can be missed that only a plugin restores. */
	{.name = "plugins", .run = devices_load_images, .undo = devices_unload},
	/* Mappings name files, so these come first; files name memfds, which are memory's. */
	{.name = "load-files", .run = load_files},
	{.name = "load-memory", .run = load_memory},
	{.name = "load-parts", .run = restore_load_parts},
	{.name = "begin-devices",
	 .run = devices_begin,
	 .undo = devices_fail,
	 .done = devices_conclude},
	{.name = "pre-restore-scripts", .run = pre_restore_scripts},
	{.name = "prepare-memory", .run = mem_prepare},
	{.name = "prepare-fork", .run = prepare_fork},
	{.name = "fork", .run = fork_stage, .undo = kill_all, .done = stop_adopting},
	{.name = "groups", .run = groups_stage},
	{.name = "barrier-forked", .run = devices_barrier_forked},
	{.name = "files", .run = files_stage},
	{.name = "barrier-files", .run = devices_barrier_files},
	{.name = "device-mappings", .run = devices_mappings},
	{.name = "memory", .run = memory_stage},
	{.name = "barrier-memory", .run = devices_barrier_memory},
	/* Not before: mappings are opened by names that are removed here. */
	{.name = "finish-files", .run = finish_files},
	/* Before filters are installed and credentials dropped: filters do not hold, and no death
	   goes unnoticed. */
	{.name = "trace", .run = release_seize},
	{.name = "creds", .run = creds_stage},
	{.name = "signals", .run = release_signals},
	{.name = "post-restore-scripts", .run = post_restore_scripts},
	{.name = "registers", .run = release_prepare},
	/* Timers that are descriptors: the later they run the better. */
	{.name = "resume-files", .run = files_resume},
	/* Part of success: nothing has run yet. */
	{.name = "resume-devices", .run = devices_resume_late},
	/* Signals still cancel it. */
	{.name = "hold", .run = hold_wait},
	{.name = "pre-resume-scripts", .run = pre_resume_scripts, .is_final = true},
	{.name = "detach", .run = detach, .is_final = true},
	{.name = "post-resume-scripts", .run = post_resume_scripts, .is_final = true},
	{.name = "conclude", .run = conclude, .is_final = true},
};

/* Within stages, in the tasks' processes. */
static const char *const restore_points[] = {"task-fork", "task-files", "task-name", "task-memory",
					     NULL};

static const struct plan restore_plan = {
	.name = "restore",
	.steps = restore_steps,
	.n_steps = ARRAY_SIZE(restore_steps),
	.points = restore_points,
};

static int print_tree(struct cr *cr)
{
	struct task *task;

	tree_for_each_task (task, cr->tree)
		printf("pid %d: parent %d, session %d, group %d, %zu threads%s\n", task->pid,
		       task->parent ? task->parent->pid : 0, task->sid, task->pgid, task->n_threads,
		       task->state == TASK_DEAD      ? ", zombie"
		       : task->state == TASK_STOPPED ? ", stopped"
						     : "");
	fflush(stdout);
	return 0;
}

static const struct step dry_steps[] = {
	{.name = "options", .run = begin},
	{.name = "inventory", .run = restore_load_inventory},
	{.name = "cpu", .run = cpuinfo_check},
	{.name = "tree", .run = restore_load_tree},
	{.name = "plugins",
	 .run = devices_load_images,
	 .undo = devices_unload,
	 .done = devices_unload},
	{.name = "load-files", .run = load_files},
	{.name = "load-memory", .run = load_memory},
	{.name = "load-parts", .run = restore_load_parts},
	{.name = "print", .run = print_tree},
	{.name = "print-devices", .run = devices_print},
};

static const struct plan dry_plan = {
	.name = "restore --dry-run",
	.steps = dry_steps,
	.n_steps = ARRAY_SIZE(dry_steps),
};

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

int engine_restore(struct cr *cr)
{
	int err = plan_run(cr, cr->opts->dry_run ? &dry_plan : &restore_plan);

	if (!err)
		block_signals();
	plugins_free(cr);
	files_free(cr);
	mem_free(cr);
	restore_free(cr);
	return err;
}
