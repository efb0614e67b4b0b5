// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors of namespaces (/proc/PID/ns/x). Saved: the kind of namespace and its id in the
 * images. Those of a namespace that some task of the tree is in are opened again from such a task;
 * one that only the descriptor keeps alive is refused. Needs: nothing. Tests: test/cr/ns-files.c
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/bits.h"
#include "files/files-priv.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

#include "images/core.pb-c.h"
#include "images/fdinfo.pb-c.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct ns_type {
	const char *name; /* in /proc/PID/ns and before the ":[" of the link */
	uint32_t flag;
	size_t id; /* in task_kobj_ids_entry */
} ns_types[] = {
	{"net", CLONE_NEWNET, offsetof(TaskKobjIdsEntry, net_ns_id)},
	{"mnt", CLONE_NEWNS, offsetof(TaskKobjIdsEntry, mnt_ns_id)},
	{"pid", CLONE_NEWPID, offsetof(TaskKobjIdsEntry, pid_ns_id)},
	{"uts", CLONE_NEWUTS, offsetof(TaskKobjIdsEntry, uts_ns_id)},
	{"ipc", CLONE_NEWIPC, offsetof(TaskKobjIdsEntry, ipc_ns_id)},
	{"user", CLONE_NEWUSER, offsetof(TaskKobjIdsEntry, user_ns_id)},
	{"cgroup", CLONE_NEWCGROUP, offsetof(TaskKobjIdsEntry, cgroup_ns_id)},
	{"time", CLONE_NEWTIME, offsetof(TaskKobjIdsEntry, time_ns_id)},
};

struct ns_file {
	struct file file;
	const struct ns_type *type;
	uint32_t ns_id;
	pid_t pid; /* a task in the namespace, as the tree sees it */
};

static const struct ns_type *type_of_link(const char *link)
{
	for (size_t i = 0; i < ARRAY_SIZE(ns_types); i++) {
		const char *rest = str_after(link, ns_types[i].name);

		if (rest && str_starts_with(rest, ":["))
			return &ns_types[i];
	}
	return NULL;
}

static uint32_t id_of(const struct task *task, const struct ns_type *type)
{
	return *(const uint32_t *)((const char *)task->ids + type->id);
}

static bool nsfile_match(const struct fd_facts *f)
{
	return S_ISREG(f->st.st_mode) && type_of_link(f->link);
}

static int nsfile_collect(struct cr *cr, struct file *file)
{
	struct ns_file *ns = (struct ns_file *)file;
	const struct fd_facts *f = &file->facts;
	struct task *task;
	char path[32];
	struct stat st;

	ns->type = type_of_link(f->link);
	snprintf(path, sizeof(path), "ns/%s", ns->type->name);
	tree_for_each_task (task, cr->tree) {
		if (!task_is_alive(task) || fstatat(task_proc_fd(task), path, &st, 0) < 0 ||
		    st.st_ino != f->st.st_ino)
			continue;
		ns->ns_id = id_of(task, ns->type);
		return 0;
	}
	return log_refuse(cr, -ENOTSUP,
			  "pid %d: fd %d (%s): no task of the tree is in this namespace",
			  f->task->host_pid, f->fd, f->link);
}

static int nsfile_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	struct ns_file *ns = (struct ns_file *)file;
	NsFileEntry *e = entry->nsf = xmalloc(sizeof(*e));

	ns_file_entry__init(e);
	e->id = file->id;
	e->ns_id = ns->ns_id;
	e->ns_cflag = ns->type->flag;
	e->flags = file->flags;
	return 0;
}

static int nsfile_load(struct cr *cr, struct file *file)
{
	struct ns_file *ns = (struct ns_file *)file;
	const NsFileEntry *e = file->entry->nsf;
	struct task *task;

	if (!e)
		return file_refuse_entry(cr, file);
	for (size_t i = 0; i < ARRAY_SIZE(ns_types); i++)
		if (ns_types[i].flag == e->ns_cflag)
			ns->type = &ns_types[i];
	if (!ns->type)
		return log_refuse(cr, -EBADMSG,
				  "files.img: namespace %#x: %#x is no kind of namespace", file->id,
				  e->ns_cflag);
	file->flags = e->flags;
	tree_for_each_task (task, cr->tree) {
		if (!task_is_alive(task) || id_of(task, ns->type) != e->ns_id)
			continue;
		ns->pid = task->pid;
		return 0;
	}
	return log_refuse(cr, -EBADMSG, "files.img: namespace %#x: no task is in %s namespace %u",
			  file->id, ns->type->name, e->ns_id);
}

static int nsfile_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	struct ns_file *ns = (struct ns_file *)file;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", ns->pid, ns->type->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return log_err(cr, -errno, "%s: open the namespace", path);
	*ret_fd = fd;
	return 0;
}

const struct file_kind file_kind_nsfile = {
	.name = "namespace",
	.type = FD_TYPES__NS,
	.size = sizeof(struct ns_file),
	.match = nsfile_match,
	.collect = nsfile_collect,
	.dump = nsfile_dump,
	.load = nsfile_load,
	.restore = nsfile_restore,
};
