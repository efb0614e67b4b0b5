// SPDX-License-Identifier: GPL-2.0-only
/*
 * The inode behind a watch. The kernel tells it as a file handle on a device; what is saved is the
 * handle and a path, found through open_by_handle_at(2) or, where the filesystem has no handles (or
 * with --force-irmap), by walking the folders that are likely to hold it and those of
 * --irmap-scan-path. Restored by the path; by handle where there is none; removed files that are
 * watched and open are found among the ghosts.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cr.h"
#include "options.h"
#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "files/fsnotify.h"
#include "kernel/mountinfo.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

#include "images/fh.pb-c.h"

/* What is looked through first: the configuration and spool folders that daemons watch. */
static const char *const likely_folders[] = {
	"/etc", "/var/spool", "/var/log", "/var/run", "/usr/lib", "/tmp", "/root", "/home", "/opt"};

static bool is_on(const struct stat *st, uint32_t sdev)
{
	return major(st->st_dev) == sdev >> 20 && minor(st->st_dev) == (sdev & 0xfffff);
}

static bool leads_to(const char *path, uint32_t sdev, uint64_t ino)
{
	struct stat st;

	return lstat(path, &st) == 0 && st.st_ino == ino && is_on(&st, sdev);
}

/* The task's root folder, if it is on that filesystem: in a chroot, no mount of the list may be. */
static int open_root_on(int proc_dir, uint32_t sdev)
{
	_cleanup_close_ int fd = openat(proc_dir, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !is_on(&st, sdev))
		return -1;
	return TAKE_FD(fd);
}

/* A descriptor of some mount of the filesystem, which open_by_handle_at(2) wants; -1 if it is
 * mounted nowhere that we can see. */
static int open_mount(int proc_dir, uint32_t sdev)
{
	struct mount_list mounts = {};
	int fd = -1;

	if (mountinfo_read(proc_dir, &mounts) < 0)
		return -1;
	for (size_t i = 0; fd < 0 && i < mounts.n; i++) {
		const struct mount_facts *m = &mounts.items[i];

		if (m->dev_major == sdev >> 20 && m->dev_minor == (sdev & 0xfffff))
			fd = open(m->mountpoint, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 && m->dev_major == sdev >> 20 && m->dev_minor == (sdev & 0xfffff))
			fd = open(m->mountpoint, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	}
	mount_list_release(&mounts);
	return fd < 0 ? open_root_on(proc_dir, sdev) : fd;
}

static int open_by_handle(int proc_dir, uint32_t sdev, const void *bytes, unsigned n, int type)
{
	_cleanup_free_ struct file_handle *handle = xcalloc(1, sizeof(*handle) + n);
	_cleanup_close_ int mount = open_mount(proc_dir, sdev);
	int fd;

	if (mount < 0)
		return -ENODEV;
	handle->handle_bytes = n;
	handle->handle_type = type;
	memcpy(handle->f_handle, bytes, n);
	fd = open_by_handle_at(mount, handle, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static char *path_by_handle(const struct task *task, uint32_t sdev, uint64_t ino,
			    const struct fdinfo_handle *handle)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *path = NULL;
	char link[64];

	if (!handle->bytes)
		return NULL;
	fd = open_by_handle(task_proc_fd(task), sdev, handle->data, handle->bytes, handle->type);
	if (fd < 0)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fd_read_link(AT_FDCWD, link, &path) < 0 || !leads_to(path, sdev, ino))
		return NULL;
	return TAKE_PTR(path);
}

static char *scan_folder(const char *folder, uint32_t sdev, uint64_t ino)
{
	char *roots[] = {(char *)folder, NULL};
	char *found = NULL;
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *e;

	while (fts && !found && (e = fts_read(fts))) {
		if (e->fts_info == FTS_DP || e->fts_info == FTS_NS || e->fts_info == FTS_DNR ||
		    !e->fts_statp)
			continue;
		if (e->fts_statp->st_ino == ino && is_on(e->fts_statp, sdev))
			found = xstrdup(e->fts_path);
	}
	if (fts)
		fts_close(fts);
	return found;
}

static char *path_by_scan(struct cr *cr, uint32_t sdev, uint64_t ino)
{
	char *found = NULL;

	for (size_t i = 0; !found && i < cr->opts->irmap_scan_path.n; i++)
		found = scan_folder(cr->opts->irmap_scan_path.items[i], sdev, ino);
	for (size_t i = 0; !found && i < ARRAY_SIZE(likely_folders); i++)
		found = scan_folder(likely_folders[i], sdev, ino);
	if (found)
		log_debug(cr, "watched inode %llu: found %s by looking through folders",
			  (unsigned long long)ino, found);
	return found;
}

/* Is the inode one of the removed files that are open anyway? Then it comes back as a ghost. */
static bool is_ghost(struct cr *cr, uint32_t sdev, uint64_t ino)
{
	struct file *file;

	list_for_each_entry (file, &cr->files->all, all)
		if (file->kind == &file_kind_reg && ((struct reg_file *)file)->ghost &&
		    file->facts.st.st_ino == ino && is_on(&file->facts.st, sdev))
			return true;
	return false;
}

int fsnotify_handle_new(struct cr *cr, const struct task *task, const char *who, uint32_t sdev,
			uint64_t ino, const struct fdinfo_handle *handle, FhEntry **ret)
{
	unsigned words =
		MAX(FH_ENTRY_SIZES__min_entries, (int)(sizeof(handle->data) / sizeof(uint64_t)));
	char *path = cr->opts->force_irmap ? NULL : path_by_handle(task, sdev, ino, handle);
	FhEntry *e;

	if (!path && !is_ghost(cr, sdev, ino)) {
		path = path_by_scan(cr, sdev, ino);
		if (!path)
			path = path_by_handle(task, sdev, ino, handle);
	}
	if (!path && !handle->bytes && !is_ghost(cr, sdev, ino)) {
		log_refuse(cr, -ENOENT,
			   "%s: no path leads to the watched inode %llu on device %u:%u", who,
			   (unsigned long long)ino, sdev >> 20, sdev & 0xfffff);
		log_remedy(cr, "name a folder that holds it with --irmap-scan-path");
		return -ENOENT;
	}
	e = xmalloc(sizeof(*e));
	fh_entry__init(e);
	e->bytes = handle->bytes;
	e->type = handle->type;
	e->n_handle = words;
	e->handle = xcalloc(words, sizeof(*e->handle));
	memcpy(e->handle, handle->data, MIN((size_t)handle->bytes, sizeof(handle->data)));
	e->path = path;
	*ret = e;
	return 0;
}

void fsnotify_handle_free(FhEntry *e)
{
	if (!e)
		return;
	free(e->handle);
	free(e->path);
	free(e);
}

/* A removed file has no name, but some task has it open. */
static int open_ghost(struct cr *cr, const struct ghost *ghost)
{
	struct file *file;
	char path[64];

	list_for_each_entry (file, &cr->files->all, all) {
		if (file->kind == &file_kind_reg && ((struct reg_file *)file)->ghost == ghost &&
		    file_shared_path(file, false, path, sizeof(path)) == 0)
			return open(path, O_PATH | O_CLOEXEC);
	}
	errno = ENOENT;
	return -1;
}

int fsnotify_open_target(struct cr *cr, const char *who, uint32_t sdev, uint64_t ino,
			 const FhEntry *e, int *ret_fd)
{
	const struct ghost *ghost = e->path ? NULL : ghost_of_inode(cr, sdev, ino);
	_cleanup_close_ int self = -1;
	int fd;

	if (e->path || ghost) {
		fd = e->path ? open(e->path, O_PATH | O_CLOEXEC) : open_ghost(cr, ghost);
		if (fd < 0)
			return log_err(cr, -errno, "%s: open %s, which it watches", who,
				       e->path ? e->path : "the removed file");
		*ret_fd = fd;
		return 0;
	}
	if (e->bytes > e->n_handle * sizeof(*e->handle))
		return log_refuse(cr, -EBADMSG, "%s: a file handle of %u bytes in %zu words", who,
				  e->bytes, e->n_handle);
	self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = open_by_handle(self, sdev, e->handle, e->bytes, e->type);
	if (fd < 0)
		return log_err(cr, fd, "%s: open inode %llu of device %u:%u, which it watches", who,
			       (unsigned long long)ino, sdev >> 20, sdev & 0xfffff);
	*ret_fd = fd;
	return 0;
}
