// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers for what the kernel lets tasks share: memory, descriptor table, paths (root, working
 * directory), signal handlers, and the namespaces. Tasks with the same number have the same object.
 * The tool takes its numbers first; a task whose namespace has the number of the tool's is in no
 * namespace of its own.
 *
 * What a restore could not make again is refused: memory, paths or handlers shared between
 * processes, descriptors shared with anyone but the parent, and namespaces of the tree's own. A
 * time namespace is none of these: every tree that was restored has one.
 */
#include "task/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "kernel/features.h"
#include "kernel/kcmp.h"
#include "kernel/pidfd-ns.h"
#include "kernel/proc.h"
#include "task/dump-priv.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"

static const struct {
	const char *file;
	const char *name; /* for messages */
} namespaces[NS_INDEXES] = {
	[NS_PID] = {"ns/pid", "PID"},    [NS_NET] = {"ns/net", "network"},
	[NS_IPC] = {"ns/ipc", "IPC"},    [NS_UTS] = {"ns/uts", "UTS"},
	[NS_TIME] = {"ns/time", "time"}, [NS_MNT] = {"ns/mnt", "mount"},
	[NS_USER] = {"ns/user", "user"}, [NS_CGROUP] = {"ns/cgroup", "control group"},
};

/* New children would be in another one than the task itself. */
static const struct {
	enum ns_index index;
	const char *file;
} for_children[] = {
	{NS_PID, "ns/pid_for_children"},
	{NS_TIME, "ns/time_for_children"},
};

#define N_OF_THREADS 6

struct kobj_ids {
	struct kcmp_ids *vm, *files, *fs, *sighand;
	uint64_t own[NS_INDEXES]; /* inodes of the namespaces of this tool, 0: the kernel has no
				     such kind */
	int held[N_OF_THREADS];
};

/*
 * Those that unshare(2) and setns(2) give to one thread alone; a mount namespace comes with paths
 * of its own, and a process with other threads stays in its user namespace.
 */
static const struct {
	enum ns_index index;
	enum pidfd_ns kind;
	const char *file;
} of_threads[N_OF_THREADS] = {
	{NS_NET, PIDFD_NS_NET, "ns/net"},
	{NS_IPC, PIDFD_NS_IPC, "ns/ipc"},
	{NS_UTS, PIDFD_NS_UTS, "ns/uts"},
	{NS_CGROUP, PIDFD_NS_CGROUP, "ns/cgroup"},
	{NS_PID, PIDFD_NS_PID_FOR_CHILDREN, "ns/pid_for_children"},
	{NS_TIME, PIDFD_NS_TIME_FOR_CHILDREN, "ns/time_for_children"},
};

/* That these stay open makes it cheap to look which ones threads have. */
static void hold_own(struct kobj_ids *ids, int proc)
{
	for (size_t i = 0; i < N_OF_THREADS; i++)
		ids->held[i] = openat(proc, of_threads[i].file, O_RDONLY | O_CLOEXEC);
}

/*
 * A PID namespace without a process has no number and the file no target, which is also how it
 * looks for a task that has ended: that has none of the others either.
 */
static bool children_differ(int proc, const char *file, uint64_t own)
{
	uint64_t theirs;
	int err = proc_read_namespace(proc, file, &theirs);

	if (err == -ENOENT)
		return proc_read_namespace(proc, "ns/mnt", &theirs) == 0;
	return !err && theirs != own;
}

int namespaces_read(int proc, uint64_t ret[NS_INDEXES])
{
	uint64_t inode;

	for (size_t i = 0; i < NS_INDEXES; i++) {
		int err = proc_read_namespace(proc, namespaces[i].file, &inode);

		/* A kernel without this kind has no such file; one that is there and says so is of
		 * a task that ends. */
		if (err < 0 && (err != -ENOENT || i == NS_PID))
			return err;
		ret[i] = err < 0 ? 0 : inode;
	}
	/* Before its first child appears there, only this file tells of a namespace made by
	 * unshare(2). */
	for (size_t i = 0; i < ARRAY_SIZE(for_children); i++)
		if (ret[for_children[i].index] &&
		    children_differ(proc, for_children[i].file, ret[for_children[i].index]))
			ret[for_children[i].index] = UINT64_MAX;
	return 0;
}

/*
 * Ours are numbered one after the other, whatever the kernel has of them; others do not get this
 * far, but for one time namespace that the whole tree is in.
 */
static void number_namespaces(const struct kobj_ids *ids, TaskKobjIdsEntry *entry,
			      const uint64_t theirs[NS_INDEXES])
{
	uint32_t id = 0;

	entry->has_pid_ns_id = entry->has_net_ns_id = entry->has_ipc_ns_id = true;
	entry->has_uts_ns_id = entry->has_mnt_ns_id = entry->has_user_ns_id = true;
	entry->pid_ns_id = ++id;
	entry->net_ns_id = ++id;
	entry->ipc_ns_id = ++id;
	entry->uts_ns_id = ++id;
	entry->has_time_ns_id = ids->own[NS_TIME] != 0;
	entry->time_ns_id = entry->has_time_ns_id ? ++id : 0;
	entry->mnt_ns_id = ++id;
	entry->user_ns_id = ++id;
	entry->has_cgroup_ns_id = ids->own[NS_CGROUP] != 0;
	entry->cgroup_ns_id = entry->has_cgroup_ns_id ? ++id : 0;
	if (theirs[NS_TIME] != ids->own[NS_TIME])
		entry->time_ns_id = ++id;
}

/* Before anything is frozen: the tool's own numbers. */
int kobj_ids_start(struct cr *cr)
{
	struct kobj_ids *ids = xcalloc(1, sizeof(*ids));
	TaskKobjIdsEntry *entry = &cr->dump->root_ids;
	pid_t self = getpid();
	int proc, err;

	cr->dump->ids = ids;
	for (size_t i = 0; i < N_OF_THREADS; i++)
		ids->held[i] = -1;
	ids->vm = kcmp_ids_new(KCMP_KIND_VM, 1);
	ids->files = kcmp_ids_new(KCMP_KIND_FILES, 1);
	ids->fs = kcmp_ids_new(KCMP_KIND_FS, 1);
	ids->sighand = kcmp_ids_new(KCMP_KIND_SIGHAND, 1);
	task_kobj_ids_entry__init(entry);
	err = kcmp_ids_get(ids->vm, self, 0, 0, &entry->vm_id, NULL);
	if (err == 0)
		err = kcmp_ids_get(ids->files, self, 0, 0, &entry->files_id, NULL);
	if (err == 0)
		err = kcmp_ids_get(ids->fs, self, 0, 0, &entry->fs_id, NULL);
	if (err == 0)
		err = kcmp_ids_get(ids->sighand, self, 0, 0, &entry->sighand_id, NULL);
	if (err < 0)
		return log_err(cr, err, "pid %d: compare this tool with itself", self);
	proc = proc_open(self);
	if (proc < 0)
		return log_err(cr, proc, "pid %d: open our own folder in /proc", self);
	err = namespaces_read(proc, ids->own);
	hold_own(ids, proc);
	close(proc);
	if (err < 0)
		return log_err(cr, err, "pid %d: look at our own namespaces", self);
	number_namespaces(ids, entry, ids->own);
	return 0;
}

void kobj_ids_free(struct kobj_ids *ids)
{
	if (!ids)
		return;
	kcmp_ids_free(ids->vm);
	kcmp_ids_free(ids->files);
	kcmp_ids_free(ids->fs);
	kcmp_ids_free(ids->sighand);
	for (size_t i = 0; i < N_OF_THREADS; i++)
		close_at(&ids->held[i]);
	free(ids);
}

/* The whole tree is in one, and not only children yet to come are. */
static bool is_time_of_tree(const struct cr *cr, uint64_t theirs)
{
	const struct task *root = cr->tree ? cr->tree->root : NULL;

	return theirs != UINT64_MAX && (!root || theirs == root->dump->namespaces[NS_TIME]);
}

int namespaces_check(struct cr *cr, pid_t pid, const uint64_t theirs[NS_INDEXES])
{
	for (size_t i = 0; i < NS_INDEXES; i++) {
		int err;

		/* None at all has a task that is ending, or about to be replaced by another thread
		 * in execve(2). */
		if (theirs[i] == 0)
			continue;
		if (i == NS_TIME ? is_time_of_tree(cr, theirs[i])
				 : theirs[i] == cr->dump->ids->own[i])
			continue;
		err = log_refuse(cr, -EOPNOTSUPP, "pid %d: has a %s namespace of its own", pid,
				 namespaces[i].name);
		log_remedy(cr, "only trees in the namespaces of this tool can be dumped");
		return err;
	}
	return 0;
}

/* The leader's are for whoever looks at the process; and may be read at the same time as this. */
static bool is_of_process(const struct thread *thread, const char *file, uint64_t theirs)
{
	uint64_t inode;

	return proc_read_namespace(thread->task->dump->proc, file, &inode) == 0 && inode == theirs;
}

static int read_of_thread(const struct thread *thread, int pidfd, size_t i, uint64_t *ret)
{
	if (pidfd >= 0 && pidfd_namespace(pidfd, of_threads[i].kind, ret) == 0)
		return 0;
	return proc_read_namespace(thread->dump->proc, of_threads[i].file, ret);
}

int namespaces_check_thread(struct cr *cr, const struct thread *thread)
{
	_cleanup_close_ int pidfd = feature_has(cr->features, FEATURE_PIDFD_NAMESPACES)
					    ? pidfd_new_thread(thread->host_tid)
					    : -1;

	for (size_t i = 0; i < ARRAY_SIZE(of_threads); i++) {
		const char *file = of_threads[i].file;
		enum ns_index index = of_threads[i].index;
		uint64_t inode;
		int err;

		/* The kernel has no such kind. */
		if (cr->dump->ids->own[index] == 0)
			continue;
		err = read_of_thread(thread, pidfd, i, &inode);
		if (err < 0)
			return log_err(cr, err, "pid %d: look at %s of thread %d",
				       thread->task->pid, file, thread->tid);
		if (inode == cr->dump->ids->own[index] || is_of_process(thread, file, inode))
			continue;
		return log_refuse(cr, -EOPNOTSUPP,
				  "pid %d: thread %d has a %s namespace of its own",
				  thread->task->pid, thread->tid, namespaces[index].name);
	}
	return 0;
}

/* The process before task that has the same object; none: this tool itself. */
static pid_t find_sharer(struct cr *cr, const struct task *task, size_t field, uint32_t id)
{
	for (size_t i = 0; i < task->index; i++) {
		const struct task *other = cr->tree->by_index[i];

		if (other->ids && *(const uint32_t *)((const char *)other->ids + field) == id)
			return other->pid;
	}
	return getpid();
}

struct kobj {
	const char *name;
	size_t kcmp;  /* offset of the struct kcmp_ids in struct kobj_ids */
	size_t field; /* offset in the message */
	bool parent_may_share;
};

#define KOBJ(id, text, may_share)                                                         \
	{                                                                                 \
		text, offsetof(struct kobj_ids, id), offsetof(TaskKobjIdsEntry, id##_id), \
			may_share                                                         \
	}

static const struct kobj kobjs[] = {
	KOBJ(vm, "memory", false),
	KOBJ(files, "descriptor table", true),
	KOBJ(fs, "root and working directory", false),
	KOBJ(sighand, "signal handlers", false),
};

static int number_kobj(struct cr *cr, struct task *task, const struct kobj *kobj)
{
	struct kcmp_ids *ids = *(struct kcmp_ids **)((char *)cr->dump->ids + kobj->kcmp);
	uint32_t *id = (uint32_t *)((char *)task->ids + kobj->field);
	const struct task *parent = task->parent;
	bool is_new;
	int err = kcmp_ids_get(ids, task->host_pid, 0, 0, id, &is_new);

	if (err < 0)
		return log_err(cr, err, "pid %d: compare its %s", task->pid, kobj->name);
	if (is_new)
		return 0;
	if (kobj->parent_may_share && parent && parent->ids->files_id == *id)
		return 0;
	return log_refuse(cr, -EOPNOTSUPP, "pid %d: shares its %s with process %d", task->pid,
			  kobj->name, find_sharer(cr, task, kobj->field, *id));
}

static int number_task(struct cr *cr, struct task *task)
{
	TaskKobjIdsEntry *entry = xmalloc(sizeof(*entry));
	int err;

	task_kobj_ids_entry__init(entry);
	task->ids = entry;
	for (size_t i = 0; i < ARRAY_SIZE(kobjs); i++) {
		err = number_kobj(cr, task, &kobjs[i]);
		if (err < 0)
			return err;
	}
	err = namespaces_check(cr, task->pid, task->dump->namespaces);
	if (err == 0)
		number_namespaces(cr->dump->ids, entry, task->dump->namespaces);
	return err;
}

int kobj_ids_collect(struct cr *cr)
{
	struct task *task;
	int err;

	tree_for_each_task (task, cr->tree) {
		err = task_is_alive(task) ? number_task(cr, task) : 0;
		if (err < 0)
			return err;
	}
	return 0;
}
