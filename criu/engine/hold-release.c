// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu release: finds the holder (hold.c) of a tree that was restored with --hold, asks it to let
 * the tree run, and waits for its end, so that all is as after a restore without --hold. A socket
 * whose root is no more was left by a holder that was killed together with its guardian, or is
 * about to be removed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/engine.h"
#include "engine/hold-priv.h"
#include "engine/journal.h"
#include "options.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

/* From the answer to the end of the holder, which has nothing to do any more. */
#define END_TIMEOUT_MS 10000

/* A tree that is held: its root, and a connection to its holder. */
struct held {
	pid_t pid;
	int socket;
};

struct held_list {
	struct held *items;
	size_t n, capacity;
};

static void held_list_release(struct held_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		close(list->items[i].socket);
	free(list->items);
}

static bool name_parse(const char *name, pid_t *ret_pid, uint64_t *ret_starttime)
{
	unsigned long long starttime;
	int end = 0;

	if (sscanf(name, "%d-%llu" HOLD_SUFFIX "%n", ret_pid, &starttime, &end) != 2 || !end ||
	    name[end])
		return false;
	*ret_starttime = starttime;
	return true;
}

static int held_connect(int dirfd, const char *name)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	if (fd < 0)
		return -errno;
	hold_address(dirfd, name, &address);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static void held_list_add(struct cr *cr, struct held_list *list, int dirfd, const char *name)
{
	uint64_t starttime;
	pid_t pid;
	int fd;

	if (!name_parse(name, &pid, &starttime))
		return;
	if (journal_starttime(pid) != starttime) {
		log_info(cr, "%s: its tree is gone, removed", name);
		unlinkat(dirfd, name, 0);
		return;
	}
	fd = held_connect(dirfd, name);
	if (fd < 0) {
		log_info(cr, "%s: %s", name, strerrordesc_np(-fd));
		return;
	}
	list->items = array_grow(list->items, &list->capacity, list->n + 1, sizeof(*list->items));
	list->items[list->n++] = (struct held){pid, fd};
}

static int by_pid(const void *a, const void *b)
{
	const struct held *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* 0 also where nobody ever held anything; -errno, logged. */
static int held_list_read(struct cr *cr, struct held_list *list)
{
	_cleanup_close_ int dirfd = journal_dir_open(false);
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	int copy;

	if (dirfd == -ENOENT)
		return 0;
	if (dirfd < 0)
		return log_err(cr, dirfd, "run directory: open");
	copy = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		close_at(&copy);
		return log_err(cr, -errno, "run directory: list");
	}
	while ((entry = readdir(dir)))
		held_list_add(cr, list, dirfd, entry->d_name);
	if (list->n)
		qsort(list->items, list->n, sizeof(*list->items), by_pid);
	return 0;
}

/* "4711 (make), 4712 (sh)" */
static void held_list_print(const struct held_list *list, struct str_buf *ret)
{
	for (size_t i = 0; i < list->n; i++) {
		char path[48], name[32] = "";

		snprintf(path, sizeof(path), "/proc/%d/comm", list->items[i].pid);
		(void)fd_read_file_into(AT_FDCWD, path, name, sizeof(name));
		name[strcspn(name, "\n")] = '\0';
		str_buf_addf(ret, "%s%d (%s)", i ? ", " : "", list->items[i].pid, name);
	}
}

static int choose(struct cr *cr, const struct held_list *list, const struct held **ret)
{
	_cleanup_(str_buf_release) struct str_buf names = {};

	for (size_t i = 0; i < list->n; i++) {
		if (list->items[i].pid != cr->opts->tree && (cr->opts->tree || list->n > 1))
			continue;
		*ret = &list->items[i];
		return 0;
	}
	held_list_print(list, &names);
	if (!list->n && cr->opts->tree)
		return log_refuse(cr, -ESRCH, "--tree %d: is not held", cr->opts->tree);
	if (!list->n)
		return log_refuse(cr, -ESRCH, "no tree is held");
	if (cr->opts->tree)
		return log_refuse(cr, -ESRCH,
				  "--tree %d: is not the root of a tree that is held; "
				  "these are: %s",
				  cr->opts->tree, names.data);
	log_refuse(cr, -EINVAL, "--tree: not given, and several trees are held: %s", names.data);
	log_remedy(cr, "add -t PID");
	return -EINVAL;
}

/* A pidfd of the holder, -1 if it cannot be had: it may be gone. */
static int holder_open(const struct held *held)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(held->socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid <= 0)
		return -1;
	return pidfd_new(peer.pid);
}

static int ask(struct cr *cr, const struct held *held)
{
	_cleanup_close_ int holder = holder_open(held);
	struct pollfd end = {.fd = holder, .events = POLLIN};
	struct hold_answer answer;
	ssize_t n = send(held->socket, HOLD_REQUEST, sizeof(HOLD_REQUEST), MSG_NOSIGNAL);

	while (n >= 0 && (n = recv(held->socket, &answer, sizeof(answer), 0)) < 0 && errno == EINTR)
		n = 0;
	if (n != sizeof(answer))
		return log_refuse(cr, -EPIPE,
				  "pid %d: its holder has ended without an answer: it was killed, "
				  "or somebody else has released the tree",
				  held->pid);
	if (holder >= 0)
		while (poll(&end, 1, END_TIMEOUT_MS) < 0 && errno == EINTR)
			;
	if (!answer.status)
		return 0;
	answer.cause[sizeof(answer.cause) - 1] = '\0';
	return log_refuse(cr, -EIO, "pid %d: was not released: %s", held->pid, answer.cause);
}

int engine_release(struct cr *cr)
{
	_cleanup_(held_list_release) struct held_list list = {};
	const struct held *held = NULL;
	int err = held_list_read(cr, &list);

	if (!err)
		err = choose(cr, &list, &held);
	return err ? err : ask(cr, held);
}
