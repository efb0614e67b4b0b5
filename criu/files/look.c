// SPDX-License-Identifier: GPL-2.0-only
/*
 * A look at the files of a running tree before anything is touched: is there one that two classes
 * of plugins claim (G2)? Descriptors and mappings are read from /proc and shown to the very code
 * that decides when the tree stands still, where they are all asked for once more. What comes and
 * goes meanwhile is nothing: whatever is said of a file that is gone is forgotten.
 *
 * Next to always a link's text rules a dispute out, which is why it is read alone at first.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "files/ext.h"
#include "files/files.h"
#include "kernel/fdinfo.h"
#include "kernel/fds.h"
#include "kernel/maps.h"
#include "run.h"
#include "task/task.h"
#include "util/log.h"
#include "util/path.h"
#include "util/report.h"

struct look {
	struct cr *cr;
	struct task task; /* what is known of it, which is its pid */
	int proc;         /* /proc/PID */
	int dir;          /* fd or map_files in it */
};

/* What a link leads to; false: nothing any more. */
static bool link_read(int dir, const char *name, char link[PATH_MAX + 16], struct stat *ret_st)
{
	ssize_t n = readlinkat(dir, name, link, PATH_MAX + 15);

	if (n < 0)
		return false;
	link[n] = 0;
	return !ret_st || fstatat(dir, name, ret_st, AT_NO_AUTOMOUNT) == 0;
}

static bool is_same(const struct stat *one, const struct stat *two)
{
	return one->st_dev == two->st_dev && one->st_ino == two->st_ino &&
	       one->st_rdev == two->st_rdev;
}

/* Asks the classes. given has all but what the link tells. */
static int ask(struct look *look, const char *name, const struct fd_facts *given)
{
	char link[PATH_MAX + 16], again[PATH_MAX + 16];
	struct fd_facts facts = *given;
	struct plugin_class *class;
	struct stat st;
	int err;

	if (!link_read(look->dir, name, link, &facts.st))
		return 0;
	facts.link = link;
	err = ext_claim(look->cr, &facts, &class);
	if (!err || plan_is_cancelled(look->cr))
		return err;
	if (link_read(look->dir, name, again, &st) && is_same(&st, &facts.st) &&
	    strcmp(link, again) == 0)
		return err;
	log_info(look->cr, "%d: %s was open and is not any more", look->task.host_pid, link);
	report_cause_clear(look->cr->report);
	return 0;
}

static int look_at_fd(struct look *look, int fd)
{
	struct fd_facts facts = {.task = &look->task, .fd = fd, .path_fd = -1, .mnt_id = -1};
	char name[16], link[PATH_MAX + 16];
	struct fdinfo info = {};

	snprintf(name, sizeof(name), "%d", fd);
	if (!link_read(look->dir, name, link, NULL))
		return 0;
	(void)path_strip_deleted(link);
	if (!plugins_may_dispute_path(look->cr, link) || fdinfo_read(look->proc, fd, &info) < 0)
		return 0;
	facts.flags = info.flags & ~O_CLOEXEC;
	facts.pos = info.pos;
	fdinfo_release(&info);
	return ask(look, name, &facts);
}

static int look_at_fds(struct look *look)
{
	_cleanup_close_ int dir = openat(look->proc, "fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ int *numbers = NULL;
	size_t n;
	int err = 0;

	if (dir < 0 || fds_read_numbers(look->proc, &numbers, &n) < 0)
		return 0;
	look->dir = dir;
	for (size_t i = 0; i < n && !err; i++)
		err = plan_is_cancelled(look->cr) ? -ECANCELED : look_at_fd(look, numbers[i]);
	return err;
}

static int look_at_mapping(struct look *look, const struct vma_facts *vma)
{
	struct fd_facts facts = {.task = &look->task, .fd = -1, .path_fd = -1, .mnt_id = -1};
	struct stat st;
	char name[64];

	if (!vma->inode || !plugins_may_dispute_path(look->cr, vma->path))
		return 0;
	snprintf(name, sizeof(name), "%" PRIx64 "-%" PRIx64, vma->start, vma->end);
	if (fstatat(look->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	facts.flags = files_mapped_mode(&st);
	return ask(look, name, &facts);
}

static int look_at_mappings(struct look *look)
{
	_cleanup_close_ int dir = openat(look->proc, "map_files", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct vma_list list;
	int err = 0;

	if (dir < 0 || maps_read(look->proc, &list) < 0)
		return 0;
	look->dir = dir;
	for (size_t i = 0; i < list.n && !err; i++)
		err = plan_is_cancelled(look->cr) ? -ECANCELED
						  : look_at_mapping(look, &list.items[i]);
	vma_list_release(&list);
	return err;
}

int files_look(struct cr *cr, pid_t pid)
{
	struct look look = {.cr = cr, .task = {.pid = pid, .host_pid = pid}};
	_cleanup_close_ int proc = -1;
	char path[32];
	int err;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return 0;
	look.proc = proc;
	err = look_at_fds(&look);
	return err ? err : look_at_mappings(&look);
}
