// SPDX-License-Identifier: GPL-2.0-only
/* The check changes the files that the images speak of, so that these cannot be restored after it.
 */
/* criu-variants: plain twice */
/* Regular files and what is opened by path: flags, offsets, shared offsets, directories, O_PATH,
 * symbolic links, memory devices. */
#include "crtest.h"

#include <sys/stat.h>
#include <sys/types.h>

static void link_is(const char *what, int fd, const char *was)
{
	char path[64], now[4096];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, now, sizeof(now) - 1);
	now[n < 0 ? 0 : n] = '\0';
	crtest_same_text(what, now, was);
}

int main(int argc, char **argv)
{
	int rw, twin, append, noatime, dir, path, sym, null, random, full, n;
	char text[16] = "";
	struct stat st;
	pid_t pid;

	crtest_begin(argc, argv);
	rw = crtest_must(open("file", O_RDWR | O_CREAT, 0640));
	crtest_must(write(rw, "0123456789", 10));
	crtest_must(lseek(rw, 4, SEEK_SET));
	twin = crtest_must(dup(rw));
	append = crtest_must(open("log", O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK, 0600));
	crtest_must(write(append, "one\n", 4));
	noatime = crtest_must(open("file", O_RDONLY | O_NOATIME | O_CLOEXEC));
	crtest_must(lseek(noatime, 1 << 20, SEEK_SET));
	crtest_must(mkdir("dir", 0750));
	crtest_must(symlink("file", "dir/link"));
	dir = crtest_must(open("dir", O_RDONLY | O_DIRECTORY));
	path = crtest_must(open("file", O_PATH));
	sym = crtest_must(open("dir/link", O_PATH | O_NOFOLLOW));
	null = crtest_must(open("/dev/null", O_WRONLY));
	full = crtest_must(open("/dev/full", O_RDWR));
	random = crtest_must(open("/dev/urandom", O_RDONLY));
	pid = crtest_must(fork());
	if (!pid) {
		while (!crtest_is_triggered())
			crtest_sleep_ms(10);
		/* The offset is one for both tasks. */
		_exit(lseek(rw, 2, SEEK_CUR) == 6 ? 0 : 1);
	}

	crtest_wait();

	crtest_join("child", pid);
	crtest_equal("offset", lseek(twin, 0, SEEK_CUR), 6);
	crtest_equal("read", read(rw, text, 4), 4);
	crtest_same_text("text", text, "6789");
	crtest_must(fstat(append, &st));
	crtest_equal("write to the log", write(append, "two\n", 4), 4);
	crtest_equal("growth of the log", lseek(append, 0, SEEK_END) - st.st_size, 4);
	crtest_equal("flags of the log",
		     fcntl(append, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE),
		     O_APPEND | O_NONBLOCK | O_WRONLY);
	crtest_equal("offset past the end", lseek(noatime, 0, SEEK_CUR), 1 << 20);
	crtest_equal("O_NOATIME", fcntl(noatime, F_GETFL) & O_NOATIME, O_NOATIME);
	crtest_equal("O_DIRECTORY", fcntl(dir, F_GETFL) & O_DIRECTORY, O_DIRECTORY);
	crtest_equal("close-on-exec", fcntl(noatime, F_GETFD), FD_CLOEXEC);
	crtest_true(fstatat(dir, "link", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode));
	link_is("O_PATH", path, crtest_path("file"));
	crtest_true(read(path, text, 1) < 0 && errno == EBADF);
	link_is("O_PATH of a link", sym, crtest_path("dir/link"));
	n = readlinkat(sym, "", text, sizeof(text));
	crtest_equal("length of the link", n, 4);
	crtest_equal("/dev/null", write(null, "x", 1), 1);
	crtest_true(write(full, "x", 1) < 0 && errno == ENOSPC);
	crtest_equal("/dev/urandom", read(random, text, 8), 8);
	return crtest_end();
}
