// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that are opened by a path: regular files, directories, symbolic links and anything else
 * opened with O_PATH, the kernel's memory devices (/dev/null, zero, full, random, urandom, kmsg),
 * files of /proc; and what is no descriptor but has a path: executables, mapped files, working
 * directories and roots. Saved: path, flags, position, and to recognise the same file again size,
 * mode and build-id. Contents are not saved, unless the file has no name any more (ghost.c,
 * remap.c). Needs: the path. Tests: test/cr/reg-*.c
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cr.h"
#include "options.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "kernel/kcmp.h"
#include "plugin/plugin.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/path.h"
#include "util/str.h"

#include "images/fdinfo.pb-c.h"
#include "images/fown.pb-c.h"
#include "images/regfile.pb-c.h"

#define MEM_MAJOR    1
#define KMSG_MINOR   11
#define MISC_MAJOR   10
#define AUTOFS_MINOR 235
/* Written for /dev/kmsg: do not seek. */
#define POS_NO_SEEK UINT64_MAX

static bool is_supported_device(const struct stat *st)
{
	return major(st->st_rdev) == MEM_MAJOR ||
	       (major(st->st_rdev) == MISC_MAJOR && minor(st->st_rdev) == AUTOFS_MINOR);
}

static bool reg_match(const struct fd_facts *f)
{
	if (f->link[0] != '/')
		return false;
	if (f->flags & O_PATH)
		return true;
	switch (f->st.st_mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
		return true;
	case S_IFCHR:
		return is_supported_device(&f->st);
	default:
		return false;
	}
}

/* Who a message is about: "123: fd 4" or "123: mapped or executed file". */
static const char *describe(const struct reg_file *reg, char *buf, size_t size)
{
	const struct fd_facts *f = &reg->file.facts;

	if (f->fd >= 0)
		snprintf(buf, size, "pid %d: fd %d (%s)", f->task->host_pid, f->fd, f->link);
	else
		snprintf(buf, size, "pid %d: file %s", f->task->host_pid, f->link);
	return buf;
}

/* --external file[MNT:INO] */
static bool is_external(struct cr *cr, const struct fd_facts *f)
{
	char id[64];

	snprintf(id, sizeof(id), "%x:%" PRIx64, f->mnt_id, (uint64_t)f->st.st_ino);
	return external_match(cr, "file", id);
}

/*
 * Keeps the build-id of the file behind fd, which may be -1: without permission to read there is
 * nothing to compare with. Files with a descriptor are read through a duplicate of it, because
 * opening them anew breaks leases; nobody has a lease on what is executed or mapped.
 */
static void keep_build_id(struct cr *cr, struct reg_file *reg, int fd)
{
	int n;

	if (fd < 0)
		return;
	n = build_id_read(fd, &reg->build_id);
	reg->n_build_id = n > 0 ? n : 0;
}

static bool wants_build_id(struct cr *cr, const struct fd_facts *f)
{
	return cr->opts->file_validation == FILE_VALIDATION_BUILDID && S_ISREG(f->st.st_mode) &&
	       f->st.st_size >= (off_t)sizeof(Elf32_Ehdr);
}

static bool is_readable(const struct fd_facts *f)
{
	return !(f->flags & (O_PATH | O_DIRECT)) && (f->flags & O_ACCMODE) != O_WRONLY;
}

/* Does the name lead to the file? Otherwise how it is kept is remap.c's. */
static int reg_resolve(struct cr *cr, struct reg_file *reg)
{
	const struct fd_facts *f = &reg->file.facts;
	struct stat st;
	char who[PATH_MAX + 64];

	if (is_external(cr, f)) {
		reg->is_external = true;
		reg->name = xasprintf("file[%x:%" PRIx64 "]", f->mnt_id, (uint64_t)f->st.st_ino);
		return 0;
	}
	if (str_starts_with(f->link, "(unreachable)"))
		return log_refuse(cr, -ENOTSUP, "%s: its path cannot be reached from here",
				  describe(reg, who, sizeof(who)));
	reg->name = xstrdup(f->link);
	if (f->st.st_nlink && fstatat(AT_FDCWD, reg->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == f->st.st_dev && st.st_ino == f->st.st_ino)
		return 0;
	return remap_collect(cr, reg);
}

static int reg_collect(struct cr *cr, struct file *file)
{
	struct reg_file *reg = (struct reg_file *)file;
	const struct fd_facts *f = &file->facts;
	_cleanup_close_ int fd = -1;
	int err;

	if (S_ISCHR(f->st.st_mode) && f->st.st_rdev == makedev(MEM_MAJOR, KMSG_MINOR) &&
	    (file->flags & O_ACCMODE) == O_WRONLY && file->pos == 0)
		file->pos = POS_NO_SEEK;
	err = reg_resolve(cr, reg);
	if (err)
		return err;
	if (wants_build_id(cr, f) && is_readable(f)) {
		fd = pidfd_fetch(task_pidfd(f->task), f->fd);
		keep_build_id(cr, reg, fd);
	}
	return 0;
}

static uint64_t link_key(const struct fd_facts *f)
{
	return hash_pair(hash_pair(f->st.st_dev, f->st.st_ino), hash_str(f->link));
}

int reg_add(struct cr *cr, const struct fd_facts *facts, uint32_t flags, uint64_t pos,
	    bool may_reuse, struct reg_file **ret)
{
	struct files *files = cr->files;
	uint64_t key = link_key(facts);
	struct reg_file *known = hash_get(&files->links, key);
	_cleanup_close_ int fd = -1;
	struct reg_file *reg;
	int err;

	for (reg = known; may_reuse && reg; reg = reg->next) {
		const struct fd_facts *f = &reg->file.facts;

		if (f->st.st_dev == facts->st.st_dev && f->st.st_ino == facts->st.st_ino &&
		    reg->file.flags == flags && str_equal(f->link, facts->link)) {
			*ret = reg;
			return 0;
		}
	}

	reg = (struct reg_file *)file_new(files, &file_kind_reg, kcmp_ids_take(files->kcmp));
	reg->file.facts = *facts;
	reg->file.facts.link = xstrdup(facts->link);
	reg->file.facts.fd = -1;
	reg->file.facts.info = NULL;
	reg->file.flags = flags;
	reg->file.pos = pos;
	reg->file.fown = xmalloc(sizeof(*reg->file.fown));
	fown_entry__init(reg->file.fown);
	if (may_reuse) {
		reg->next = known;
		hash_put(&files->links, key, reg);
	}

	err = reg_resolve(cr, reg);
	if (err)
		return err;
	if (wants_build_id(cr, facts) && !reg->ghost && !reg->linked && !reg->is_external) {
		fd = open(reg->name, O_RDONLY | O_NOATIME | O_NONBLOCK | O_CLOEXEC);
		keep_build_id(cr, reg, fd);
	}
	reg->file.facts.path_fd = -1;
	*ret = reg;
	return 0;
}

int reg_add_device(struct cr *cr, const struct fd_facts *facts, uint32_t flags,
		   struct reg_file **ret)
{
	struct reg_file *reg;

	reg = (struct reg_file *)file_new(cr->files, &file_kind_reg,
					  kcmp_ids_take(cr->files->kcmp));
	reg->file.facts = *facts;
	reg->file.facts.link = xstrdup(facts->link);
	reg->file.facts.path_fd = -1;
	reg->file.flags = flags;
	reg->file.fown = xmalloc(sizeof(*reg->file.fown));
	fown_entry__init(reg->file.fown);
	reg->name = xstrdup(facts->link);
	reg->is_device = true;
	*ret = reg;
	return 0;
}

static int reg_dump(struct cr *cr, struct file *file, FileEntry *entry)
{
	struct reg_file *reg = (struct reg_file *)file;
	const struct stat *st = &file->facts.st;
	RegFileEntry *e = xmalloc(sizeof(*e));

	reg_file_entry__init(e);
	entry->reg = e;
	e->id = file->id;
	e->flags = file->flags;
	e->pos = file->pos;
	e->fown = file->fown;
	e->name = (char *)reg->name;
	e->has_mode = true;
	e->mode = st->st_mode;
	if (reg->is_external) {
		e->has_ext = true;
		e->ext = true;
	}
	if (S_ISREG(st->st_mode) && !reg->is_device &&
	    !((file->flags & O_ACCMODE) == O_WRONLY && (file->flags & O_APPEND))) {
		e->has_size = true;
		e->size = st->st_size;
	}
	e->n_build_id = reg->n_build_id;
	e->build_id = reg->build_id;
	return 0;
}

static int reg_load(struct cr *cr, struct file *file)
{
	struct reg_file *reg = (struct reg_file *)file;
	RegFileEntry *e = file->entry->reg;

	if (!e || e->id != file->id)
		return file_refuse_entry(cr, file);
	reg->is_external = e->has_ext && e->ext;
	if (!reg->is_external && e->name[0] != '/')
		return log_refuse(cr, -EBADMSG, "files.img: entry %#x: name %s is no absolute path",
				  file->id, e->name);
	reg->name = xstrdup(e->name);
	reg->build_id = e->build_id;
	reg->n_build_id = e->n_build_id;
	file->flags = e->flags;
	file->pos = e->pos;
	file->fown = xmemdup(e->fown, sizeof(*e->fown));
	return 0;
}

static int check_build_id(struct cr *cr, const struct reg_file *reg, int fd, const struct stat *st)
{
	_cleanup_free_ uint32_t *now = NULL;
	_cleanup_close_ int readable = -1;
	char path[64];
	int n;

	if (!reg->n_build_id || cr->opts->file_validation != FILE_VALIDATION_BUILDID ||
	    !S_ISREG(st->st_mode))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readable = open(path, O_RDONLY | O_NOATIME | O_NONBLOCK | O_CLOEXEC);
	if (readable < 0)
		return 0;
	n = build_id_read(readable, &now);
	if (n <= 0 ||
	    ((size_t)n == reg->n_build_id && memcmp(now, reg->build_id, n * sizeof(*now)) == 0))
		return 0;
	log_refuse(cr, -ESTALE, "%s: is another build than at the dump", reg->name);
	log_remedy(cr, "put back the file of the dump, or use --file-validation=filesize");
	return -ESTALE;
}

/* Is what was found at the name the file of the dump? */
static int reg_check(struct cr *cr, const struct reg_file *reg, int fd, const struct stat *st)
{
	const RegFileEntry *e = reg->file.entry->reg;
	mode_t mask = cr->opts->skip_file_rwx_check ? ~0777 : ~0;

	if (e->has_mode && (st->st_mode & mask) != (e->mode & mask)) {
		log_refuse(cr, -ESTALE, "%s: mode is %#o, at the dump it was %#o", reg->name,
			   st->st_mode, e->mode);
		if (((st->st_mode ^ e->mode) & ~0777) == 0)
			log_remedy(cr, "chmod %#o, or restore with --skip-file-rwx-check",
				   e->mode & 07777);
		return -ESTALE;
	}
	if (e->has_size && S_ISREG(st->st_mode) && (uint64_t)st->st_size != e->size) {
		log_refuse(cr, -ESTALE, "%s: has %lld bytes, at the dump it had %" PRIu64,
			   reg->name, (long long)st->st_size, e->size);
		log_remedy(cr, "put back the file of the dump");
		return -ESTALE;
	}
	return check_build_id(cr, reg, fd, st);
}

/* In the coordinator, before any process exists: what can be seen to be missing or changed is
 * refused now. */
static int reg_link(struct cr *cr, struct file *file)
{
	struct reg_file *reg = (struct reg_file *)file;
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (reg->is_external) {
		if (files_inherited(cr, reg->name) >= 0)
			return 0;
		log_refuse(cr, -ENOENT, "%s: external file, and no descriptor for it was given",
			   reg->name);
		log_remedy(cr, "pass it with --inherit-fd 'fd[N]:%s'", reg->name);
		return -ENOENT;
	}
	if (reg->ghost || reg->linked || reg->dead_pid || reg->need_not_be ||
	    files_inherited(cr, path_relative(reg->name)) >= 0)
		return 0;
	/* Files of /proc that belong to tasks of the tree do not exist yet, and where a device is
	 * here, if its name is another one, is the plugin's business. */
	if (path_is_under(reg->name, "/proc") || plugins_map_path(cr, reg->name))
		return 0;
	fd = open(reg->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return log_err(cr, -errno, "%s: the tree needs this file", reg->name);
	return reg_check(cr, reg, fd, &st);
}

static int open_by_name(struct cr *cr, struct reg_file *reg, uint32_t flags, int *ret_fd)
{
	int fd;

	/* What O_TMPFILE made has its contents in a ghost; its flags would make another. They have
	 * O_DIRECTORY among them, which alone stays with the descriptions of directories. */
	if ((flags & O_TMPFILE) == O_TMPFILE)
		flags &= ~O_TMPFILE;
	if (reg->ghost)
		return ghost_open(cr, reg->ghost, reg->name, flags, ret_fd);
	if (reg->linked)
		return open_under_name(cr, reg->linked->name, reg->name, flags, ret_fd);
	fd = open(reg->name, flags | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return log_err(cr, -errno, "%s: open with flags %#o", reg->name, flags);
	*ret_fd = fd;
	return 0;
}

int reg_open(struct cr *cr, struct reg_file *reg, uint32_t flags, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int err;

	fd = files_inherited(cr, reg->is_external ? reg->name : path_relative(reg->name));
	if (fd >= 0) {
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return log_err(cr, -errno, "%s: duplicate the inherited descriptor",
				       reg->name);
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	err = open_by_name(cr, reg, flags, &fd);
	if (err)
		return err;
	/* Checked in the coordinator already, but names may have changed hands since. */
	if (!reg->ghost) {
		if (fstat(fd, &st) < 0)
			return log_err(cr, -errno, "%s: stat", reg->name);
		err = reg_check(cr, reg, -1, &st);
		if (err)
			return err;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int reg_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd)
{
	struct reg_file *reg = (struct reg_file *)file;
	_cleanup_close_ int fd = -1;
	int err;

	err = reg_open(cr, reg, file->flags, &fd);
	if (err)
		return err;
	if (!(file->flags & O_PATH) && file->pos && file->pos != POS_NO_SEEK &&
	    lseek(fd, file->pos, SEEK_SET) < 0)
		return log_err(cr, -errno, "%s: seek to %" PRIu64, reg->name, file->pos);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int reg_open_file(struct cr *cr, struct file *file, uint32_t flags, int *ret_fd)
{
	return reg_open(cr, (struct reg_file *)file, flags, ret_fd);
}

static void reg_free(struct file *file)
{
	struct reg_file *reg = (struct reg_file *)file;

	free((char *)reg->name);
	if (file->entry)
		return; /* the rest belongs to the message */
	free(reg->build_id);
	if (file->facts.fd < 0)
		free((char *)file->facts.link);
}

const struct file_kind file_kind_reg = {
	.name = "reg",
	.type = FD_TYPES__REG,
	.size = sizeof(struct reg_file),
	.match = reg_match,
	.collect = reg_collect,
	.dump = reg_dump,
	.load = reg_load,
	.link = reg_link,
	.restore = reg_restore,
	.open = reg_open_file,
	.free = reg_free,
};
