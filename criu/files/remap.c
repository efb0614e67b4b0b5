// SPDX-License-Identifier: GPL-2.0-only
/*
 * Path files whose name does not lead to them any more, and how each is kept (remap-fpath.img):
 *
 *	GHOST   no name is left (st_nlink is 0): the contents are saved, see ghost.c
 *
 *	LINKED  another name is left: with --link-remap the file gets a temporary name beside the
 *	        old one, an entry of its own in files.img says which; restore opens it there and
 *	        takes the name away
 *
 *	PROCFS  a file in /proc of a task that is gone: restore makes a task of that pid for as
 *	        long as it takes to open the file
 *
 * With --evasive-devices a device keeps its name, or gets that of /dev/char or /dev/block, if this
 * leads to a device of the same number.
 *
 * Whatever else is at the old name now is never touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cr.h"
#include "run.h"
#include "options.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "kernel/kcmp.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/path.h"
#include "util/str.h"

#include "images/fown.pb-c.h"
#include "images/remap-file-path.pb-c.h"

/* "/proc/123/status (deleted)": 123. 0 if the name is not of that form. */
static pid_t pid_of_proc_name(const char *name)
{
	const char *rest = str_after(name, "/proc/");
	char *end;
	long pid;

	if (!rest || *rest < '1' || *rest > '9')
		return 0;
	pid = strtol(rest, &end, 10);
	return *end == '/' || *end == '\0' || *end == ' ' ? (pid_t)pid : 0;
}

static bool is_on_procfs(const struct fd_facts *f)
{
	_cleanup_close_ int fd = -1;
	struct statfs fs;

	if (f->fd < 0)
		return false;
	fd = pidfd_fetch(task_pidfd(f->task), f->fd);
	return fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* The nearest folder above name that is still there; name is cut to it. */
static void cut_to_existing_folder(char *name)
{
	struct stat st;
	char *slash;

	while ((slash = strrchr(name, '/')) != NULL) {
		*slash = '\0';
		if (slash == name || (stat(name, &st) == 0 && S_ISDIR(st.st_mode)))
			return;
	}
}

/* Gives the file a temporary name, and an entry that says so. */
static int link_remap(struct cr *cr, struct reg_file *reg)
{
	const struct fd_facts *f = &reg->file.facts;
	_cleanup_free_ char *folder = xstrdup(reg->name);
	_cleanup_free_ char *name = NULL;
	struct reg_file *linked;
	char source[64];
	uint32_t id;
	int undo_id;

	cut_to_existing_folder(folder);
	/* A name that is taken belongs to another dump, and must not get into the undo journal. */
	do {
		free(name);
		id = kcmp_ids_take(cr->files->kcmp);
		name = xasprintf("%s/link_remap.%u", folder, id);
	} while (faccessat(AT_FDCWD, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	snprintf(source, sizeof(source), "/proc/%d/fd/%d", f->task->host_pid, f->fd);
	undo_id = undo_add_remove(cr, AT_FDCWD, name);
	if (undo_id < 0)
		return undo_id;
	if (linkat(AT_FDCWD, source, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0) {
		int err = log_err(cr, -errno, "%s: link it as %s", f->link, name);

		undo_forget(cr, undo_id);
		return err;
	}

	linked = (struct reg_file *)file_new(cr->files, &file_kind_reg, id);
	linked->file.facts = *f;
	linked->file.facts.fd = -1;
	linked->file.facts.link = xstrdup(name);
	linked->file.facts.info = NULL;
	linked->file.fown = xmalloc(sizeof(*linked->file.fown));
	fown_entry__init(linked->file.fown);
	linked->name = TAKE_PTR(name);
	linked->undo_id = undo_id;
	reg->linked = linked;
	return 0;
}

void files_keep_links(struct cr *cr)
{
	struct file *file;

	list_for_each_entry (file, &cr->files->all, all)
		if (file->kind == &file_kind_reg)
			undo_forget(cr, ((struct reg_file *)file)->undo_id);
}

static bool leads_to_device(const struct stat *device, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_mode & S_IFMT) == (device->st_mode & S_IFMT) &&
	       st.st_rdev == device->st_rdev;
}

/* Another path to the same device; true if reg has one now. */
static bool evade(struct cr *cr, struct reg_file *reg)
{
	const struct stat *st = &reg->file.facts.st;
	char link[64], *path;

	if (!cr->opts->evasive_devices || !(S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)))
		return false;
	if (leads_to_device(st, reg->name))
		return true;
	snprintf(link, sizeof(link), "/dev/%s/%u:%u", S_ISCHR(st->st_mode) ? "char" : "block",
		 major(st->st_rdev), minor(st->st_rdev));
	path = realpath(link, NULL);
	if (!path || !leads_to_device(st, path)) {
		free(path);
		return false;
	}
	log_info(cr, "%s: the device is saved as %s", reg->name, path);
	free((char *)reg->name);
	reg->name = path;
	return true;
}

int remap_collect(struct cr *cr, struct reg_file *reg)
{
	const struct fd_facts *f = &reg->file.facts;
	char *name = (char *)reg->name;
	pid_t pid;

	path_strip_deleted(name);
	if (evade(cr, reg))
		return 0;
	pid = pid_of_proc_name(name);
	if (pid && is_on_procfs(f)) {
		reg->dead_pid = pid;
		return 0;
	}
	if (f->st.st_nlink == 0)
		return ghost_collect(cr, reg, &reg->ghost);
	if (cr->opts->link_remap && f->fd >= 0 && !S_ISDIR(f->st.st_mode))
		return link_remap(cr, reg);

	log_refuse(
		cr, -ENOTSUP,
		"pid %d: %s: does not lead to the open file any more, another link to it is left",
		f->task->host_pid, name);
	if (S_ISDIR(f->st.st_mode))
		log_remedy(cr, "something is mounted over it or it was replaced: undo that");
	else
		log_remedy(cr, "use --link-remap to give it a temporary name while it is dumped");
	return -ENOTSUP;
}

static int write_remap(struct cr *cr, struct image *img, uint32_t id, RemapType type,
		       uint32_t remap)
{
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;
	int err;

	e.orig_id = id;
	e.remap_id = remap;
	e.has_remap_type = true;
	e.remap_type = type;
	err = image_write(img, &e.base);
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

int remap_dump(struct cr *cr)
{
	struct hash dead = {};
	struct image *img;
	struct file *file;
	int err;

	err = files_image(cr, IMAGE_REMAP_FPATH, &img);
	if (err)
		return err;
	list_for_each_entry (file, &cr->files->all, all) {
		struct reg_file *reg = (struct reg_file *)file;

		if (file->kind != &file_kind_reg)
			continue;
		if (reg->ghost)
			err = write_remap(cr, img, file->id, REMAP_TYPE__GHOST,
					  ghost_id(reg->ghost));
		else if (reg->linked)
			err = write_remap(cr, img, file->id, REMAP_TYPE__LINKED,
					  reg->linked->file.id);
		else if (reg->dead_pid && !hash_put(&dead, reg->dead_pid, reg))
			err = write_remap(cr, img, file->id, REMAP_TYPE__PROCFS, reg->dead_pid);
		if (err)
			break;
	}
	hash_release(&dead);
	return err;
}

static struct reg_file *find_reg(struct cr *cr, uint32_t id)
{
	struct file *file = file_find(cr, id);

	return file && file->kind == &file_kind_reg ? (struct reg_file *)file : NULL;
}

/* All files below /proc of a dead task: only one of them has the entry. */
static void mark_dead(struct cr *cr, pid_t pid)
{
	struct file *file;

	list_for_each_entry (file, &cr->files->all, all)
		if (file->kind == &file_kind_reg &&
		    pid_of_proc_name(((struct reg_file *)file)->name) == pid)
			((struct reg_file *)file)->dead_pid = pid;
}

static int apply_remap(struct cr *cr, const RemapFilePathEntry *e)
{
	struct reg_file *reg = find_reg(cr, e->orig_id);
	int type = e->remap_type;
	uint32_t id = e->remap_id;

	/* Before there was a type, the highest bit told a ghost. */
	if (!e->has_remap_type) {
		type = id & 0x80000000 ? REMAP_TYPE__GHOST : REMAP_TYPE__LINKED;
		id &= 0x7fffffff;
	}
	if (!reg)
		return log_refuse(cr, -EBADMSG, "remap-fpath.img: file %#x is not in files.img",
				  e->orig_id);
	switch (type) {
	case REMAP_TYPE__GHOST:
		return ghost_load(cr, id, reg->name, &reg->ghost);
	case REMAP_TYPE__LINKED:
		reg->linked = find_reg(cr, id);
		if (!reg->linked)
			return log_refuse(cr, -EBADMSG,
					  "remap-fpath.img: file %#x: lies under the name of %#x, "
					  "which is not in files.img",
					  e->orig_id, id);
		return 0;
	case REMAP_TYPE__PROCFS:
		mark_dead(cr, id);
		return 0;
	default:
		return log_refuse(cr, -EBADMSG, "remap-fpath.img: file %#x: unknown type %d",
				  e->orig_id, type);
	}
}

int remap_load(struct cr *cr)
{
	_cleanup_image_ struct image *img = NULL;
	RemapFilePathEntry *e;
	int err;

	err = image_open(cr->images, IMAGE_REMAP_FPATH, 0, &img);
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	while ((err = image_read(img, &e)) > 0) {
		err = apply_remap(cr, e);
		image_message_free(e);
		if (err)
			return err;
	}
	return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

/* What the file lies under while tasks are restored, or NULL. */
static const char *temporary_name(const struct reg_file *reg)
{
	return reg->linked ? reg->linked->name : reg->ghost ? ghost_temporary(reg->ghost) : NULL;
}

int remap_guard_names(struct cr *cr)
{
	struct hash guarded = {};
	struct file *file;
	int err = 0;

	list_for_each_entry (file, &cr->files->all, all) {
		struct reg_file *reg = (struct reg_file *)file;
		const char *temporary = file->kind == &file_kind_reg ? temporary_name(reg) : NULL;
		struct stat st;

		/* A name that is taken will not be had. */
		if (!temporary || faccessat(AT_FDCWD, reg->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
		    lstat(temporary, &st) < 0 ||
		    hash_put(&guarded, hash_pair(hash_str(temporary), hash_str(reg->name)), reg))
			continue;
		reg->undo_id = undo_add_remove_link(cr, AT_FDCWD, reg->name, &st);
		err = reg->undo_id < 0 ? reg->undo_id : 0;
		if (err)
			break;
	}
	hash_release(&guarded);
	return err;
}

void remap_forget_names(struct cr *cr)
{
	struct file *file;

	list_for_each_entry (file, &cr->files->all, all) {
		struct reg_file *reg = (struct reg_file *)file;

		if (file->kind == &file_kind_reg && reg->undo_id > 0)
			undo_forget(cr, reg->undo_id);
	}
}

int remap_start_dead(struct cr *cr)
{
	struct hash started = {};
	struct file *file;
	int err = 0;

	list_for_each_entry (file, &cr->files->all, all) {
		struct reg_file *reg = (struct reg_file *)file;
		pid_t pid;

		if (file->kind != &file_kind_reg || !reg->dead_pid ||
		    hash_put(&started, reg->dead_pid, reg))
			continue;
		pid = files_start_helper(cr, reg->dead_pid);
		err = pid < 0 ? pid : 0;
		if (err)
			break;
	}
	hash_release(&started);
	return err;
}

void files_remove_links(struct cr *cr)
{
	struct file *file;

	list_for_each_entry (file, &cr->files->all, all) {
		struct reg_file *reg = (struct reg_file *)file;

		if (file->kind != &file_kind_reg || !reg->linked)
			continue;
		/* Several descriptions may lie under one name. */
		if (unlink(reg->linked->name) < 0 && errno != ENOENT)
			log_warn(cr, "%s: take the temporary name away: %s", reg->linked->name,
				 strerror(errno));
	}
}
