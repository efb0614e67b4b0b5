// SPDX-License-Identifier: GPL-2.0-only
/*
 * What probes have in common: how errors of a system call become an answer, and the places where a
 * probe that changes something is run, so that nothing of it is left: a child of ours, a mount
 * namespace, a traced child.
 */
#include "kernel/probes.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/spawn.h"

int probe_answer(long result)
{
	if (result >= 0)
		return 1;
	switch (-result) {
	case ENOSYS:
	case EINVAL:
	case ENOTTY:
	case ENOENT:
	case ENODEV:
	case ENXIO:
	case EOPNOTSUPP:
	case ENOPROTOOPT:
	case EPROTONOSUPPORT:
	case EAFNOSUPPORT:
	case EIO:
		return 0;
	default:
		return (int)result;
	}
}

int probe_errno(long result)
{
	return probe_answer(result < 0 ? -errno : result);
}

int probe_path(const char *path)
{
	return probe_errno(access(path, F_OK));
}

/* The answer as an exit status and back: errors are all below 200. */
#define EXIT_ERROR 2

static void __attribute__((noreturn)) exit_with(int answer)
{
	_exit(answer >= 0 ? answer : EXIT_ERROR - answer);
}

static int answer_of(int status)
{
	int code = WEXITSTATUS(status);

	if (status < 0)
		return status;
	/* What killed it is not known, so neither is the answer. */
	if (!WIFEXITED(status))
		return -ECHILD;
	return code < EXIT_ERROR ? code : EXIT_ERROR - code;
}

int probe_in_child(int (*probe)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		exit_with(probe());
	return answer_of(spawn_wait(pid));
}

/* On a directory that every system has; nobody else sees it. */
static int enter_empty_filesystem(void)
{
	static const char *const places[] = {"/tmp", "/mnt", "/run", "/sys"};

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (mount("probe", places[i], "tmpfs", 0, "size=1m") == 0)
			return chdir(places[i]) < 0 ? -errno : 0;
	}
	return -errno;
}

int probe_in_mounts(int (*probe)(void))
{
	pid_t pid = fork();
	int err;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		err = enter_empty_filesystem();
		exit_with(err < 0 ? err : probe());
	}
	return answer_of(spawn_wait(pid));
}

int probe_traced(int (*probe)(pid_t pid))
{
	pid_t pid = fork();
	int answer, status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		for (;;)
			pause();
	}
	answer = ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 ? -errno : 0;
	if (answer == 0 && ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
		answer = -errno;
	if (answer == 0) {
		status = spawn_wait(pid);
		answer = status < 0 || !WIFSTOPPED(status) ? -ECHILD : probe(pid);
	}
	kill(pid, SIGKILL);
	do {
		status = spawn_wait(pid);
	} while (status >= 0 && WIFSTOPPED(status));
	return answer;
}
