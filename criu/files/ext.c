// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that plugins handle: what a contract class claims, ahead of all kinds below kinds.def, and
 * what no kind takes, if a plugin of the v0.2 interface wants it. Saved here: the id, the owner of
 * signals (ext_file_entry); everything else is the plugin's, with the owner in plugins. On
 * restore only that owner is asked. Needs: the plugin. Tests: test/test_plugins*.py
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "files/ext.h"
#include "files/files-priv.h"
#include "plugin/legacy.h"
#include "plugin/plugin.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

#include "images/fdinfo.pb-c.h"
#include "images/fown.pb-c.h"

/* ---- dump ---- */

static void fill_candidate(const struct fd_facts *facts, struct criu_candidate *ret, char *path,
			   size_t size)
{
	snprintf(path, size, "%s", facts->link);
	if (str_ends_with(path, " (deleted)"))
		path[strlen(path) - strlen(" (deleted)")] = 0;
	*ret = (struct criu_candidate){
		.size = sizeof(*ret),
		.is_mapping = facts->fd < 0,
		.host_pid = facts->task->host_pid,
		.fd = facts->fd,
		.path = path,
		.dev = facts->st.st_dev,
		.ino = facts->st.st_ino,
		.rdev = facts->st.st_rdev,
		.mode = facts->st.st_mode,
		.flags = facts->flags,
	};
}

int ext_claim(struct cr *cr, const struct fd_facts *facts, struct plugin_class **ret)
{
	struct criu_candidate candidate;
	char path[PATH_MAX + 16];

	*ret = NULL;
	/* O_PATH opens no device. */
	if (!plugins_are_active(cr) || facts->flags & O_PATH)
		return 0;
	fill_candidate(facts, &candidate, path, sizeof(path));
	return plugins_claim(cr, &candidate, ret);
}

void ext_own(struct cr *cr, struct file *file, struct plugin_class *class)
{
	struct ext_file *ext = (struct ext_file *)file;
	const struct fd_facts *f = &file->facts;
	struct criu_candidate candidate;
	char path[PATH_MAX + 16];
	struct device_facts facts;

	fill_candidate(f, &candidate, path, sizeof(path));
	facts = (struct device_facts){
		.id = file->id,
		.pid = f->task->pid,
		.fd = f->fd,
		.path = path,
		.flags = f->flags,
		.pos = (uint64_t)f->pos,
		.dev = f->st.st_dev,
		.ino = f->st.st_ino,
		.rdev = f->st.st_rdev,
		.mode = f->st.st_mode,
	};
	ext->device = plugins_add_file(cr, class, &facts);
}

struct plugin_class *ext_class(const struct file *file)
{
	const struct ext_file *ext = (const struct ext_file *)file;

	return file->kind == &file_kind_ext && ext->device ? device_file_class(ext->device) : NULL;
}

unsigned int ext_position(const struct file *file)
{
	return ext_class(file) ? device_file_position(((const struct ext_file *)file)->device) : 0;
}

/* Tasks that share a table hold all that is in it. */
void ext_tell_holders(struct cr *cr)
{
	struct task *task;

	if (!plugins_are_active(cr))
		return;
	tree_for_each_task (task, cr->tree) {
		for (size_t i = 0; task->fds && i < task->fds->n_fds; i++) {
			const struct file_holder *holder = &task->fds->fds[i];
			const struct ext_file *ext = (struct ext_file *)holder->file;

			if (holder->file->kind == &file_kind_ext && ext->device)
				device_file_add_holder(cr, ext->device, task->pid, holder->fd,
						       holder->is_cloexec);
		}
	}
}

/* Nobody's by facts: those that are a plugin's were claimed before the kinds were asked. */
static bool ext_match(const struct fd_facts *facts)
{
	return false;
}

static int dump_by_legacy(struct cr *cr, const struct file *file)
{
	_cleanup_close_ int fd = -1;
	int err = file_borrow_fd(cr, file, &fd);

	if (err)
		return err;
	err = legacy_dump_file(cr, fd, file->id);
	if (err != -ENOTSUP)
		return err;
	log_refuse(cr, err, "%d: fd %d: no kind of file and no plugin handles %s",
		   file->facts.task->host_pid, file->facts.fd, file->facts.link);
	log_remedy(cr, "close it before the dump, or load the plugin that handles it");
	return err;
}

static int ext_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	ExtFileEntry *e = entry->ext = xmalloc(sizeof(*e));

	ext_file_entry__init(e);
	e->id = file->id;
	e->fown = file->fown;
	return 0;
}

int files_dump_legacy(struct cr *cr)
{
	for (size_t t = 0; t < cr->files->n_tables; t++) {
		const struct fd_table *table = cr->files->tables[t];

		for (size_t i = 0; i < table->n_fds; i++) {
			const struct file *file = table->fds[i].file;
			int err;

			if (file->kind != &file_kind_ext || ext_class(file) ||
			    file->facts.task != table->task || file->facts.fd != table->fds[i].fd)
				continue;
			err = dump_by_legacy(cr, file);
			if (err)
				return err;
		}
	}
	return 0;
}

int ext_borrow(struct cr *cr, uint32_t id)
{
	const struct file *file = file_find(cr, id);
	int fd, err = file ? file_borrow_fd(cr, file, &fd) : -ENOENT;

	return err ? err : fd;
}

/* ---- restore ---- */

static int ext_load(struct cr *cr, struct file *file)
{
	struct ext_file *ext = (struct ext_file *)file;
	const ExtFileEntry *e = file->entry->ext;
	int err = 0;

	if (!e || e->id != file->id)
		return file_refuse_entry(cr, file);
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	ext->device = plugins_find_file(cr, file->id);
	if (!ext->device)
		ext->device = plugins_adopt_file(cr, file->id, &err);
	if (err)
		return err;
	if (ext->device)
		file->flags = device_file_flags(ext->device);
	if (ext->device || legacy_restores_files(cr))
		return 0;
	log_refuse(cr, -ENOENT, "files.img: entry %#x: no loaded plugin restores this file",
		   file->id);
	log_remedy(cr, "name the directory of the plugins of the dump with --libdir");
	return -ENOENT;
}

static int ext_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	struct ext_file *ext = (struct ext_file *)file;

	if (!ext->device)
		return legacy_restore_file(cr, file->id, ret_fd);
	return plugins_restore_file(cr, ext->device, ret_fd, &ext->wait);
}

bool ext_wait_is_over(struct cr *cr, const struct file *file)
{
	const struct ext_file *ext = (const struct ext_file *)file;

	return !ext_class(file) || plugins_wait_is_over(cr, ext_class(file), &ext->wait);
}

void ext_describe_wait(const struct file *file, char *ret, size_t size)
{
	const struct plugin_wait *wait = &((const struct ext_file *)file)->wait;

	if (!ext_class(file) || !*wait->what)
		snprintf(ret, size, "another try of file %#x", file->id);
	else
		snprintf(ret, size, "%s `%s' of plugin %s, for file %#x",
			 wait->is_class ? "class" : "key", wait->what,
			 plugin_name(plugin_class_owner(ext_class(file))), file->id);
}

const struct file_kind file_kind_ext = {
	.name = "ext",
	.type = FD_TYPES__EXT,
	.size = sizeof(struct ext_file),
	.match = ext_match,
	.dump = ext_dump,
	.load = ext_load,
	.restore = ext_restore,
};
