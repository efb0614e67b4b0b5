/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A doubly linked ring with a head. A node is embedded in its object; container_of() leads back. An
 * empty head and a node that is on no list both point to themselves.
 */
#ifndef COMPEL_BASE_LIST_H
#define COMPEL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#ifndef container_of
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#endif

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name)          \
	{                        \
		&(name), &(name) \
	}

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_between(struct list *node, struct list *prev, struct list *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

/* Adds node as the first of the list. */
static inline void list_add(struct list *head, struct list *node)
{
	list_insert_between(node, head, head->next);
}

/* Adds node as the last of the list. */
static inline void list_add_tail(struct list *head, struct list *node)
{
	list_insert_between(node, head->prev, head);
}

/* Takes node off its list; taking it off twice does no harm. */
static inline void list_del(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_entry(node, type, member)       container_of(node, type, member)
#define list_first_entry(head, type, member) list_entry((head)->next, type, member)
#define list_last_entry(head, type, member)  list_entry((head)->prev, type, member)

#define list_for_each_entry(pos, head, member)                                                 \
	for (pos = list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head); \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))

#define list_for_each_entry_reverse(pos, head, member)                                         \
	for (pos = list_entry((head)->prev, __typeof__(*pos), member); &pos->member != (head); \
	     pos = list_entry(pos->member.prev, __typeof__(*pos), member))

#define list_for_each_entry_safe(pos, after, head, member)                  \
	for (pos = list_entry((head)->next, __typeof__(*pos), member),      \
	    after = list_entry(pos->member.next, __typeof__(*pos), member); \
	     &pos->member != (head);                                        \
	     pos = after, after = list_entry(after->member.next, __typeof__(*pos), member))

#endif
