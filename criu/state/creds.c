// SPDX-License-Identifier: GPL-2.0-only
/*
 * Credentials of a thread: the four uids and gids, supplementary groups, the five capability sets,
 * securebits, no_new_privs. To the kernel each thread has its own; libc keeps them equal. All ids
 * are as our user namespace has them, which is the task's own as well: trees with a user namespace
 * of their own are refused.
 */
#include "state/parts.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/prctl.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/creds.pb-c.h"
#include "state/args-builder.h"
#include "state/message.h"
#include "task/dump.h"
#include "task/restore.h"
#include "task/task.h"
#include "util/log.h"

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

static uint64_t cap_set(const uint32_t *words, size_t n)
{
	return (n > 0 ? words[0] : 0) | (n > 1 ? (uint64_t)words[1] << 32 : 0);
}

static uint64_t load_set(struct cr *cr, const struct thread *thread, const char *name,
			 const uint32_t *words, size_t n, uint64_t known)
{
	uint64_t set = cap_set(words, n);

	if (set & ~known && set != UINT64_MAX)
		log_warn(cr, "pid %d: %s capabilities %#" PRIx64 " are not known to this kernel",
			 thread->task->pid, name, set & ~known);
	return set & known;
}

static int check_caps(struct cr *cr, const struct thread *thread, const struct creds_args *c,
		      uint64_t bounding)
{
	const struct proc_status *own = &cr->restore->own;
	uint64_t lacking = (c->cap_permitted & ~own->cap_permitted) |
			   (bounding & ~own->cap_bounding) |
			   (c->cap_inheritable & ~(own->cap_inheritable | own->cap_permitted));

	if (c->cap_effective & ~c->cap_permitted)
		return log_refuse(cr, -EBADMSG,
				  "core-%d.img: field creds.cap_eff: has more than cap_prm",
				  thread->tid);
	if (c->cap_ambient & ~(c->cap_permitted & c->cap_inheritable))
		return log_refuse(
			cr, -EBADMSG,
			"core-%d.img: field creds.cap_amb: has more than cap_prm and cap_inh",
			thread->tid);
	if (!lacking)
		return 0;
	log_refuse(cr, -EPERM, "pid %d: had capabilities %#" PRIx64 ", which this tool cannot give",
		   thread->task->pid, lacking);
	log_remedy(cr, "restore with these capabilities in the permitted and bounding sets");
	return -EPERM;
}

static bool is_own(const struct cr *cr, const CredsEntry *e, const struct creds_args *c)
{
	const struct proc_status *own = &cr->restore->own;

	return e->uid == own->uid[0] && e->euid == own->uid[1] && e->suid == own->uid[2] &&
	       e->fsuid == own->uid[3] && e->gid == own->gid[0] && e->egid == own->gid[1] &&
	       e->sgid == own->gid[2] && e->fsgid == own->gid[3] &&
	       c->cap_inheritable == own->cap_inheritable &&
	       c->cap_permitted == own->cap_permitted && c->cap_effective == own->cap_effective &&
	       c->cap_ambient == own->cap_ambient && !c->cap_drop &&
	       e->secbits == cr->restore->own_securebits && e->n_groups == own->n_groups &&
	       (!e->n_groups ||
		memcmp(e->groups, own->groups, e->n_groups * sizeof(*e->groups)) == 0);
}

static int creds_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const CredsEntry *e = thread->core->thread_core->creds;
	struct thread_args *t = args_thread(args, (size_t)(thread - thread->task->threads));
	uint64_t known = cr->restore->known_caps, bounding;
	struct creds_args c = {0};
	int err;

	if (!e)
		return log_refuse(cr, -EBADMSG, "core-%d.img: field thread_core.creds: is missing",
				  thread->tid);
	if (cr->restore->own.no_new_privs && !e->no_new_privs)
		log_warn(cr, "pid %d: cannot lose no_new_privs, which this tool has",
			 thread->task->pid);
	t->no_new_privs = e->no_new_privs != 0;

	c.uid = e->uid, c.euid = e->euid, c.suid = e->suid, c.fsuid = e->fsuid;
	c.gid = e->gid, c.egid = e->egid, c.sgid = e->sgid, c.fsgid = e->fsgid;
	c.securebits = e->secbits;
	c.cap_own = cr->restore->own.cap_permitted;
	c.cap_inheritable = load_set(cr, thread, "inheritable", e->cap_inh, e->n_cap_inh, known);
	c.cap_permitted = load_set(cr, thread, "permitted", e->cap_prm, e->n_cap_prm, known);
	c.cap_effective = load_set(cr, thread, "effective", e->cap_eff, e->n_cap_eff, known);
	c.cap_ambient = load_set(cr, thread, "ambient", e->cap_amb, e->n_cap_amb, known);
	bounding = load_set(cr, thread, "bounding", e->cap_bnd, e->n_cap_bnd, known);
	c.cap_drop = cr->restore->own.cap_bounding & ~bounding;
	err = check_caps(cr, thread, &c, bounding);
	if (err)
		return err;
	c.is_set = !is_own(cr, e, &c);
	if (c.is_set)
		c.groups = args_put(args, e->groups, sizeof(*e->groups), e->n_groups);
	args_thread(args, (size_t)(thread - thread->task->threads))->creds = c;
	return 0;
}

const struct thread_part thread_part_creds = {
	.name = "creds",
	.dump = creds_dump,
	.load = creds_load,
};
