// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process tree as a structure: who is whose child, in the order of pstree.img (a parent before
 * its children, children in the kernel's order), and the ways to find a task in it. What a task is
 * made of hangs off it and belongs to the modules.
 */
#include "task/task.h"

#include <stdlib.h>

#include "compel/base/bits.h"
#include "util/alloc.h"
#include "util/hash.h"

struct tree *tree_new(void)
{
	struct tree *tree = xcalloc(1, sizeof(*tree));

	list_init(&tree->all);
	tree->by_pid = xcalloc(1, sizeof(*tree->by_pid));
	return tree;
}

static void task_free(struct task *task)
{
	free(task->threads);
	free(task);
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->n_tasks; i++)
		task_free(tree->by_index[i]);
	hash_release(tree->by_pid);
	free(tree->by_pid);
	free(tree->by_index);
	free(tree);
}

struct task *tree_add_task(struct tree *tree, struct task *parent, pid_t pid, size_t n_threads)
{
	struct task *task = xcalloc(1, sizeof(*task));

	task->parent = parent;
	task->pid = pid;
	task->state = TASK_ALIVE;
	list_init(&task->children);
	list_init(&task->sibling);
	list_init(&task->all);
	if (parent)
		list_add_tail(&parent->children, &task->sibling);
	else
		tree->root = task;

	task->threads = xcalloc(n_threads, sizeof(*task->threads));
	task->n_threads = n_threads;
	for (size_t i = 0; i < n_threads; i++)
		task->threads[i].task = task;

	/* Room doubles whenever it is used up: a power of two tasks are there then. */
	if (is_power_of_two(tree->n_tasks) || tree->n_tasks == 0)
		tree->by_index = xreallocarray(tree->by_index, MAX(tree->n_tasks * 2, (size_t)1),
					       sizeof(*tree->by_index));
	task->index = tree->n_tasks;
	tree->by_index[tree->n_tasks++] = task;
	list_add_tail(&tree->all, &task->all);
	hash_put(tree->by_pid, (uint64_t)pid, task);
	return task;
}

struct task *tree_find(const struct tree *tree, pid_t pid)
{
	return hash_get(tree->by_pid, (uint64_t)pid);
}

struct task *tree_find_host(const struct tree *tree, pid_t host_pid)
{
	struct task *task = tree_find(tree, host_pid);

	/* Where the tree has no pid namespace of its own the numbers are the same. */
	if (task && task->host_pid == host_pid)
		return task;
	tree_for_each_task (task, tree)
		if (task->host_pid == host_pid)
			return task;
	return NULL;
}
