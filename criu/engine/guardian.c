/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guardian. The tool writes what is to be undone into the journal itself, before it acts: so a
 * record outlives tool and guardian at the cost of one write(2), and needs no answer. The guardian
 * shares the journal's file, and merely waits for the tool to end, seen by a pidfd (a socket alone
 * would be kept open by tasks the tool has forked) or by the end of the socket. If the tool did not
 * say before that it is done, the guardian undoes the journal. By the socket it also gets
 * descriptors of directories that records name, as it may not be able to reach them by path.
 *
 * It is forked without a death signal to the tool (exit_signal 0), so that no wait(2) for tasks
 * meets it, and with all signals blocked: only SIGKILL ends it, and that the tool notices.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/guardian.h"
#include "engine/journal.h"
#include "engine/run-priv.h"
#include "engine/undo.h"
#include "run.h"
#include "util/fd.h"
#include "util/log.h"

/* How often the journal is looked at again while it is undone: where nothing can be written to it,
 * it is never done. */
#define UNDO_ROUNDS 100

/* A dying process closes its files first, and then lets go of whom it traces. */
#define DYING_MS 10000

struct guardian {
	int journal;
	int dirfd; /* of the journal, -1: it is in memory only */
	char name[JOURNAL_NAME_MAX];
	int socket;
	int pidfd; /* the guardian's; in the guardian: the tool's */
	pid_t pid;
	bool is_linked;       /* the journal has its name */
	pthread_mutex_t lock; /* of is_linked and dirs; not held across fork */
	struct undo_dirs dirs;
	uint32_t last_id; /* of records, outside of a run */
	bool has_ended;   /* it was told to go; still to be waited for */
};

enum message_type { MESSAGE_DIR, MESSAGE_DONE, MESSAGE_UNDO };

struct message {
	uint32_t type;
	uint32_t zero;
	uint64_t dev, ino;
};

static void guardian_free(struct guardian *guardian)
{
	int *fds[] = {&guardian->journal, &guardian->dirfd, &guardian->socket, &guardian->pidfd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close_at(fds[i]);
	undo_dirs_close(&guardian->dirs);
	pthread_mutex_destroy(&guardian->lock);
	free(guardian);
}

DEFINE_CLEANUP(struct guardian *, guardian_free)

/* ---- the guardian's side ---- */

/* Closes all but the guardian's own descriptors. */
static void keep_own_fds(const struct guardian *guardian)
{
	int own[] = {guardian->journal, guardian->dirfd, guardian->socket, guardian->pidfd};
	int next = 0;

	while (next >= 0) {
		int lowest = -1;

		for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
			if (own[i] >= next && (lowest < 0 || own[i] < lowest))
				lowest = own[i];
		}
		if (lowest < 0)
			fd_close_range((unsigned int)next, ~0U);
		else if (lowest > next)
			fd_close_range((unsigned int)next, (unsigned int)lowest - 1);
		next = lowest < 0 ? -1 : lowest + 1;
	}
}

/* One message of the tool's: 1, or 0 where there is none now, -1 where there will be none any more.
 */
static int message_take(struct guardian *guardian, bool *is_done, bool *is_left)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct message message;
	struct iovec iov = {&message, sizeof(message)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(guardian->socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n != sizeof(message))
		return -1;
	if (message.type == MESSAGE_DONE)
		*is_done = true;
	if (message.type == MESSAGE_UNDO)
		*is_left = true;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		int fd;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
		undo_dirs_add(&guardian->dirs, message.dev, message.ino, fd);
		close(fd);
	}
	return 1;
}

/* Returns when the tool is done, dead, or leaves the rest to the guardian; true if it is done. */
static bool wait_for_end(struct guardian *guardian)
{
	struct pollfd fds[] = {{.fd = guardian->socket, .events = POLLIN},
			       {.fd = guardian->pidfd, .events = POLLIN}};
	bool is_done = false, is_dead = false, is_left = false;
	int ret = 1;

	while (!is_done && !is_dead && !is_left && ret >= 0) {
		if (poll(fds, 2, -1) < 0)
			continue;
		is_dead = fds[1].revents != 0;
		/* All that it managed to send. */
		do
			ret = message_take(guardian, &is_done, &is_left);
		while (ret > 0);
	}
	/* What it traces cannot be helped by anybody else as long as it does. */
	if (!is_done && !is_dead && !is_left)
		poll(&fds[1], 1, DYING_MS);
	return is_done;
}

/*
 * Tasks of a restore add records as well, until they are dead: so it is read until it holds
 * nothing.
 */
static int guardian_undo_all(const struct guardian *guardian)
{
	for (int i = 0; i < UNDO_ROUNDS; i++) {
		_cleanup_journal_ struct journal *journal = NULL;
		int err = journal_load(guardian->journal, &journal);

		if (err < 0 || !journal->n_records)
			return err;
		if (undo_journal(guardian->journal, &guardian->dirs, journal, NULL, NULL))
			return -EIO;
	}
	return -EIO;
}

static void guardian_main(struct guardian *guardian, int socket, int tool_pidfd)
{
	setsid();
	close(guardian->socket);
	guardian->socket = socket;
	guardian->pidfd = tool_pidfd;
	if (journal_lock(guardian->journal, JOURNAL_LOCK_UNDO, 0) < 0)
		_exit(1);
	keep_own_fds(guardian);
	prctl(PR_SET_NAME, "criu-guardian");
	fd_write_file(AT_FDCWD, "/proc/self/oom_score_adj", "-1000");
	if (chdir("/") < 0)
		_exit(1);

	if (wait_for_end(guardian))
		_exit(0);
	if (guardian_undo_all(guardian) < 0)
		/* The journal stays, for `criu recover`. */
		_exit(1);
	if (guardian->dirfd >= 0)
		unlinkat(guardian->dirfd, guardian->name, 0);
	_exit(0);
}

/* ---- the tool's side ---- */

static int guardian_fork(struct cr *cr, struct guardian *guardian)
{
	_cleanup_close_ int tool_pidfd = pidfd_new(getpid());
	_cleanup_close_ int socket = -1;
	struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&guardian->pidfd};
	sigset_t all, old;
	int sockets[2];
	long pid;

	if (tool_pidfd < 0)
		return log_err(cr, tool_pidfd, "guardian: pidfd of the tool");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return log_err(cr, -errno, "guardian: socket");
	guardian->socket = sockets[0];
	socket = sockets[1];

	/* Blocked from its first moment on: a ^C meant for the tool must not end it before it has a
	 * session. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		guardian_main(guardian, socket, tool_pidfd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return log_err(cr, -errno, "guardian: fork");
	guardian->pid = (pid_t)pid;
	return 0;
}

static int journal_make(struct cr *cr, struct guardian *guardian)
{
	guardian->dirfd = journal_dir_open(true);
	/* Before ours is there: who closes a file gives up all the locks it has on it. */
	if (guardian->dirfd >= 0)
		journal_sweep(guardian->dirfd);
	guardian->journal = guardian->dirfd < 0 ? guardian->dirfd
						: journal_create(guardian->dirfd, guardian->name,
								 &guardian->is_linked);
	if (guardian->journal >= 0)
		return 0;
	log_warn(cr,
		 "undo journal: cannot be kept on disk (%s): `criu recover` will not know of this "
		 "run",
		 strerrordesc_np(-guardian->journal));
	close_at(&guardian->dirfd);
	guardian->dirfd = -1;
	guardian->journal = journal_create_in_memory();
	return guardian->journal < 0 ? log_err(cr, guardian->journal, "undo journal: create") : 0;
}

static void journal_unmake(const struct guardian *guardian)
{
	struct stat st;

	/* It may be a forked task that has named it. */
	if (guardian->dirfd >= 0 && fstat(guardian->journal, &st) == 0 && st.st_nlink)
		unlinkat(guardian->dirfd, guardian->name, 0);
}

int guardian_start(struct cr *cr)
{
	_cleanup_(guardian_free_at) struct guardian *guardian = calloc(1, sizeof(*guardian));
	int err;

	if (!guardian)
		return log_err(cr, -ENOMEM, "guardian: start");
	guardian_reap(cr);
	guardian->journal = guardian->dirfd = guardian->socket = guardian->pidfd = -1;
	pthread_mutex_init(&guardian->lock, NULL);
	err = journal_make(cr, guardian);
	if (err < 0)
		return err;
	err = guardian_fork(cr, guardian);
	if (err < 0) {
		journal_unmake(guardian);
		return err;
	}
	cr->guardian = TAKE_PTR(guardian);
	return 0;
}

static bool is_guarded(const struct cr *cr)
{
	return cr->guardian && !cr->guardian->has_ended;
}

int guardian_check(struct cr *cr)
{
	struct pollfd poll_fd = {.events = POLLIN};

	if (!is_guarded(cr))
		return 0;
	poll_fd.fd = cr->guardian->pidfd;
	if (poll(&poll_fd, 1, 0) == 0)
		return 0;
	return log_refuse(cr, -EPIPE, "guardian: pid %d: was killed; not going on without it",
			  cr->guardian->pid);
}

/*
 * Lets the guardian go, who was told before what it is to do. It takes as long to exit as it took
 * to fork, so nobody waits for it here: guardian_reap() does, when it most likely is gone.
 */
static void guardian_end(struct guardian *guardian)
{
	shutdown(guardian->socket, SHUT_RDWR);
	guardian->has_ended = true;
}

void guardian_reap(struct cr *cr)
{
	struct guardian *guardian = cr->guardian;

	if (!guardian)
		return;
	while (guardian->has_ended && waitpid(guardian->pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	cr->guardian = NULL;
	guardian_free(guardian);
}

void guardian_commit(struct cr *cr)
{
	struct guardian *guardian = cr->guardian;
	struct message done = {.type = MESSAGE_DONE};

	if (!is_guarded(cr))
		return;
	/* The record is for `criu recover`, in case the file cannot be removed. */
	journal_append(guardian->journal, 0, JOURNAL_COMMIT, NULL, 0);
	journal_unmake(guardian);
	/* Last, for until then the guardian would remove the file if we were killed. */
	send(guardian->socket, &done, sizeof(done), MSG_NOSIGNAL);
	guardian_end(guardian);
}

static void undo_told_log(void *arg, const struct journal_record *record, int ret)
{
	undo_log(arg, LOG_DEBUG, record, ret);
}

void guardian_undo(struct cr *cr)
{
	struct guardian *guardian = cr->guardian;
	_cleanup_journal_ struct journal *journal = NULL;
	struct message undo = {.type = MESSAGE_UNDO};
	size_t n_failed;
	int err;

	if (!is_guarded(cr))
		return;
	err = journal_load(guardian->journal, &journal);
	if (err < 0) {
		log_err(cr, err, "undo journal: read");
		send(guardian->socket, &undo, sizeof(undo), MSG_NOSIGNAL);
		guardian_end(guardian);
		return;
	}
	n_failed = undo_journal(guardian->journal, &guardian->dirs, journal, undo_told_log, cr);
	if (!n_failed) {
		guardian_commit(cr);
		return;
	}
	log_warn(cr, "undo journal: %zu things could not be undone; `criu recover` tries again",
		 n_failed);
	/* Uncommitted: so does the guardian, once. */
	send(guardian->socket, &undo, sizeof(undo), MSG_NOSIGNAL);
	guardian_end(guardian);
}

void guardian_leave(struct cr *cr)
{
	if (!cr->guardian)
		return;
	guardian_free(cr->guardian);
	cr->guardian = NULL;
}

pid_t guardian_pid(const struct cr *cr)
{
	return is_guarded(cr) ? cr->guardian->pid : 0;
}

/* ---- records ---- */

static int journal_show(struct cr *cr, struct guardian *guardian)
{
	int err = 0;

	pthread_mutex_lock(&guardian->lock);
	if (!guardian->is_linked && guardian->dirfd >= 0)
		err = journal_link(guardian->journal, guardian->dirfd, guardian->name);
	guardian->is_linked = !err;
	pthread_mutex_unlock(&guardian->lock);
	return err < 0 ? log_err(cr, err, "undo journal: name %s", guardian->name) : 0;
}

int guardian_show(struct cr *cr)
{
	return is_guarded(cr) ? journal_show(cr, cr->guardian) : 0;
}

int undo_add(struct cr *cr, const char *kind, const char *const *fields, size_t n_fields)
{
	struct guardian *guardian = cr->guardian;
	uint32_t id;
	int err;

	if (!is_guarded(cr))
		return 0;
	err = journal_show(cr, guardian);
	if (err < 0)
		return err;
	id = __atomic_add_fetch(cr->run ? &cr->run->last_undo_id : &guardian->last_id, 1,
				__ATOMIC_RELAXED);
	err = journal_append(guardian->journal, id, kind, fields, n_fields);
	if (err < 0)
		return log_err(cr, err, "undo journal: append \"%s\"", kind);
	err = guardian_check(cr);
	return err < 0 ? err : (int)id;
}

void undo_forget(struct cr *cr, int id)
{
	char text[16];
	const char *fields[] = {text};
	int err;

	if (!is_guarded(cr) || id <= 0)
		return;
	snprintf(text, sizeof(text), "%d", id);
	err = journal_append(cr->guardian->journal, 0, JOURNAL_FORGET, fields, 1);
	if (err < 0)
		log_warn(cr, "undo journal: forget %d: %s", id, strerrordesc_np(-err));
}

void undo_now(struct cr *cr, int id)
{
	_cleanup_journal_ struct journal *journal = NULL;
	struct guardian *guardian = cr->guardian;
	int err;

	if (!is_guarded(cr) || id <= 0)
		return;
	err = journal_load(guardian->journal, &journal);
	if (err < 0) {
		log_err(cr, err, "undo journal: read");
		return;
	}
	for (size_t i = 0; i < journal->n_records; i++) {
		if (journal->records[i].id != (uint32_t)id)
			continue;
		err = undo_record(&guardian->dirs, journal->is_this_boot, &journal->records[i]);
		undo_log(cr, LOG_DEBUG, &journal->records[i], err);
		if (err >= 0)
			undo_forget(cr, id);
		return;
	}
}

/* Hands the guardian a descriptor of the directory, unless it has one. As it is only a help, it may
 * fail. */
static void dir_send(struct guardian *guardian, const struct stat *st, int dirfd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct message message = {.type = MESSAGE_DIR, .dev = st->st_dev, .ino = st->st_ino};
	struct iovec iov = {&message, sizeof(message)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	bool is_new;

	pthread_mutex_lock(&guardian->lock);
	is_new = undo_dirs_add(&guardian->dirs, st->st_dev, st->st_ino, dirfd);
	pthread_mutex_unlock(&guardian->lock);
	if (!is_new)
		return;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(dirfd));
	memcpy(CMSG_DATA(cmsg), &dirfd, sizeof(dirfd));
	sendmsg(guardian->socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* A record whose first two fields, left out by the caller, name the directory. */
static int undo_add_in_dir(struct cr *cr, const char *kind, int dirfd, const char *name,
			   const char *text)
{
	_cleanup_close_ int parent = -1;
	_cleanup_free_ char *path = NULL;
	char link[32], inode[48];
	const char *fields[] = {NULL, inode, name, text};
	struct stat st;
	int err;

	if (!is_guarded(cr))
		return 0;
	if (name && (dirfd == AT_FDCWD || strchr(name, '/'))) {
		dirfd = parent = undo_parent_open(dirfd, name, &fields[2]);
		if (parent < 0)
			return log_err(cr, parent, "undo journal: folder of %s", name);
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	if (fstatat(dirfd, "", &st, AT_EMPTY_PATH) < 0)
		return log_err(cr, -errno, "undo journal: directory of \"%s\"", kind);
	err = fd_read_link(AT_FDCWD, link, &path);
	if (err < 0)
		return log_err(cr, err, "undo journal: %s", link);
	snprintf(inode, sizeof(inode), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	dir_send(cr->guardian, &st, dirfd);
	fields[0] = path;
	return undo_add(cr, kind, fields, text ? 4 : name ? 3 : 2);
}

int undo_add_remove(struct cr *cr, int dirfd, const char *name)
{
	return undo_add_in_dir(cr, "remove", dirfd, name, NULL);
}

int undo_add_remove_link(struct cr *cr, int dirfd, const char *name, const struct stat *st)
{
	char inode[48];

	snprintf(inode, sizeof(inode), "%llu:%llu", (unsigned long long)st->st_dev,
		 (unsigned long long)st->st_ino);
	return undo_add_in_dir(cr, "remove-link", dirfd, name, inode);
}

int undo_add_images(struct cr *cr, int dirfd)
{
	return undo_add_in_dir(cr, "images", dirfd, NULL, NULL);
}

int undo_add_write(struct cr *cr, int dirfd, const char *name, const char *text)
{
	return undo_add_in_dir(cr, "write", dirfd, name, text);
}

static int undo_add_process(struct cr *cr, const char *kind, pid_t pid, const char *signal)
{
	char pid_text[16], start_text[24];
	const char *fields[] = {pid_text, start_text, signal};
	uint64_t starttime;

	if (!is_guarded(cr))
		return 0;
	starttime = journal_starttime(pid);
	if (!starttime)
		return log_err(cr, -ESRCH, "pid %d: undo record \"%s\"", pid, kind);
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	snprintf(start_text, sizeof(start_text), "%llu", (unsigned long long)starttime);
	return undo_add(cr, kind, fields, signal ? 3 : 2);
}

int undo_add_signal(struct cr *cr, pid_t pid, int sig)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", sig);
	return undo_add_process(cr, "signal", pid, text);
}

int undo_add_kill_tree(struct cr *cr, pid_t pid)
{
	return undo_add_process(cr, "kill-tree", pid, NULL);
}

int undo_add_umount(struct cr *cr, const char *path)
{
	char text[24];
	const char *fields[] = {path, text};

	if (!is_guarded(cr))
		return 0;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)undo_mount_id(path));
	return undo_add(cr, "umount", fields, 2);
}
