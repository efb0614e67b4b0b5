// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dump: which open file descriptions does the tree have? Each task's descriptors are listed from
 * /proc by the workers (files_collect_task); then descriptors that share a description are found
 * with kcmp(2), each description gets an id and a kind, and the kind learns what it needs from the
 * live kernel. Files that are no descriptors (executables, directories, mappings) are added by
 * those who meet them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "files/ext.h"
#include "files/files-priv.h"
#include "kernel/fds.h"
#include "kernel/kcmp.h"
#include "mem/mem.h"
#include "plugin/legacy.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"

#include "images/core.pb-c.h"

int files_collect_task(struct cr *cr, struct task *task)
{
	struct fd_table *table = xcalloc(1, sizeof(*table));
	int dir = task_proc_fd(task);
	int err;

	task->fds = table;
	table->task = task;
	table->list = xcalloc(1, sizeof(*table->list));
	err = fds_read(dir, table->list);
	if (err)
		return log_err(cr, err, "pid %d: list its descriptors", task->host_pid);

	table->n_fds = table->list->n;
	table->facts = xcalloc(table->n_fds, sizeof(*table->facts));
	for (size_t i = 0; i < table->n_fds; i++) {
		const struct fd_link *link = &table->list->items[i];
		struct fd_facts *facts = &table->facts[i];

		facts->task = task;
		facts->fd = link->fd;
		facts->path_fd = -1;
		facts->link = link->link;
		facts->st = link->st;
		facts->info = xcalloc(1, sizeof(*facts->info));
		err = fdinfo_read(dir, link->fd, facts->info);
		if (err)
			return log_err(cr, err, "pid %d: fd %d: read its fdinfo", task->host_pid,
				       link->fd);
		facts->flags = facts->info->flags & ~O_CLOEXEC;
		facts->is_cloexec = facts->info->flags & O_CLOEXEC;
		facts->pos = facts->info->pos;
		facts->mnt_id = facts->info->mnt_id;
	}
	return 0;
}

/* What two descriptors of one description cannot differ in: saves most of the comparisons. */
static uint64_t facts_key(const struct fd_facts *facts)
{
	struct {
		uint64_t dev, ino, pos, flags, extra;
	} key = {
		.dev = facts->st.st_dev,
		.ino = facts->st.st_ino,
		.pos = (uint64_t)facts->pos,
		.flags = facts->flags,
		.extra = facts->info->has & FDINFO_EVENTFD_ID ? (uint64_t)facts->info->eventfd_id
							      : 0,
	};

	return hash_bytes(&key, sizeof(key));
}

int file_borrow_fd(struct cr *cr, const struct file *file, int *ret_fd)
{
	int fd = pidfd_fetch(task_pidfd(file->facts.task), file->facts.fd);

	if (fd < 0)
		return log_err(cr, fd, "pid %d: fd %d: get a duplicate", file->facts.task->host_pid,
			       file->facts.fd);
	*ret_fd = fd;
	return 0;
}

static int refuse_unknown(struct cr *cr, const struct fd_facts *facts)
{
	log_refuse(cr, -ENOTSUP, "pid %d: fd %d: no kind of file handles %s", facts->task->host_pid,
		   facts->fd, facts->link);
	if (S_ISCHR(facts->st.st_mode) || S_ISBLK(facts->st.st_mode))
		log_remedy(cr,
			   "close the device before the dump, or load the plugin that handles it");
	else
		log_remedy(cr, "close it before the dump");
	return -ENOTSUP;
}

static int new_description(struct cr *cr, const struct fd_facts *facts, uint32_t id,
			   struct file **ret)
{
	const struct file_kind *kind;
	struct plugin_class *class;
	struct file *file;
	int err;

	/* Plugins first: a device may look like a regular file. */
	err = ext_claim(cr, facts, &class);
	if (err)
		return err;
	kind = class ? &file_kind_ext : file_kind_match(facts);
	if (!kind && legacy_dumps_files(cr))
		kind = &file_kind_ext;
	if (!kind)
		return refuse_unknown(cr, facts);
	file = file_new(cr->files, kind, id);
	file->facts = *facts;
	file->flags = facts->flags;
	file->pos = (uint64_t)facts->pos;
	if (class)
		ext_own(cr, file, class);
	*ret = file;
	return 0;
}

static int collect_table(struct cr *cr, struct fd_table *table)
{
	struct files *files = cr->files;

	table->fds = xcalloc(table->n_fds, sizeof(*table->fds));
	for (size_t i = 0; i < table->n_fds; i++) {
		const struct fd_facts *facts = &table->facts[i];
		struct file_holder *holder = &table->fds[i];
		struct file *file;
		bool is_new;
		uint32_t id;
		int err;

		err = kcmp_ids_get(files->kcmp, table->task->host_pid, facts->fd, facts_key(facts),
				   &id, &is_new);
		if (err)
			return log_err(cr, err, "pid %d: fd %d: compare with other descriptors",
				       table->task->host_pid, facts->fd);
		if (is_new) {
			err = new_description(cr, facts, id, &file);
			if (err)
				return err;
		} else {
			file = file_find(cr, id);
		}
		holder->task = table->task;
		holder->fd = facts->fd;
		holder->is_cloexec = facts->is_cloexec;
		file_add_holder(file, holder);
	}
	return 0;
}

static int collect_file(struct cr *cr, struct file *file)
{
	_cleanup_close_ int fd = -1;
	int err;

	err = file_borrow_fd(cr, file, &fd);
	if (err)
		return err;
	err = fown_collect(cr, file, fd);
	if (err)
		return err;
	return file->kind->collect ? file->kind->collect(cr, file) : 0;
}

/* Tasks with one files_id share the table of the first. */
static void adopt_table(struct files *files, struct task *task)
{
	struct fd_table *known = hash_get(&files->tables_by_id, task->ids->files_id);

	if (known) {
		fd_table_free(task->fds);
		task->fds = known;
		return;
	}
	task->fds->id = task->ids->files_id;
	files->tables = array_grow(files->tables, &files->tables_capacity, files->n_tables + 1,
				   sizeof(*files->tables));
	files->tables[files->n_tables++] = task->fds;
	hash_put(&files->tables_by_id, task->fds->id, task->fds);
}

int files_collect(struct cr *cr)
{
	struct files *files = files_new();
	struct file *file, *last;
	struct task *task;
	int err;

	cr->files = files;
	irmap_warn_paths(cr);
	files->kcmp = kcmp_ids_new(KCMP_KIND_FILE, 1);
	tree_for_each_task (task, cr->tree)
		if (task_is_alive(task))
			adopt_table(files, task);
	for (size_t i = 0; i < files->n_tables; i++) {
		err = collect_table(cr, files->tables[i]);
		if (err)
			return err;
	}

	ext_tell_holders(cr);
	plugins_set_borrow(cr, ext_borrow);

	/* A kind may add files (the path of a fifo) behind the last; those have been collected by
	 * whoever added them. */
	if (list_is_empty(&files->all)) {
		external_warn_unmatched(cr);
		return 0;
	}
	last = list_last_entry(&files->all, struct file, all);
	list_for_each_entry (file, &files->all, all) {
		err = collect_file(cr, file);
		if (err)
			return err;
		if (file == last)
			break;
	}
	err = locks_collect(cr);
	if (err)
		return err;
	external_warn_unmatched(cr);
	log_info(cr, "files: %zu descriptions in %zu tables", files->n, files->n_tables);
	return 0;
}

int files_add_path_of(struct cr *cr, const struct file *file, uint32_t flags, uint64_t pos,
		      uint32_t *ret_id)
{
	struct reg_file *reg;
	int err;

	err = reg_add(cr, &file->facts, flags, pos, false, &reg);
	if (err)
		return err;
	*ret_id = reg->file.id;
	return 0;
}

/* A link below /proc/<pid>; the facts hold its text and descriptor. */
struct link {
	struct fd_facts facts;
	char *text;
	int fd;
};

static void link_close(struct link *link)
{
	free(link->text);
	if (link->fd >= 0)
		close(link->fd);
}

static int link_open(struct cr *cr, struct task *task, const char *name, uint32_t flags,
		     struct link *ret)
{
	struct fd_facts *facts = &ret->facts;
	int err = fd_read_link(task_proc_fd(task), name, &ret->text);

	if (err)
		return log_err(cr, err, "pid %d: read the link %s", task->host_pid, name);
	ret->fd = openat(task_proc_fd(task), name, O_PATH | O_CLOEXEC);
	if (ret->fd < 0) {
		err = log_err(cr, -errno, "pid %d: open %s (%s)", task->host_pid, name, ret->text);
		if (err == -EPERM)
			log_remedy(cr, "run as root, or with CAP_CHECKPOINT_RESTORE");
		return err;
	}
	*facts = (struct fd_facts){.task = task,
				   .fd = -1,
				   .path_fd = ret->fd,
				   .mnt_id = -1,
				   .flags = flags,
				   .link = ret->text};
	if (fstat(ret->fd, &facts->st) < 0)
		return log_err(cr, -errno, "pid %d: stat %s (%s)", task->host_pid, name, ret->text);
	return 0;
}

uint32_t files_mapped_mode(const struct stat *link)
{
	/* The link has the permissions that the file was opened with. */
	bool can_read = link->st_mode & S_IRUSR, can_write = link->st_mode & S_IWUSR;

	return can_read && can_write ? O_RDWR : can_write ? O_WRONLY : O_RDONLY;
}

/* Mapped private, zeros are memory like any other; what else is no regular file needs a plugin. */
static bool is_mappable(const struct stat *st)
{
	return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) ||
	       (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 5));
}

int files_add_link(struct cr *cr, struct task *task, const char *name, uint32_t flags,
		   uint32_t *ret_id)
{
	_cleanup_(link_close) struct link link = {.fd = -1};
	const struct fd_facts *facts = &link.facts;
	struct reg_file *reg;
	int err = link_open(cr, task, name, flags, &link);

	if (err)
		return err;
	if (mem_memfd_match(link.text, &facts->st))
		return memfd_add_mapping(cr, facts, ret_id);
	if (!is_mappable(&facts->st)) {
		log_refuse(cr, -ENOTSUP,
			   "%d: %s: mapping of %s, which is no regular file and no plugin handles",
			   task->host_pid, name, link.text);
		log_remedy(cr, "load the plugin that handles it");
		return -ENOTSUP;
	}
	/* As in images of CRIU 4.2, working and root directories are entries of each task's own. */
	err = reg_add(cr, facts, flags, 0, !S_ISDIR(facts->st.st_mode), &reg);
	if (err)
		return err;
	*ret_id = reg->file.id;
	return 0;
}

/* As CRIU 4.2 does it: opened, unless that would call into the driver. */
static int claim_by_legacy(struct cr *cr, struct task *task, const char *name,
			   const struct stat *st)
{
	_cleanup_close_ int fd = -1;
	int err;

	if (S_ISREG(st->st_mode) || !legacy_claims_vmas(cr))
		return 0;
	fd = openat(task_proc_fd(task), name,
		    (major(st->st_dev) ? O_PATH : O_RDONLY | O_NONBLOCK) | O_CLOEXEC);
	if (fd < 0)
		return log_err(cr, -errno, "%d: open %s for plugins", task->host_pid, name);
	err = legacy_claim_vma(cr, fd, st);
	return err == -ENOTSUP ? 0 : err < 0 ? err : 1;
}

int files_claim_link(struct cr *cr, struct task *task, const char *name, uint32_t flags,
		     struct plugin_class **ret_class, uint32_t *ret_id, struct stat *ret_st)
{
	_cleanup_(link_close) struct link link = {.fd = -1};
	const struct fd_facts *facts = &link.facts;
	struct reg_file *reg;
	int err = link_open(cr, task, name, flags, &link);

	if (err)
		return err;
	err = ext_claim(cr, facts, ret_class);
	if (!err && !*ret_class)
		err = claim_by_legacy(cr, task, name, &facts->st);
	else if (!err)
		err = 1;
	if (err <= 0)
		return err;
	err = reg_add_device(cr, facts, flags, &reg);
	if (err)
		return err;
	*ret_id = reg->file.id;
	*ret_st = facts->st;
	return 0;
}

uint32_t files_id_of_fd(struct cr *cr, const struct task *task, int fd)
{
	size_t low = 0, high = task->fds->n_fds;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct file_holder *holder = &task->fds->fds[middle];

		if (holder->fd == fd)
			return holder->file->id;
		if (holder->fd < fd)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}
