// SPDX-License-Identifier: GPL-2.0-only
/*
 * fork and exec with what the child shall have. The parent may have threads, so the child makes
 * only async-signal-safe calls: everything that needs memory (the environment, above all) is made
 * ready before the fork. A pipe that exec closes tells the parent why exec did not happen.
 */
#include "util/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "util/alloc.h"
#include "util/fd.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

extern char **environ;

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static bool is_set_again(const char *variable, const char *const *env)
{
	size_t name = strcspn(variable, "=") + 1;

	for (; env && *env; env++) {
		if (strncmp(variable, *env, name) == 0)
			return true;
	}
	return false;
}

/* The texts stay where they are: only the array is new. */
static char **environment(const struct spawn *spawn)
{
	size_t n = 0, n_own = count(spawn->env), n_inherited = count((const char *const *)environ);
	char **env = xcalloc(n_own + n_inherited + 1, sizeof(*env));

	for (size_t i = 0; !spawn->clean_env && i < n_inherited; i++) {
		if (!is_set_again(environ[i], spawn->env))
			env[n++] = environ[i];
	}
	for (size_t i = 0; i < n_own; i++)
		env[n++] = (char *)spawn->env[i];
	return env;
}

/* A descriptor for number 0, 1 or 2 of the child, out of the way of those three; -1: inherit. */
static int stdio_source(int wanted, int *ret_fd)
{
	int fd = wanted - 1;

	*ret_fd = -1;
	if (wanted == 0)
		return 0;
	if (wanted == SPAWN_NULL) {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	}
	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *ret_fd < 0 ? -errno : 0;
}

static int place_descriptors(const struct spawn *spawn, int status_fd)
{
	const int wanted[3] = {spawn->in, spawn->out, spawn->err};
	int source[3];

	for (int i = 0; i < 3; i++) {
		int err = stdio_source(wanted[i], &source[i]);

		if (err < 0)
			return err;
	}
	for (int i = 0; i < 3; i++) {
		if (source[i] >= 0 && dup2(source[i], i) < 0)
			return -errno;
	}
	/* Before 5.11 only what is close-on-exec anyway is closed, which is all that we open. */
	syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < spawn->n_keep_fds; i++) {
		int err = spawn->keep_fds[i] == status_fd ? -EBADF
							  : fd_set_cloexec(spawn->keep_fds[i], 0);

		if (err < 0)
			return err;
	}
	return 0;
}

static int child_exec(const struct spawn *spawn, char **env, int status_fd)
{
	sigset_t none;
	int err;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_DFL);

	err = place_descriptors(spawn, status_fd);
	if (err < 0)
		return err;
	if (spawn->dirfd > 0 && fchdir(spawn->dirfd - 1) < 0)
		return -errno;
	if (spawn->prepare) {
		err = spawn->prepare(spawn->arg);
		if (err < 0)
			return err;
	}
	execvpe(spawn->argv[0], (char *const *)spawn->argv, env);
	return -errno;
}

int spawn_start(const struct spawn *spawn, pid_t *ret_pid)
{
	_cleanup_free_ char **env = environment(spawn);
	_cleanup_close_ int read_end = -1, write_end = -1;
	int pipe_fds[2], err = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	read_end = pipe_fds[0];
	write_end = pipe_fds[1];
	/* Not at 0..2, where a caller without standard descriptors would have it overwritten. */
	err = fd_move_above(&write_end, 3);
	if (err < 0)
		return err;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		err = child_exec(spawn, env, write_end);
		write_all(write_end, &err, sizeof(err));
		_exit(127);
	}

	close(TAKE_FD(write_end));
	n = read_all(read_end, &err, sizeof(err));
	if (n == 0) {
		*ret_pid = pid;
		return 0;
	}
	spawn_wait(pid);
	if (n < 0)
		return (int)n;
	return n == sizeof(err) && err < 0 ? err : -EIO;
}

int spawn_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return status;
}

int spawn_run(const struct spawn *spawn)
{
	pid_t pid = -1;
	int err = spawn_start(spawn, &pid);

	return err < 0 ? err : spawn_wait(pid);
}

/* Reads to the end even when it is too much, so that the program can end. */
static int drain(int fd, size_t max, char **ret_text, size_t *ret_size)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0, capacity = 0;
	char piece[4096];
	ssize_t n;
	bool fits = true;

	while ((n = read_all(fd, piece, sizeof(piece))) > 0) {
		fits = fits && (size_t)n <= max - len;
		if (!fits)
			continue;
		text = array_grow(text, &capacity, len + (size_t)n + 1, 1);
		memcpy(text + len, piece, (size_t)n);
		len += (size_t)n;
	}
	if (n < 0)
		return (int)n;
	if (!fits)
		return -EFBIG;
	text = array_grow(text, &capacity, len + 1, 1);
	text[len] = '\0';
	*ret_text = TAKE_PTR(text);
	if (ret_size)
		*ret_size = len;
	return 0;
}

int spawn_run_output(const struct spawn *spawn, size_t max, char **ret_text, size_t *ret_size)
{
	_cleanup_close_ int read_end = -1, write_end = -1;
	struct spawn with_pipe = *spawn;
	int pipe_fds[2], err, status;
	pid_t pid = -1;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	read_end = pipe_fds[0];
	write_end = pipe_fds[1];
	with_pipe.out = SPAWN_FD(write_end);

	err = spawn_start(&with_pipe, &pid);
	if (err < 0)
		return err;
	close(TAKE_FD(write_end));
	err = drain(read_end, max, ret_text, ret_size);
	status = spawn_wait(pid);
	if (err < 0)
		return err;
	if (status < 0) {
		free(*ret_text);
		*ret_text = NULL;
	}
	return status;
}
