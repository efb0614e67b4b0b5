// SPDX-License-Identifier: GPL-2.0-only
/* fanotify: a mark on a file with an ignored mask, and one on a mount. */
#include "crtest.h"

#include <sys/fanotify.h>

static int next(int fd, struct fanotify_event_metadata *e)
{
	ssize_t n = read(fd, e, sizeof(*e));

	if (n < (ssize_t)sizeof(*e))
		return -1;
	if (e->fd >= 0)
		close(e->fd);
	return 0;
}

int main(int argc, char **argv)
{
	struct fanotify_event_metadata e;
	int fd, mount;

	crtest_begin(argc, argv);
	close(crtest_must(open("file", O_RDWR | O_CREAT, 0600)));
	fd = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY);
	if (fd < 0)
		crtest_skip("no fanotify: %s", strerror(errno));
	crtest_must(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN | FAN_MODIFY, AT_FDCWD, "file"));
	crtest_must(fanotify_mark(
		fd, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN,
		AT_FDCWD, "file"));
	mount = crtest_must(fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK, O_RDONLY));
	crtest_must(fanotify_mark(mount, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_CLOSE_WRITE, AT_FDCWD,
				  "/proc"));

	crtest_wait();

	crtest_true(next(fd, &e) < 0);
	close(crtest_must(open("file", O_RDONLY)));
	crtest_true(next(fd, &e) < 0);
	int w = crtest_must(open("file", O_WRONLY));
	crtest_must(write(w, "x", 1));
	close(w);
	crtest_equal("event", next(fd, &e), 0);
	crtest_equal("mask", e.mask & FAN_MODIFY, FAN_MODIFY);
	return crtest_end();
}
