// SPDX-License-Identifier: GPL-2.0-only
/*
 * The surroundings of a dump or restore: image directory, work directory (which becomes the current
 * directory, since relative names of logs, pidfiles and scripts are meant relative to it), log,
 * report, features. What is opened first is what can be refused first: nothing has been touched
 * when one of these fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/help.h"
#include "cli/option-table.h"
#include "cli/session.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/guardian.h"
#include "images/lib/image.h"
#include "kernel/features.h"
#include "options.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/report.h"
#include "util/stats.h"

static int dir_open(struct cr *cr, const char *option, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = -errno;

	if (fd >= 0)
		return fd;
	log_err(cr, err, "--%s %s: open the directory", option, path);
	if (err == -ENOENT)
		log_remedy(cr, "name one that is there, or make it first");
	return err;
}

/* What is opened later is not to get the number of one of the first three, and what is meant for
 * that. */
static int close_one(int fd)
{
	_cleanup_close_ int null = -1;

	if (fd > STDERR_FILENO)
		return close(fd) < 0 ? -errno : 0;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return null < 0 || dup2(null, fd) < 0 ? -errno : 0;
}

static int close_asked(struct cr *cr)
{
	const struct option_numbers *list = &cr->opts->close;

	for (size_t i = 0; i < list->n; i++) {
		int err = close_one((int)list->items[i]);

		if (err < 0)
			return log_err(cr, err, "--close %d: close the descriptor",
				       (int)list->items[i]);
	}
	return 0;
}

/*
 * Who dumps has the directory for itself: the images of two would be mixed. A guardian that still
 * undoes a dump holds the lock as well. Filesystems that have no such locks do without.
 */
static int images_lock(struct cr *cr, int dirfd, bool is_dump)
{
	if (flock(dirfd, (is_dump ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return 0;
	return log_refuse(cr, -EBUSY, "--images-dir %s: another criu is using it",
			  cr->opts->images_dir);
}

static int images_check(struct cr *cr, int dirfd, bool is_dump)
{
	if (is_dump && faccessat(dirfd, ".", W_OK, AT_EACCESS) < 0)
		return log_err(cr, -errno, "--images-dir %s: cannot be written to",
			       cr->opts->images_dir);
	return images_lock(cr, dirfd, is_dump);
}

static int images_open(struct cr *cr, bool is_dump)
{
	int dirfd, ret;

	dirfd = dir_open(cr, "images-dir", cr->opts->images_dir);
	if (dirfd < 0)
		return dirfd;
	ret = cr->opts->dry_run ? 0 : images_check(cr, dirfd, is_dump);
	if (ret < 0) {
		close(dirfd);
		return ret;
	}
	ret = is_dump ? image_dir_open_write(dirfd, 0, &cr->images)
		      : image_dir_open_read(dirfd, 0, &cr->images);
	if (ret < 0) {
		close(dirfd);
		return log_err(cr, ret, "--images-dir %s: open", cr->opts->images_dir);
	}
	return 0;
}

static int report_open(struct cr *cr, struct session *session)
{
	const char *path = cr->opts->report;

	if (!path)
		return 0;
	session->report_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (session->report_fd < 0)
		return log_err(cr, -errno, "--report %s: create the file", path);
	return 0;
}

static void say_hello(struct cr *cr)
{
	struct utsname u;

	if (uname(&u) == 0)
		log_info(cr, "criu: version %s on %s %s %s %s", CRIU_VERSION, u.nodename, u.sysname,
			 u.release, u.machine);
}

static bool is_given(const struct cr *cr, const char *name)
{
	return option_is_given(cr->opts, option_find(name));
}

/* The log starts in it. */
static int work_dir_open(struct cr *cr)
{
	const char *option = is_given(cr, "work-dir") ? "work-dir" : "images-dir";
	int ret;

	cr->work_dir = dir_open(cr, option, cr->opts->work_dir);
	if (cr->work_dir < 0)
		return cr->work_dir;
	ret = log_open(cr->log, cr->work_dir, cr->opts->log_file);
	if (ret < 0)
		return log_err(cr, ret, "--log-file %s: create in the work directory",
			       cr->opts->log_file ?: "");
	say_hello(cr);
	return 0;
}

int session_open(struct cr *cr, struct session *session, bool is_dump)
{
	int ret;

	*session = (struct session){.report_fd = -1};
	ret = close_asked(cr);
	if (ret == 0)
		ret = report_open(cr, session);
	if (ret == 0)
		ret = images_open(cr, is_dump);
	if (ret < 0)
		return ret;

	ret = work_dir_open(cr);
	if (ret < 0)
		return ret;
	if (fchdir(cr->work_dir) < 0)
		return log_err(cr, -errno, "--work-dir %s: enter", cr->opts->work_dir);
	cr->features = features_new();
	cr->stats = stats_new();
	cr->pool = pool_new(0);
	return 0;
}

int session_open_log(struct cr *cr)
{
	int ret = close_asked(cr);
	/* Who gave none may be where there is nothing to be read or written. */
	bool is_wanted = cr->opts->log_file || is_given(cr, "work-dir") ||
			 is_given(cr, "images-dir");

	return ret == 0 && is_wanted ? work_dir_open(cr) : ret;
}

void session_close_log(struct cr *cr)
{
	if (cr->work_dir >= 0)
		close(cr->work_dir);
	cr->work_dir = -1;
}

int session_close(struct cr *cr, struct session *session, const char *command, int result)
{
	int status = result < 0 ? 1 : result;

	if (result < 0)
		log_failure(cr->log, command);
	if (session->report_fd >= 0) {
		int ret = report_write_json(cr->report, session->report_fd, command, status);

		if (ret < 0)
			log_err(cr, ret, "--report %s: write", cr->opts->report);
	}
	session_leave(cr, session);
	return status;
}

void session_leave(struct cr *cr, struct session *session)
{
	close_at(&session->report_fd);
	session->report_fd = -1;
	/* It has directories open: who unmounts them when we have ended is not to find them in use.
	 */
	guardian_reap(cr);
	if (cr->images) {
		int dirfd = image_dir_fd(cr->images);

		image_dir_free(cr->images);
		close(dirfd);
		cr->images = NULL;
	}
	session_close_log(cr);
	pool_free(cr->pool);
	cr->pool = NULL;
	stats_free(cr->stats);
	cr->stats = NULL;
	features_free(cr->features);
	cr->features = NULL;
}
