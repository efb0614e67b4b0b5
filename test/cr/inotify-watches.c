// SPDX-License-Identifier: GPL-2.0-only
/* inotify: watches on a folder, a file and a removed file that is still open, with numbers that
 * have gaps. */
#include "crtest.h"

#include <sys/inotify.h>
#include <sys/stat.h>

static int next(int fd, struct inotify_event *e, char *name)
{
	char buf[4096] __attribute__((aligned(8)));
	size_t len;
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < (ssize_t)sizeof(*e))
		return -1;
	memcpy(e, buf, sizeof(*e));
	len = e->len < 63 ? e->len : 63;
	memcpy(name, buf + sizeof(*e), len);
	name[len] = '\0';
	return 0;
}

int main(int argc, char **argv)
{
	struct inotify_event e;
	int fd, folder, drop, file, gone, open_fd;
	char name[64];

	crtest_begin(argc, argv);
	fd = crtest_must(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	crtest_must(mkdir("folder", 0700));
	close(crtest_must(open("file", O_RDWR | O_CREAT, 0600)));
	open_fd = crtest_must(open("gone", O_RDWR | O_CREAT, 0600));
	folder = crtest_must(inotify_add_watch(fd, "folder", IN_CREATE | IN_DELETE));
	drop = crtest_must(inotify_add_watch(fd, ".", IN_CREATE));
	file = crtest_must(inotify_add_watch(fd, "file", IN_MODIFY));
	crtest_must(inotify_rm_watch(fd, drop));
	crtest_must(next(fd, &e, name)); /* IN_IGNORED */
	gone = crtest_must(inotify_add_watch(fd, "gone", IN_MODIFY));
	crtest_must(unlink("gone"));

	crtest_wait();

	close(crtest_must(open("folder/new", O_RDWR | O_CREAT, 0600)));
	crtest_equal("event of the folder", next(fd, &e, name), 0);
	crtest_equal("watch of the folder", e.wd, folder);
	crtest_same_text("name", name, "new");
	close(crtest_must(open("file", O_RDWR | O_TRUNC)));
	crtest_equal("event of the file", next(fd, &e, name), 0);
	crtest_equal("watch of the file", e.wd, file);
	crtest_must(write(open_fd, "x", 1));
	crtest_equal("event of the removed file", next(fd, &e, name), 0);
	crtest_equal("watch of the removed file", e.wd, gone);
	crtest_equal("next watch", crtest_must(inotify_add_watch(fd, ".", IN_CREATE)), gone + 1);
	unlink("folder/new");
	return crtest_end();
}
