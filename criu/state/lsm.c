// SPDX-License-Identifier: GPL-2.0-only
/*
 * The label that a security module (AppArmor, SELinux) has given a thread, and with SELinux the one
 * its next sockets get. Which module the machine runs is written into the inventory; unconfined
 * threads have no label in the images.
 */
#include "state/lsm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cr.h"
#include "images/core.pb-c.h"
#include "images/creds.pb-c.h"
#include "state/message.h"
#include "state/parts.h"
#include "task/dump.h"
#include "task/task.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

Lsmtype lsm_kind(void)
{
	char text[8];

	if (fd_read_file_into(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", text,
			      sizeof(text)) > 0 &&
	    text[0] == 'Y')
		return LSMTYPE__APPARMOR;
	if (access("/sys/fs/selinux/status", F_OK) == 0)
		return LSMTYPE__SELINUX;
	return LSMTYPE__NO_LSM;
}

/* One attribute, as text without its end of line; NULL if there is none. */
static int read_label(const struct thread *thread, const char *name, char **ret_label)
{
	char text[4096];
	ssize_t n = fd_read_file_into(thread->dump->proc, name, text, sizeof(text));

	*ret_label = NULL;
	if (n == -EINVAL || n == -ENOENT || n == 0)
		return 0;
	if (n < 0)
		return (int)n;
	text[strcspn(text, "\n")] = '\0';
	*ret_label = xstrdup(text);
	return 0;
}

/* "profile (enforce)": the mode is the policy's matter; "unconfined" is no profile. */
static void strip_apparmor_mode(char **label)
{
	char *mode = *label ? strstr(*label, " (") : NULL;

	if (mode)
		*mode = '\0';
	if (*label && str_equal(*label, "unconfined")) {
		free(*label);
		*label = NULL;
	}
}

static bool is_unconfined_context(const char *label)
{
	return label && strstr(label, ":unconfined_t:");
}

static int lsm_collect(struct cr *cr, struct thread *thread)
{
	char *profile, *sockcreate = NULL;
	int err;

	if (cr->dump->lsm == LSMTYPE__NO_LSM)
		return 0;
	err = read_label(thread, "attr/current", &profile);
	if (err == 0 && cr->dump->lsm == LSMTYPE__SELINUX)
		err = read_label(thread, "attr/sockcreate", &sockcreate);
	if (err < 0)
		return log_err(cr, err, "pid %d: read the security label of thread %d",
			       thread->task->pid, thread->tid);
	if (cr->dump->lsm == LSMTYPE__APPARMOR)
		strip_apparmor_mode(&profile);
	if (is_unconfined_context(profile)) {
		free(profile);
		profile = NULL;
	}
	thread->dump->lsm_profile = profile;
	thread->dump->lsm_sockcreate = sockcreate;
	return 0;
}

static int lsm_dump(struct cr *cr, struct thread *thread)
{
	ThreadCoreEntry *core = thread->core->thread_core;

	if (!core->creds)
		core->creds = message_new(&creds_entry__descriptor);
	if (thread->dump->lsm_profile)
		core->creds->lsm_profile = xstrdup(thread->dump->lsm_profile);
	if (thread->dump->lsm_sockcreate)
		core->creds->lsm_sockcreate = xstrdup(thread->dump->lsm_sockcreate);
	return 0;
}

static int lsm_load(struct cr *cr, struct thread *thread, struct args_builder *args)
{
	const CredsEntry *creds = thread->core->thread_core->creds;

	if (!creds || (!creds->lsm_profile && !creds->lsm_sockcreate))
		return 0;
	return log_refuse(
		cr, -ENOTSUP,
		"pid %d: thread %d has the security label %s, which cannot be restored yet",
		thread->task->pid, thread->tid, creds->lsm_profile ?: creds->lsm_sockcreate);
}

const struct thread_part thread_part_lsm = {
	.name = "lsm",
	.collect = lsm_collect,
	.dump = lsm_dump,
	.load = lsm_load,
};
