// SPDX-License-Identifier: GPL-2.0-only
/*
 * Credentials of a thread: the four uids and gids, supplementary groups, the five capability sets, securebits, no_new_privs. To the
 * kernel each thread has its own; libc keeps them equal. All ids are as our user namespace has them, which is the task's own as
 * well: trees with a user namespace of their own are refused.
 */
#include "state/parts.h"

#include "images/core.pb-c.h"
#include "images/creds.pb-c.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/task.h"

static uint32_t *cap_words(uint64_t set, size_t *ret_n)
{
	uint32_t *words = xcalloc(2, sizeof(*words));

	words[0] = (uint32_t)set;
	words[1] = (uint32_t)(set >> 32);
	*ret_n = 2;
	return words;
}

static int creds_dump(struct cr *cr, struct thread *thread)
{
	const struct proc_status *status = &thread->dump->status;
	ThreadCoreEntry *core = thread->core->thread_core;
	CredsEntry *entry;

	if (!core->creds)
		core->creds = message_new(&creds_entry__descriptor);
	entry = core->creds;
	entry->uid = status->uid[0];
	entry->euid = status->uid[1];
	entry->suid = status->uid[2];
	entry->fsuid = status->uid[3];
	entry->gid = status->gid[0];
	entry->egid = status->gid[1];
	entry->sgid = status->gid[2];
	entry->fsgid = status->gid[3];
	entry->cap_inh = cap_words(status->cap_inheritable, &entry->n_cap_inh);
	entry->cap_prm = cap_words(status->cap_permitted, &entry->n_cap_prm);
	entry->cap_eff = cap_words(status->cap_effective, &entry->n_cap_eff);
	entry->cap_bnd = cap_words(status->cap_bounding, &entry->n_cap_bnd);
	entry->cap_amb = cap_words(status->cap_ambient, &entry->n_cap_amb);
	entry->secbits = thread->dump->facts.securebits;
	entry->groups = xmemdup(status->groups, status->n_groups * sizeof(*status->groups));
	entry->n_groups = status->n_groups;
	entry->has_no_new_privs = status->no_new_privs;
	entry->no_new_privs = status->no_new_privs;
	return 0;
}

const struct thread_part thread_part_creds = {
	.name = "creds",
	.dump = creds_dump,
};
