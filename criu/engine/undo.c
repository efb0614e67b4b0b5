/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of undo records. Fields are text. A directory is named by its path and by device and
 * inode: a descriptor that was handed over is taken first, then the path, and only if it still
 * leads to that inode; it is the directory that the name is in, never one that has nothing to do
 * with it. A process is named by pid and start time, looked at once the pidfd is held,
 * so that no other process is ever meant. To add a kind, add a function and its line to the table,
 * and something that calls undo_add() with its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "engine/journal.h"
#include "engine/undo.h"
#include "images/lib/image.h"
#include "kernel/proc.h"
#include "plugin/recover.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/path.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

/* How long to wait for a killed process to be gone. */
#define DEATH_TIMEOUT_MS 10000

struct undo_kind {
	const char *name;
	size_t n_fields;
	int (*undo)(const struct undo_context *context, const char *const *fields);
	/* Before all others, whatever was recorded when: those that it ends may be about to do what
	 * a later record takes back. */
	bool is_first;
};

static uint64_t number_of(const char *text)
{
	return strtoull(text, NULL, 10);
}

/* ---- directories ---- */

bool undo_dirs_add(struct undo_dirs *dirs, uint64_t dev, uint64_t ino, int fd)
{
	for (size_t i = 0; i < dirs->n; i++) {
		if (dirs->dirs[i].dev == dev && dirs->dirs[i].ino == ino)
			return false;
	}
	if (dirs->n == ARRAY_SIZE(dirs->dirs))
		return false;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return false;
	dirs->dirs[dirs->n].dev = dev;
	dirs->dirs[dirs->n].ino = ino;
	dirs->dirs[dirs->n].fd = fd;
	dirs->n++;
	return true;
}

void undo_dirs_close(struct undo_dirs *dirs)
{
	for (size_t i = 0; i < dirs->n; i++)
		close(dirs->dirs[i].fd);
	dirs->n = 0;
}

int undo_parent_open(int dirfd, const char *name, const char **ret_rest)
{
	_cleanup_free_ char *path = strdup(name);
	int fd = -ENOENT;

	if (!path)
		return -ENOMEM;
	for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
		path[length - 1] = '\0';
	while (fd == -ENOENT || fd == -ENOTDIR) {
		char *slash = strrchr(path, '/');
		const char *folder = slash == path ? "/" : slash ? path : ".";

		*ret_rest = slash ? path_relative(name + (slash - path)) : name;
		if (slash)
			*slash = '\0';
		fd = openat(dirfd, folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
		if (!slash || !*path)
			break;
	}
	return fd;
}

/*
 * Opens the directory of fields path, "dev:ino", with O_PATH. -ENOENT: it is gone, and at its path
 * there may be another one by now, which is none of ours; -ESTALE: another file system is there,
 * that may hide it.
 */
static int dir_open(const struct undo_context *context, const char *const *fields)
{
	_cleanup_close_ int fd = -1;
	unsigned long long dev, ino;
	struct stat st;

	if (sscanf(fields[1], "%llu:%llu", &dev, &ino) != 2)
		return -EBADMSG;
	for (size_t i = 0; context->dirs && i < context->dirs->n; i++) {
		if (context->dirs->dirs[i].dev == dev && context->dirs->dirs[i].ino == ino) {
			fd = openat(context->dirs->dirs[i].fd, ".",
				    O_PATH | O_DIRECTORY | O_CLOEXEC);
			return fd < 0 ? -errno : TAKE_FD(fd);
		}
	}
	fd = open(fields[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (st.st_dev != dev)
		return -ESTALE;
	return st.st_ino == ino ? TAKE_FD(fd) : -ENOENT;
}

/* The same for fields path, dev:ino, name. With an absolute name, as journals of earlier versions
 * have it, the directory is any: it was the tool's working directory. */
static int name_dir_open(const struct undo_context *context, const char *const *fields)
{
	int fd;

	if (*fields[2] != '/')
		return dir_open(context, fields);
	fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Fields: path, dev:ino, name. */
static int undo_remove(const struct undo_context *context, const char *const *fields)
{
	_cleanup_close_ int dir = name_dir_open(context, fields);

	if (dir < 0)
		return dir == -ENOENT ? UNDO_NO_DIR : dir;
	if (unlinkat(dir, fields[2], 0) == 0 || errno == ENOENT || errno == ENOTDIR)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	return unlinkat(dir, fields[2], AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Fields: path, dev:ino, name, dev:ino of the file. */
static int undo_remove_link(const struct undo_context *context, const char *const *fields)
{
	_cleanup_close_ int dir = name_dir_open(context, fields);
	unsigned long long dev, ino;
	struct stat st;

	if (sscanf(fields[3], "%llu:%llu", &dev, &ino) != 2)
		return -EBADMSG;
	if (dir < 0)
		return dir == -ENOENT ? UNDO_NO_DIR : dir;
	if (fstatat(dir, fields[2], &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	/* Somebody else's by now, or then already. */
	if (st.st_dev != dev || st.st_ino != ino)
		return 0;
	return unlinkat(dir, fields[2], 0) == 0 || errno == ENOENT ? 0 : -errno;
}

/* A name that the image library writes: an image, the inventory before it gets its name, the link
 * to the parent. */
static bool is_image_name(const char *name)
{
	uint64_t number;

	return image_kind_of(name, &number) >= 0 || strcmp(name, ".inventory.img.new") == 0 ||
	       strcmp(name, "parent") == 0;
}

/* Was it made or written since the record was? */
static bool is_newer(int dir, const char *name, uint64_t time_ns)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) &&
	       (uint64_t)st.st_ctim.tv_sec * 1000000000 + (uint64_t)st.st_ctim.tv_nsec >= time_ns;
}

/* Fields: path, dev:ino. */
static int undo_images(const struct undo_context *context, const char *const *fields)
{
	_cleanup_close_ int dir = dir_open(context, fields);
	_cleanup_closedir_ DIR *list = NULL;
	struct dirent *entry;
	int readable, err = 0;

	if (dir < 0)
		return dir == -ENOENT ? UNDO_NO_DIR : dir;
	/* Whole, then: only the tool had yet to say so. */
	if (faccessat(dir, "inventory.img", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	readable = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	list = readable < 0 ? NULL : fdopendir(readable);
	if (!list) {
		err = -errno;
		if (readable >= 0)
			close(readable);
		return err;
	}
	while ((entry = readdir(list))) {
		if (!is_image_name(entry->d_name) ||
		    !is_newer(dir, entry->d_name, context->record->time_ns))
			continue;
		if (unlinkat(dir, entry->d_name, 0) < 0 && errno != ENOENT)
			err = -errno;
	}
	return err;
}

/* Fields: path, dev:ino, name, text. */
static int undo_write(const struct undo_context *context, const char *const *fields)
{
	_cleanup_close_ int dir = dir_open(context, fields);
	int err;

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	err = fd_write_file(dir, fields[2], fields[3]);
	/* A cgroup that was removed has nothing left to thaw. */
	return err == -ENOENT || err == -ENODEV ? 0 : err;
}

/* ---- processes ---- */

/* A pidfd of the process that fields pid, start time mean, or -ESRCH. */
static int process_open(const struct undo_context *context, pid_t pid, uint64_t starttime)
{
	_cleanup_close_ int pidfd = -1;

	if (!context->is_this_boot)
		return -ESRCH;
	pidfd = pidfd_new(pid);
	if (pidfd < 0)
		return pidfd;
	/* The pidfd pins the pid: what has it now is what the pidfd means. */
	if (journal_starttime(pid) != starttime)
		return -ESRCH;
	return TAKE_FD(pidfd);
}

static int wait_for_death(int pidfd)
{
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
	int n;

	do
		n = poll(&poll_fd, 1, DEATH_TIMEOUT_MS);
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n < 0 ? -errno : -ETIMEDOUT;
}

static int process_signal(const struct undo_context *context, pid_t pid, uint64_t starttime,
			  int sig)
{
	_cleanup_close_ int pidfd = process_open(context, pid, starttime);
	int err;

	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	err = pidfd_signal(pidfd, sig);
	if (err < 0)
		return err == -ESRCH ? 0 : err;
	return sig == SIGKILL ? wait_for_death(pidfd) : 0;
}

/* Fields: pid, start time, signal. */
static int undo_signal(const struct undo_context *context, const char *const *fields)
{
	return process_signal(context, (pid_t)number_of(fields[0]), number_of(fields[1]),
			      (int)number_of(fields[2]));
}

struct process {
	pid_t pid, ppid;
	uint64_t starttime;
	bool is_member;
};

struct process_list {
	struct process *items;
	size_t n, capacity;
};

static void process_list_add(struct process_list *list, pid_t pid)
{
	_cleanup_close_ int dir = proc_open(pid);
	struct proc_stat stat;

	/* Gone while we look. */
	if (dir < 0 || proc_read_stat(dir, &stat) < 0)
		return;
	list->items = array_grow(list->items, &list->capacity, list->n + 1, sizeof(*list->items));
	list->items[list->n++] =
		(struct process){.pid = pid, .ppid = stat.ppid, .starttime = stat.starttime};
}

static int process_list_read(struct process_list *list)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;

	list->n = 0;
	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		pid_t pid = (pid_t)number_of(entry->d_name);

		if (pid > 0)
			process_list_add(list, pid);
	}
	return 0;
}

static struct process *process_list_find(const struct process_list *list,
					 const struct process *wanted)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].pid == wanted->pid &&
		    list->items[i].starttime == wanted->starttime)
			return &list->items[i];
	return NULL;
}

/* Marks those of list that are among known, and what descends from them. */
static void process_list_mark(struct process_list *list, const struct process_list *known)
{
	bool more = true;

	for (size_t i = 0; i < list->n; i++)
		list->items[i].is_member = process_list_find(known, &list->items[i]) != NULL;
	while (more) {
		more = false;
		for (size_t i = 0; i < list->n; i++) {
			for (size_t at = 0; !list->items[i].is_member && at < list->n; at++)
				if (list->items[at].is_member &&
				    list->items[at].pid == list->items[i].ppid)
					list->items[i].is_member = more = true;
		}
	}
}

/* Stops the members that are not known yet, and makes them known; true if there were any. */
static bool process_list_stop_new(const struct undo_context *context,
				  const struct process_list *list, struct process_list *known)
{
	size_t before = known->n;

	for (size_t i = 0; i < list->n; i++) {
		const struct process *process = &list->items[i];

		if (!process->is_member || process_list_find(known, process))
			continue;
		(void)process_signal(context, process->pid, process->starttime, SIGSTOP);
		known->items = array_grow(known->items, &known->capacity, known->n + 1,
					  sizeof(*known->items));
		known->items[known->n++] = *process;
	}
	return known->n > before;
}

/*
 * Fields: pid, start time. Stopped first, until a look at /proc finds no new ones: a process that
 * is killed hands its children to somebody else, and then nobody could tell that they belonged to
 * the tree. They may die meanwhile by other means, too: so who was once found remains known.
 */
static int undo_kill_tree(const struct undo_context *context, const char *const *fields)
{
	struct process root = {.pid = (pid_t)number_of(fields[0]),
			       .starttime = number_of(fields[1])};
	struct process_list list = {0}, known = {0};
	bool more;
	int err = 0;

	if (!context->is_this_boot)
		return 0;
	(void)process_signal(context, root.pid, root.starttime, SIGSTOP);
	known.items = array_grow(NULL, &known.capacity, 1, sizeof(*known.items));
	known.items[known.n++] = root;
	do {
		err = process_list_read(&list);
		process_list_mark(&list, &known);
		more = process_list_stop_new(context, &list, &known);
	} while (!err && more);
	for (size_t i = 0; i < known.n; i++) {
		int ret = process_signal(context, known.items[i].pid, known.items[i].starttime,
					 SIGKILL);

		if (ret < 0)
			err = ret;
	}
	free(list.items);
	free(known.items);
	return err;
}

/* ---- mounts ---- */

uint64_t undo_mount_id(const char *path)
{
	struct statx stx;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID_UNIQUE,
		  &stx) < 0)
		return 0;
	if (!(stx.stx_mask & STATX_MNT_ID_UNIQUE) &&
	    statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &stx) < 0)
		return 0;
	return stx.stx_mnt_id;
}

/* Fields: path, the mount id that was there before. */
static int undo_umount(const struct undo_context *context, const char *const *fields)
{
	uint64_t before = number_of(fields[1]), now;

	if (!context->is_this_boot)
		return 0;
	for (int i = 0; i < 64; i++) {
		now = undo_mount_id(fields[0]);
		if (!now || now == before)
			return 0;
		if (umount2(fields[0], MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			/* Not a mount point: the directory itself moved to another mount. */
			return errno == EINVAL ? 0 : -errno;
	}
	return -EBUSY;
}

/* ---- plugins ---- */

/* Fields: path of the plugin, its name, the record in hexadecimal digits. */
static int undo_plugin(const struct undo_context *context, const char *const *fields)
{
	/* What a device knew of the processes of another boot is gone with it. */
	return context->is_this_boot ? plugin_recover(fields[0], fields[1], fields[2]) : 0;
}

/* ---- the table ---- */

static const struct undo_kind kinds[] = {
	{"remove", 3, undo_remove, false}, {"images", 2, undo_images, false},
	{"write", 4, undo_write, false},   {"signal", 3, undo_signal, false},
	{"umount", 2, undo_umount, false}, {"kill-tree", 2, undo_kill_tree, true},
	{"plugin", 3, undo_plugin, false}, {"remove-link", 4, undo_remove_link, false},
};

static const struct undo_kind *kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

int undo_record(const struct undo_dirs *dirs, bool is_this_boot,
		const struct journal_record *record)
{
	struct undo_context context = {
		.dirs = dirs, .is_this_boot = is_this_boot, .record = record};

	const struct undo_kind *kind = kind_find(record->kind);

	if (!kind)
		return -EOPNOTSUPP;
	return record->n_fields == kind->n_fields ? kind->undo(&context, record->fields) : -EBADMSG;
}

static size_t undo_some(int fd, const struct undo_dirs *dirs, const struct journal *journal,
			bool are_first, undo_told told, void *arg)
{
	size_t n_failed = 0;

	for (size_t i = journal->n_records; i-- > 0;) {
		const struct journal_record *record = &journal->records[i];
		const struct undo_kind *kind = kind_find(record->kind);
		char id[16];
		const char *fields[] = {id};
		int err;

		if ((kind && kind->is_first) != are_first)
			continue;
		err = undo_record(dirs, journal->is_this_boot, record);
		snprintf(id, sizeof(id), "%u", record->id);
		if (err < 0)
			n_failed++;
		else
			/* Where that fails it is undone once more, which does no harm. */
			journal_append(fd, 0, JOURNAL_FORGET, fields, 1);
		if (told)
			told(arg, record, err);
	}
	return n_failed;
}

size_t undo_journal(int fd, const struct undo_dirs *dirs, const struct journal *journal,
		    undo_told told, void *arg)
{
	size_t n_failed = undo_some(fd, dirs, journal, true, told, arg);

	return n_failed + undo_some(fd, dirs, journal, false, told, arg);
}
