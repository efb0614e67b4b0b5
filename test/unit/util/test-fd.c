// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors: whole reads and writes, passing many of them, moving them, and programs that are
 * run. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compel/base/cleanup.h"
#include "util/fd.h"
#include "util/spawn.h"

static int memory_file(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite_all(fd, text, strlen(text), 0), 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void whole_reads(void **state)
{
	_cleanup_close_ int fd = memory_file("0123456789");
	char buf[16];

	assert_int_equal(read_all(fd, buf, sizeof(buf)), 10);
	assert_int_equal(pread_exact(fd, buf, 5, 5), 0);
	assert_memory_equal(buf, "56789", 5);
	assert_int_equal(pread_exact(fd, buf, 6, 5), -ENODATA);
	assert_int_equal(read_exact(fd, buf, 1), -ENODATA);
	assert_int_equal(write_all(fd, "ab", 2), 0);
	assert_int_equal(pread_all(fd, buf, sizeof(buf), 9), 3);
	assert_int_equal(read_all(-1, buf, 1), -EBADF);
	assert_int_equal(write_all(-1, buf, 1), -EBADF);
}

static void files_of_any_length(void **state)
{
	char dir[] = "/tmp/test-fd.XXXXXX", small[8];
	_cleanup_close_ int dirfd = -1, fd = -1;
	_cleanup_free_ char *text = NULL, *link = NULL;
	size_t size;

	assert_non_null(mkdtemp(dir));
	dirfd = open(dir, O_PATH | O_CLOEXEC);
	fd = openat(dirfd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(write_all(fd, "abcdefgh\n", 9), 0);
	assert_int_equal(fd_read_file(dirfd, "f", &text, &size), 0);
	assert_int_equal(size, 45000);
	assert_int_equal(strlen(text), 45000);
	assert_int_equal(fd_read_file_into(dirfd, "f", small, sizeof(small)), -EFBIG);
	assert_int_equal(ftruncate(fd, 7), 0);
	assert_int_equal(fd_read_file_into(dirfd, "f", small, sizeof(small)), 7);
	assert_string_equal(small, "abcdefg");
	assert_int_equal(fd_write_filef(dirfd, "f", "%d", 12345), 0);
	assert_int_equal(fd_read_file_into(dirfd, "f", small, sizeof(small)), 7);
	assert_string_equal(small, "12345fg");
	assert_int_equal(fd_write_file(dirfd, "none", "x"), -ENOENT);
	assert_int_equal(fd_read_file_into(dirfd, "none", small, sizeof(small)), -ENOENT);

	assert_int_equal(symlinkat("f", dirfd, "l"), 0);
	assert_int_equal(fd_read_link(dirfd, "l", &link), 0);
	assert_string_equal(link, "f");
	unlinkat(dirfd, "l", 0);
	unlinkat(dirfd, "f", 0);
	rmdir(dir);
}

static void many_are_passed(void **state)
{
	enum { N = FD_BATCH * 2 + 7 };
	int pair[2], fds[N], got[N];
	struct stat a, b;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	for (int i = 0; i < N; i++)
		fds[i] = memory_file("");
	assert_int_equal(fds_send(pair[0], fds, N), 0);
	assert_int_equal(fds_receive(pair[1], got, N), 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(fstat(fds[i], &a), 0);
		assert_int_equal(fstat(got[i], &b), 0);
		assert_true(a.st_ino == b.st_ino);
		assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
		close(got[i]);
	}

	/* Fewer than expected: an error, and nothing stays open. */
	assert_int_equal(fds_send(pair[0], fds, 2), 0);
	assert_int_equal(fds_receive(pair[1], got, 3), -EBADMSG);
	got[0] = dup(fds[0]);
	assert_int_equal(got[0], fds[N - 1] + 1);
	close(got[0]);

	assert_int_equal(send_fd(pair[0], fds[0]), 0);
	got[0] = recv_fd(pair[1]);
	assert_true(got[0] >= 0);
	close(got[0]);
	close(pair[0]);
	assert_int_equal(recv_fd(pair[1]), -ECONNRESET);
	assert_int_equal(send_fd(pair[1], fds[0]), -EPIPE);
	close(pair[1]);
	for (int i = 0; i < N; i++)
		close(fds[i]);
}

static void they_are_moved(void **state)
{
	int fd = memory_file("x"), old = fd;

	assert_int_equal(fd_move_above(&fd, 200), 0);
	assert_true(fd >= 200 && !is_open(old));
	assert_int_equal(fd_move_above(&fd, 200), 0);
	assert_int_equal(fd_move_to(&fd, 222, 0), 0);
	assert_int_equal(fcntl(222, F_GETFD), 0);
	assert_int_equal(fd_move_to(&fd, 222, 1), 0);
	assert_int_equal(fcntl(222, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_set_nonblock(fd, 1), 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_close_range(200, ~0U), 0);
	assert_false(is_open(222));
	assert_int_equal(fd_close_range(5, 4), 0);
}

static void pidfds(void **state)
{
	int ours = memory_file("mine"), pidfd, copy;
	pid_t pid = fork();
	char text[4];
	int status;

	if (pid == 0) {
		for (;;)
			pause();
	}
	pidfd = pidfd_new(pid);
	assert_true(pidfd >= 0);
	copy = pidfd_fetch(pidfd, ours);
	assert_true(copy >= 0);
	assert_int_equal(pread_exact(copy, text, 4, 0), 0);
	assert_memory_equal(text, "mine", 4);
	assert_int_equal(pidfd_fetch(pidfd, 9999), -EBADF);
	assert_int_equal(pidfd_signal(pidfd, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(pidfd_signal(pidfd, SIGKILL), -ESRCH);
	close(copy);
	close(pidfd);
	close(ours);
}

static void programs_run(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	_cleanup_close_ int in = memory_file("input"), extra = memory_file("extra");
	const struct spawn cat = {.argv = (const char *const[]){"cat", NULL}, .in = SPAWN_FD(in)};
	char script[64];
	const struct spawn sh = {
		.argv = (const char *const[]){"sh", "-c", script, NULL},
		.env = (const char *const[]){"WORD=set", NULL},
		.in = SPAWN_NULL,
		.keep_fds = &extra,
		.n_keep_fds = 1,
	};

	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	assert_int_equal(spawn_run_output(&cat, 100, &text, &size), 0);
	assert_string_equal(text, "input");
	assert_int_equal(size, 5);
	free(text);
	text = NULL;

	snprintf(script, sizeof(script), "echo $WORD; cat <&%d; exit 3", extra);
	lseek(extra, 0, SEEK_SET);
	assert_int_equal(spawn_run_output(&sh, 100, &text, NULL), 3 << 8);
	assert_string_equal(text, "set\nextra");
	free(text);
	text = NULL;
	assert_int_equal(spawn_run_output(&sh, 3, &text, NULL), -EFBIG);
	assert_null(text);

	snprintf(script, sizeof(script), "kill -9 $$");
	assert_int_equal(spawn_run(&sh), 9);
}

static int refuse(void *arg)
{
	return arg ? -EXDEV : 0;
}

static void programs_that_cannot_run(void **state)
{
	struct spawn spawn = {.argv = (const char *const[]){"/nonexistent/program", NULL}};

	assert_int_equal(spawn_run(&spawn), -ENOENT);
	spawn.argv = (const char *const[]){"true", NULL};
	spawn.prepare = refuse;
	assert_int_equal(spawn_run(&spawn), 0);
	spawn.arg = &spawn;
	assert_int_equal(spawn_run(&spawn), -EXDEV);
	spawn.arg = NULL;
	spawn.dirfd = SPAWN_FD(STDIN_FILENO + 1000);
	assert_int_equal(spawn_run(&spawn), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_reads),
		cmocka_unit_test(files_of_any_length),
		cmocka_unit_test(many_are_passed),
		cmocka_unit_test(they_are_moved),
		cmocka_unit_test(pidfds),
		cmocka_unit_test(programs_run),
		cmocka_unit_test(programs_that_cannot_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
