// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who forks whom. A session is inherited and can only be left for one of one's own, so a task is to
 * be forked by a process that is in its session then: by its parent, mostly, before or after that
 * made its own session. A task that was orphaned and adopted may be in a session that its parent
 * has never been in. It is forked by a helper in that session, below the leader or, where the
 * leader is gone, in a helper that leads it, and the helper exits: so it becomes the child of its
 * parent, which is made to adopt.
 *
 * A process group whose leader is gone gets a helper for a leader, until all members are in. What
 * was pinned down is the history that ends in the tree's state, not that which led there.
 */
#include <errno.h>
#include <stdlib.h>

#include "task/restore.h"
#include "util/alloc.h"
#include "util/hash.h"

#define ANY_SESSION 0

struct planner {
	const struct tree *tree;
	struct seeds *seeds;
	struct seed **of_task; /* by task->index */
	pid_t *need;           /* by task->index: the session that a leader must be born in */
	pid_t *born;           /* by task->index: the session that it is born in */
	struct hash helpers;   /* sid or pgid -> the helper that leads it */
	struct hash midwives;  /* sid -> the helper, below its leader, that forks orphans */
	pid_t outer_sid, outer_pgid;
	const struct task *odd;
};

static struct seed *seed_new(struct planner *p, struct task *task)
{
	struct seed *seed = xcalloc(1, sizeof(*seed));

	seed->task = task;
	list_init(&seed->children);
	list_init(&seed->sibling);
	list_add_tail(&p->seeds->all, &seed->all);
	seed->index = p->seeds->n++;
	return seed;
}

static struct seed *helper_new(struct planner *p, struct seed *forker, pid_t pid, pid_t sid,
			       pid_t pgid)
{
	struct seed *seed = seed_new(p, NULL);

	seed->pid = pid;
	seed->sid = sid;
	seed->pgid = pgid;
	seed->leads_session = pid && pid == sid;
	seed->leads_group = pid && pid == pgid;
	seed->forker = forker;
	list_add_tail(&forker->children, &seed->sibling);
	p->seeds->n_helpers++;
	return seed;
}

static struct seed *seed_of(const struct planner *p, const struct task *task)
{
	return p->of_task[task->index];
}

static int odd(struct planner *p, const struct task *task)
{
	p->odd = task;
	return -EINVAL;
}

/* The session that a task must be born in; a leader may not care. */
static pid_t wanted(const struct planner *p, const struct task *task)
{
	return seed_of(p, task)->leads_session ? p->need[task->index] : task->sid;
}

static void find_needs(struct planner *p)
{
	for (size_t i = p->tree->n_tasks; i-- > 0;) {
		struct task *task = p->tree->by_index[i], *child;

		if (!seed_of(p, task)->leads_session)
			continue;
		task_for_each_child (child, task) {
			pid_t want = wanted(p, child);

			if (want == ANY_SESSION || want == task->sid)
				continue;
			p->need[i] = want;
			break;
		}
	}
}

static bool is_below(const struct task *task, const struct task *above)
{
	for (; task; task = task->parent)
		if (task == above)
			return true;
	return false;
}

/* A helper in session sid, whose children the task's parent will adopt. */
static struct seed *find_midwife(struct planner *p, const struct task *task, pid_t sid)
{
	struct task *leader = tree_find(p->tree, sid);
	struct seed *midwife = hash_get(&p->midwives, (uint64_t)sid);

	if (midwife)
		return midwife;
	if (!leader) {
		midwife = helper_new(p, seed_of(p, task->parent), sid, sid, sid);
		hash_put(&p->helpers, (uint64_t)sid, midwife);
	} else if (leader->sid == sid && is_below(leader, task->parent) &&
		   !is_below(leader, task)) {
		midwife = helper_new(p, seed_of(p, leader), 0, sid, sid);
	} else {
		return NULL;
	}
	hash_put(&p->midwives, (uint64_t)sid, midwife);
	return midwife;
}

static int place_orphan(struct planner *p, const struct task *task, pid_t sid)
{
	struct seed *seed = seed_of(p, task), *midwife = find_midwife(p, task, sid);

	if (!midwife)
		return odd(p, task);
	seed->forker = midwife;
	seed->is_adopted = true;
	seed_of(p, task->parent)->adopts = true;
	p->born[task->index] = sid;
	list_add_tail(&midwife->children, &seed->sibling);
	return 0;
}

static int place(struct planner *p, const struct task *task)
{
	struct seed *seed = seed_of(p, task), *parent = seed_of(p, task->parent);
	pid_t want = wanted(p, task);
	pid_t before = p->born[task->parent->index];

	if (want != ANY_SESSION && want != parent->sid &&
	    !(parent->leads_session && want == before))
		return place_orphan(p, task, want);
	seed->forker = parent;
	seed->is_before_setsid = want != ANY_SESSION && want != parent->sid;
	p->born[task->index] = seed->is_before_setsid ? before : parent->sid;
	list_add_tail(&parent->children, &seed->sibling);
	return 0;
}

static int place_in_group(struct planner *p, const struct task *task)
{
	struct seed *seed = seed_of(p, task), *helper;
	const struct task *leader;

	if (seed->pgid == seed->pid) {
		seed->leads_group = true;
		return 0;
	}
	leader = tree_find(p->tree, seed->pgid);
	if (leader) {
		if (leader->sid != task->sid)
			return odd(p, task);
		seed_of(p, leader)->leads_group = true;
		return 0;
	}
	helper = hash_get(&p->helpers, (uint64_t)seed->pgid);
	if (!helper) {
		helper = helper_new(p, seed, seed->pgid, seed->sid, seed->pgid);
		hash_put(&p->helpers, (uint64_t)seed->pgid, helper);
	}
	return helper->sid == seed->sid ? 0 : odd(p, task);
}

/* Does the parent adopt it, and not somebody between? Does the chain of forkers end at the root? */
static int check_forkers(struct planner *p, const struct task *task)
{
	const struct seed *seed = seed_of(p, task), *at = seed->forker;
	size_t steps = 0;

	if (seed->is_adopted) {
		for (at = seed->forker->forker; at && !at->adopts; at = at->forker)
			if (++steps > p->seeds->n)
				return odd(p, task);
		if (at != seed_of(p, task->parent))
			return odd(p, task);
	}
	for (; at; at = at->forker)
		if (++steps > 2 * p->seeds->n)
			return odd(p, task);
	return 0;
}

static int plan(struct planner *p)
{
	struct task *task;
	int err = 0;

	tree_for_each_task (task, p->tree) {
		struct seed *seed = seed_new(p, task);

		p->of_task[task->index] = seed;
		seed->pid = task->pid;
		seed->sid = task->sid;
		seed->pgid = task->pgid;
		seed->leads_session = task->sid == task->pid;
	}
	find_needs(p);
	p->seeds->root = seed_of(p, p->tree->root);
	p->born[0] = p->outer_sid;
	if (!p->seeds->root->leads_session && p->tree->root->sid != p->outer_sid)
		return odd(p, p->tree->root);

	tree_for_each_task (task, p->tree) {
		if (task->parent)
			err = place(p, task);
		if (err < 0)
			return err;
	}
	tree_for_each_task (task, p->tree) {
		/* Born in it, and nobody of the tree leads it. */
		if (task->pgid == p->outer_pgid)
			continue;
		err = place_in_group(p, task);
		if (err < 0)
			return err;
	}
	tree_for_each_task (task, p->tree) {
		err = check_forkers(p, task);
		if (err < 0)
			return err;
	}
	return 0;
}

int seeds_plan(const struct tree *tree, pid_t outer_sid, pid_t outer_pgid, struct seeds **ret,
	       const struct task **ret_odd)
{
	struct planner p = {.tree = tree, .outer_sid = outer_sid, .outer_pgid = outer_pgid};
	int err;

	p.seeds = xcalloc(1, sizeof(*p.seeds));
	list_init(&p.seeds->all);
	p.of_task = xcalloc(tree->n_tasks, sizeof(struct seed *));
	p.need = xcalloc(tree->n_tasks, sizeof(pid_t));
	p.born = xcalloc(tree->n_tasks, sizeof(pid_t));
	err = plan(&p);
	free(p.of_task);
	free(p.need);
	free(p.born);
	hash_release(&p.helpers);
	hash_release(&p.midwives);
	if (err < 0) {
		*ret_odd = p.odd;
		seeds_free(p.seeds);
		return err;
	}
	*ret = p.seeds;
	return 0;
}

void seeds_free(struct seeds *seeds)
{
	struct seed *seed, *after;

	if (!seeds)
		return;
	list_for_each_entry_safe (seed, after, &seeds->all, all)
		free(seed);
	free(seeds);
}
