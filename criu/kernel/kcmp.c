// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers for kernel objects that tasks may share. All objects of one key are in a binary tree,
 * ordered as kcmp(2) orders them. The kernel scrambles addresses before it compares, so objects
 * come in no order and the trees stay shallow without balancing. An object whose key nobody had
 * before needs no call at all: most files of a task have an inode of their own.
 */
#include "kernel/kcmp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/alloc.h"
#include "util/hash.h"

#define KCMP_EPOLL_TFD 7

/* linux/kcmp.h: struct kcmp_epoll_slot */
struct epoll_slot {
	uint32_t efd, tfd, toff;
};

struct node {
	struct node *less, *greater;
	struct node *next; /* all nodes, to release them */
	pid_t pid;         /* one that has it, under this index */
	unsigned int index;
	uint32_t id;
};

struct kcmp_ids {
	enum kcmp_kind kind;
	uint32_t next_id;
	uint64_t n_calls;
	struct node *nodes;
	struct hash roots; /* key to the root of its tree */
};

static int call(pid_t pid1, pid_t pid2, int type, unsigned long index1, unsigned long index2)
{
	long order = syscall(SYS_kcmp, pid1, pid2, type, index1, index2);

	return order < 0 ? -errno : (int)order;
}

int kcmp_compare(pid_t pid1, pid_t pid2, enum kcmp_kind kind, unsigned int index1,
		 unsigned int index2)
{
	return call(pid1, pid2, (int)kind, index1, index2);
}

int kcmp_epoll_target(pid_t pid1, int fd, pid_t pid2, int epfd, int target, uint32_t toff)
{
	struct epoll_slot slot = {.efd = (uint32_t)epfd, .tfd = (uint32_t)target, .toff = toff};

	return call(pid1, pid2, KCMP_EPOLL_TFD, (unsigned long)fd, (unsigned long)&slot);
}

struct kcmp_ids *kcmp_ids_new(enum kcmp_kind kind, uint32_t first)
{
	struct kcmp_ids *ids = xcalloc(1, sizeof(*ids));

	ids->kind = kind;
	ids->next_id = first;
	return ids;
}

void kcmp_ids_free(struct kcmp_ids *ids)
{
	if (!ids)
		return;
	while (ids->nodes) {
		struct node *node = ids->nodes;

		ids->nodes = node->next;
		free(node);
	}
	hash_release(&ids->roots);
	free(ids);
}

uint32_t kcmp_ids_take(struct kcmp_ids *ids)
{
	return ids->next_id++;
}

static struct node *add(struct kcmp_ids *ids, pid_t pid, unsigned int index)
{
	struct node *node = xcalloc(1, sizeof(*node));

	node->pid = pid;
	node->index = index;
	node->id = kcmp_ids_take(ids);
	node->next = ids->nodes;
	ids->nodes = node;
	return node;
}

/* Which way from node: 0 here, 1 its object is less than ours, 2 greater; "different without order"
 * cannot be searched for. */
static int checked(int order)
{
	return order > 2 ? -EOPNOTSUPP : order;
}

int kcmp_ids_get(struct kcmp_ids *ids, pid_t pid, unsigned int index, uint64_t key,
		 uint32_t *ret_id, bool *ret_is_new)
{
	struct node *root = hash_get(&ids->roots, key), **at = &root;

	while (*at) {
		struct node *node = *at;
		int order;

		ids->n_calls++;
		order = checked(kcmp_compare(node->pid, pid, ids->kind, node->index, index));
		if (order < 0)
			return order;
		if (order == 0)
			break;
		at = order == 1 ? &node->greater : &node->less;
	}
	if (ret_is_new)
		*ret_is_new = !*at;
	if (!*at) {
		*at = add(ids, pid, index);
		if (at == &root)
			hash_put(&ids->roots, key, root);
	}
	*ret_id = (*at)->id;
	return 0;
}

int kcmp_ids_find_epoll_target(struct kcmp_ids *ids, pid_t pid, int epfd, int tfd, uint32_t toff,
			       uint64_t key, uint32_t *ret_id)
{
	const struct node *node = hash_get(&ids->roots, key);
	uint32_t id = 0;

	while (node) {
		int order;

		ids->n_calls++;
		order = checked(
			kcmp_epoll_target(node->pid, (int)node->index, pid, epfd, tfd, toff));
		if (order < 0)
			return order;
		if (order == 0) {
			id = node->id;
			break;
		}
		node = order == 1 ? node->greater : node->less;
	}
	*ret_id = id;
	return 0;
}

uint64_t kcmp_ids_n_calls(const struct kcmp_ids *ids)
{
	return ids->n_calls;
}
