// SPDX-License-Identifier: GPL-2.0-only
/*
 * The plan of forks: histories of forks, sessions, groups and exits are made up at random; for the
 * tree that such a history leaves, the plan is played by the kernel's rules, and must lead to the
 * same tree.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compel/base/bits.h"
#include "task/restore.h"

#define OUTER_SID  7
#define OUTER_PGID 8
#define ROOT_PID   100

/* ---- a made up history ---- */

struct process {
	pid_t pid, sid, pgid;
	int parent; /* index, -1: root */
	bool is_alive, is_subreaper;
};

struct world {
	struct process p[256];
	int n;
	uint32_t seed;
};

static uint32_t dice(struct world *w, uint32_t sides)
{
	w->seed = w->seed * 1664525u + 1013904223u;
	return (w->seed >> 8) % sides;
}

static int any_alive(struct world *w)
{
	int i;

	do
		i = (int)dice(w, (uint32_t)w->n);
	while (!w->p[i].is_alive);
	return i;
}

static void do_fork(struct world *w, int i)
{
	struct process *child = &w->p[w->n];

	if (w->n == (int)ARRAY_SIZE(w->p))
		return;
	*child = w->p[i];
	child->parent = i;
	child->pid = ROOT_PID + w->n;
	child->is_subreaper = false;
	w->n++;
}

static void do_exit(struct world *w, int i)
{
	int heir;

	if (i == 0)
		return;
	w->p[i].is_alive = false;
	for (heir = w->p[i].parent; heir && !w->p[heir].is_subreaper; heir = w->p[heir].parent)
		;
	for (int c = 0; c < w->n; c++)
		if (w->p[c].is_alive && w->p[c].parent == i)
			w->p[c].parent = heir;
}

static void do_group(struct world *w, int i)
{
	int other = any_alive(w);

	if (w->p[i].sid == w->p[i].pid)
		return;
	if (dice(w, 2))
		w->p[i].pgid = w->p[i].pid;
	else if (w->p[other].sid == w->p[i].sid)
		w->p[i].pgid = w->p[other].pgid;
}

/* Not where a group has that number, even one that its leader has left. */
static void do_setsid(struct world *w, int i)
{
	for (int other = 0; other < w->n; other++)
		if (w->p[other].is_alive && w->p[other].pgid == w->p[i].pid)
			return;
	w->p[i].sid = w->p[i].pgid = w->p[i].pid;
}

static void live(struct world *w, uint32_t seed, int steps, bool has_subreapers)
{
	*w = (struct world){.n = 1, .seed = seed};
	w->p[0] = (struct process){.pid = ROOT_PID,
				   .sid = ROOT_PID,
				   .pgid = ROOT_PID,
				   .parent = -1,
				   .is_alive = true,
				   .is_subreaper = true};
	while (steps--) {
		int i = any_alive(w);

		switch (dice(w, 8)) {
		case 0:
		case 1:
		case 2:
			do_fork(w, i);
			break;
		case 3:
			do_setsid(w, i);
			break;
		case 4:
		case 5:
			do_exit(w, i);
			break;
		case 6:
			do_group(w, i);
			break;
		default:
			if (has_subreapers)
				w->p[i].is_subreaper = true;
		}
	}
}

static struct task *add(struct tree *tree, struct world *w, int i, struct task *parent)
{
	struct task *task = tree_add_task(tree, parent, w->p[i].pid, 1);

	task->sid = w->p[i].sid;
	task->pgid = w->p[i].pgid;
	task->threads[0].tid = task->pid;
	for (int c = 0; c < w->n; c++)
		if (w->p[c].is_alive && w->p[c].parent == i)
			add(tree, w, c, task);
	return task;
}

/* ---- the plan, played ---- */

struct play {
	const struct seeds *seeds;
	size_t n_forked;
};

static void play(struct play *p, const struct seed *seed, pid_t born_sid)
{
	const struct seed *child;
	pid_t sid = born_sid;

	p->n_forked++;
	seed_for_each_child(child, seed) if (child->is_before_setsid) play(p, child, sid);
	if (seed->leads_session)
		sid = seed->pid;
	assert_int_equal(sid, seed->sid);
	seed_for_each_child(child, seed)
	{
		assert_ptr_equal(child->forker, seed);
		if (!child->is_before_setsid)
			play(p, child, sid);
	}
}

static void check_parent(const struct seed *seed)
{
	const struct seed *at = seed->forker;

	if (!seed->task || !seed->task->parent)
		return;
	if (seed->is_adopted) {
		assert_true(seed_is_midwife(seed->forker));
		/* The helper exits: who is the next above that adopts? */
		for (at = at->forker; at && !at->adopts; at = at->forker)
			;
	}
	assert_non_null(at);
	assert_ptr_equal(at->task, seed->task->parent);
}

static void check_group(const struct seeds *seeds, const struct seed *seed)
{
	const struct seed *leader;

	if (!seed->task || seed->pgid == OUTER_PGID)
		return;
	seeds_for_each(leader, seeds)
	{
		if (leader->pid != seed->pgid)
			continue;
		assert_int_equal(leader->sid, seed->sid);
		assert_true(leader->leads_group || leader->leads_session);
		return;
	}
	fail_msg("nobody leads group %d", seed->pgid);
}

static void check(const struct seeds *seeds)
{
	struct play p = {.seeds = seeds};
	const struct seed *seed;

	play(&p, seeds->root, OUTER_SID);
	assert_int_equal(p.n_forked, seeds->n);
	seeds_for_each(seed, seeds)
	{
		check_parent(seed);
		check_group(seeds, seed);
	}
}

static void run_histories(bool has_subreapers, unsigned int *ret_refused)
{
	for (uint32_t i = 0; i < 3000; i++) {
		struct tree *tree = tree_new();
		const struct task *odd = NULL;
		struct seeds *seeds;
		struct world w;
		int err;

		live(&w, i * 7919u, 20 + (int)(i % 150), has_subreapers);
		add(tree, &w, 0, NULL);
		err = seeds_plan(tree, OUTER_SID, OUTER_PGID, &seeds, &odd);
		if (!err) {
			check(seeds);
			seeds_free(seeds);
		} else {
			assert_int_equal(err, -EINVAL);
			assert_non_null(odd);
			++*ret_refused;
		}
		tree_free(tree);
	}
}

static void test_histories(void **state)
{
	unsigned int refused = 0;

	run_histories(false, &refused);
	assert_int_equal(refused, 0);
}

/* With subreapers within the tree there are trees that cannot be had; whatever is planned must be
 * right. */
static void test_subreapers(void **state)
{
	unsigned int refused = 0;

	run_histories(true, &refused);
	print_message("refused: %u of 3000\n", refused);
	assert_true(refused < 300);
}

/* ---- single cases ---- */

static struct task *make(struct tree *tree, struct task *parent, pid_t pid, pid_t sid, pid_t pgid)
{
	struct task *task = tree_add_task(tree, parent, pid, 1);

	task->sid = sid;
	task->pgid = pgid;
	return task;
}

static void test_shell_job(void **state)
{
	struct tree *tree = tree_new();
	struct task *root = make(tree, NULL, 100, OUTER_SID, OUTER_PGID);
	const struct task *odd;
	struct seeds *seeds;

	make(tree, root, 101, OUTER_SID, 101);
	make(tree, root, 102, 102, 102);
	assert_int_equal(seeds_plan(tree, OUTER_SID, OUTER_PGID, &seeds, &odd), 0);
	assert_int_equal(seeds->n_helpers, 0);
	check(seeds);
	seeds_free(seeds);
	tree_free(tree);
}

static void test_refused(void **state)
{
	struct tree *tree = tree_new();
	struct task *root = make(tree, NULL, 100, 100, 100);
	struct task *child = make(tree, root, 101, 101, 101);
	const struct task *odd = NULL;
	struct seeds *seeds;

	/* In the session of its own child. */
	child = make(tree, root, 102, 103, 102);
	make(tree, child, 103, 103, 103);
	assert_int_equal(seeds_plan(tree, OUTER_SID, OUTER_PGID, &seeds, &odd), -EINVAL);
	assert_ptr_equal(odd, child);
	tree_free(tree);

	/* In a group of another session. */
	tree = tree_new();
	root = make(tree, NULL, 100, 100, 100);
	make(tree, root, 101, 101, 101);
	child = make(tree, root, 102, 100, 101);
	assert_int_equal(seeds_plan(tree, OUTER_SID, OUTER_PGID, &seeds, &odd), -EINVAL);
	assert_ptr_equal(odd, child);
	tree_free(tree);

	/* A root that leads no session, and is not in ours. */
	tree = tree_new();
	root = make(tree, NULL, 100, 99, 100);
	assert_int_equal(seeds_plan(tree, OUTER_SID, OUTER_PGID, &seeds, &odd), -EINVAL);
	assert_ptr_equal(odd, root);
	tree_free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histories),
		cmocka_unit_test(test_subreapers),
		cmocka_unit_test(test_shell_job),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
