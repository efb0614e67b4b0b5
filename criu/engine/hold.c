// SPDX-License-Identifier: GPL-2.0-only
/*
 * The holder of a restored tree that does not run yet (criu restore --hold). The threads of the
 * tree are stopped by ptrace(2), which ends with the process that traces them: so it is not the
 * command that restores, but a process that it forks and that outlives it. It is a run like any
 * other: signals cancel it, it has a guardian, and what it did is undone if it is killed. What it
 * keeps of its caller is nothing: who started the command may wait for the end of its output.
 *
 * Needs the run directory, where `criu release` finds the holder's socket.
 */
#include "engine/hold.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/guardian.h"
#include "engine/hold-priv.h"
#include "engine/journal.h"
#include "engine/stages.h"
#include "run.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/report.h"
#include "util/stats.h"

/* How long who has connected may take to say what he wants. */
#define REQUEST_TIMEOUT_MS 5000
/* How often it is looked whether all are still alive: of a task that is traced no descriptor tells.
 */
#define LOOK_MS 1000

struct hold {
	const struct hold_work *work;
	int command; /* pipe to the command; -1 once that knows */
	int dirfd, socket;
	int client; /* who asked for the release and waits for an answer; -1: nobody */
	char name[HOLD_NAME_MAX];
	int undo_id;
	int *inherited; /* descriptors that are the caller's */
	size_t n_inherited;
};

void hold_address(int dirfd, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dirfd, name);
}

/* ---- the command's process ---- */

/* What came through exec: all of ours is closed by it. */
static void note_inherited(struct hold *hold)
{
	_cleanup_closedir_ DIR *list = opendir("/proc/self/fd");
	size_t capacity = 0;
	struct dirent *entry;

	while (list && (entry = readdir(list))) {
		int fd = atoi(entry->d_name), flags = fcntl(fd, F_GETFD);

		if (fd <= STDERR_FILENO || flags < 0 || flags & FD_CLOEXEC)
			continue;
		hold->inherited = array_grow(hold->inherited, &capacity, hold->n_inherited + 1,
					     sizeof(*hold->inherited));
		hold->inherited[hold->n_inherited++] = fd;
	}
}

static int holder_status(struct cr *cr, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return log_err(cr, -errno, "--hold: wait for the process that restores");
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return log_refuse(cr, -ECHILD, "--hold: the process that restores was killed by SIG%s",
			  sigabbrev_np(WTERMSIG(status)));
}

static void pass_signal(int signals, int pidfd)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) == sizeof(info))
		pidfd_signal(pidfd, (int)info.ssi_signo);
}

/* 0: it holds; else as holder_status(). Tasks have copies of the pipe: its end tells nothing. */
static int wait_for_holder(struct cr *cr, pid_t pid, int pipe, int signals)
{
	_cleanup_close_ int pidfd = pidfd_new(pid);
	struct pollfd fds[] = {{.fd = pipe, .events = POLLIN},
			       {.fd = pidfd, .events = POLLIN},
			       {.fd = signals, .events = POLLIN}};

	if (pidfd < 0)
		return log_err(cr, pidfd, "--hold: pidfd of the process that restores");
	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[0].revents & POLLIN)
			return 0;
		if (fds[1].revents)
			return holder_status(cr, pid);
		if (fds[2].revents)
			pass_signal(signals, pidfd);
	}
}

static void holder_answer(struct cr *cr, struct hold *hold, int status)
{
	const struct report_cause *cause = cr->report ? report_cause_get(cr->report) : NULL;
	struct hold_answer answer = {.status = status};

	if (hold->client < 0)
		return;
	if (status && cause)
		snprintf(answer.cause, sizeof(answer.cause), "%s%s%s", cause->text,
			 *cause->remedy ? "; " : "", cause->remedy);
	send(hold->client, &answer, sizeof(answer), MSG_NOSIGNAL);
}

static void holder_main(struct cr *cr, struct hold *hold) __attribute__((noreturn));
static void holder_main(struct cr *cr, struct hold *hold)
{
	int status;

	cr->hold = hold;
	status = hold->work->restore(cr, hold->work->arg);
	holder_answer(cr, hold, status);
	_exit(status);
}

int hold_run(struct cr *cr, const struct hold_work *work)
{
	struct hold hold = {.work = work, .dirfd = -1, .socket = -1, .client = -1};
	struct sigaction standard = {.sa_handler = SIG_DFL};
	_cleanup_close_ int signals = -1, read_end = -1, write_end = -1;
	sigset_t set, old;
	int pipe[2], err;
	pid_t pid;

	if (pipe2(pipe, O_CLOEXEC) < 0)
		return log_err(cr, -errno, "--hold: pipe");
	read_end = pipe[0];
	hold.command = write_end = pipe[1];
	note_inherited(&hold);

	/* Where it is ignored nobody can be waited for. */
	sigaction(SIGCHLD, &standard, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &old);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0) {
		err = log_err(cr, -errno, "--hold: signalfd");
	} else {
		pid = fork();
		if (pid == 0) {
			close_at(&signals);
			close_at(&read_end);
			sigprocmask(SIG_SETMASK, &old, NULL);
			holder_main(cr, &hold);
		}
		err = pid < 0 ? log_err(cr, -errno, "--hold: fork the process that restores")
			      : wait_for_holder(cr, pid, read_end, signals);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	free(hold.inherited);
	return err;
}

/* ---- the holder ---- */

int hold_prepare(struct cr *cr)
{
	if (!cr->hold)
		return 0;
	cr->hold->dirfd = journal_dir_open(true);
	if (cr->hold->dirfd < 0)
		return log_err(cr, cr->hold->dirfd, "--hold: open the run directory");
	return 0;
}

static int holder_listen(struct cr *cr, struct hold *hold)
{
	pid_t pid = cr->tree->root->host_pid;
	struct sockaddr_un address;

	snprintf(hold->name, sizeof(hold->name), "%d-%llu" HOLD_SUFFIX, pid,
		 (unsigned long long)journal_starttime(pid));
	hold->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (hold->socket < 0)
		return log_err(cr, -errno, "--hold: socket");
	hold->undo_id = undo_add_remove(cr, hold->dirfd, hold->name);
	if (hold->undo_id < 0)
		return hold->undo_id;
	hold_address(hold->dirfd, hold->name, &address);
	if (bind(hold->socket, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(hold->socket, SOMAXCONN) < 0)
		return log_err(cr, -errno, "--hold: socket %s in the run directory", hold->name);
	return 0;
}

/* From now on nobody is released: who asks finds nobody, or hears nothing. */
static void holder_deafen(struct cr *cr, struct hold *hold)
{
	if (hold->undo_id > 0) {
		unlinkat(hold->dirfd, hold->name, 0);
		undo_forget(cr, hold->undo_id);
	}
	close_at(&hold->socket);
	close_at(&hold->dirfd);
	hold->socket = hold->dirfd = -1;
}

static int leave_caller(struct cr *cr, struct hold *hold)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return log_err(cr, -errno, "--hold: open /dev/null");
	if (setsid() < 0)
		return log_err(cr, -errno, "--hold: setsid");
	for (size_t i = 0; i < hold->n_inherited; i++) {
		int flags = fcntl(hold->inherited[i], F_GETFD);

		/* It may be another by now, of ours. */
		if (flags >= 0 && !(flags & FD_CLOEXEC))
			close(hold->inherited[i]);
	}
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return log_err(cr, -errno, "--hold: /dev/null as descriptor %d", fd);
	return 0;
}

static int tell_command(struct cr *cr, struct hold *hold)
{
	const char held = 1;
	int err = hold->work->held(cr, hold->work->arg);

	if (err < 0)
		return err;
	err = leave_caller(cr, hold);
	if (err < 0)
		return err;
	/* Killed: nobody knows that there is something to be released. */
	err = write_all(hold->command, &held, sizeof(held));
	close_at(&hold->command);
	hold->command = -1;
	return err < 0 ? log_err(cr, err, "--hold: tell the command that the tree is held") : 0;
}

static bool is_allowed(int client)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* Who only looks whether somebody is here says nothing. */
static bool asks_for_release(struct cr *cr, int client)
{
	char request[sizeof(HOLD_REQUEST)];

	return is_allowed(client) && plan_wait_fd(cr, client, POLLIN, REQUEST_TIMEOUT_MS) > 0 &&
	       recv(client, request, sizeof(request), MSG_DONTWAIT) == sizeof(request) &&
	       memcmp(request, HOLD_REQUEST, sizeof(request)) == 0;
}

/* Until somebody connects (0), the run is cancelled, or a task or the guardian is dead. */
static int wait_for_client(struct cr *cr, const struct hold *hold)
{
	for (;;) {
		int ret = plan_wait_fd(cr, hold->socket, POLLIN, LOOK_MS);

		if (ret == -ECANCELED)
			return ret;
		if (ret < 0)
			return log_err(cr, ret, "--hold: wait for the release");
		if (ret > 0)
			return 0;
		ret = stages_check_alive(cr);
		if (!ret)
			ret = guardian_check(cr);
		if (ret)
			return ret;
	}
}

static int serve(struct cr *cr, struct hold *hold)
{
	for (;;) {
		_cleanup_close_ int client = -1;
		int err = wait_for_client(cr, hold);

		if (err < 0)
			return err;
		client = accept4(hold->socket, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0 && asks_for_release(cr, client)) {
			hold->client = TAKE_FD(client);
			return 0;
		}
	}
}

int hold_wait(struct cr *cr)
{
	struct hold *hold = cr->hold;
	int err;

	if (!hold)
		return 0;
	err = holder_listen(cr, hold);
	/* What is cancelled by now was never held. */
	if (!err && plan_is_cancelled(cr))
		err = -ECANCELED;
	if (!err)
		err = tell_command(cr, hold);
	if (!err) {
		log_info(cr, "pid %d: held, for criu release", cr->tree->root->host_pid);
		/* Nobody restores meanwhile. */
		stats_end(cr->stats, STATS_RESTORE_TIME);
		err = serve(cr, hold);
		stats_begin(cr->stats, STATS_RESTORE_TIME);
	}
	holder_deafen(cr, hold);
	return err;
}
