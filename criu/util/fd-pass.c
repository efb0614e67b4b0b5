// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors that come from another process: over a unix socket (SCM_RIGHTS), or by a pidfd. The
 * kernel takes at most 253 descriptors in a message (SCM_MAX_FD), and a stream socket never joins
 * two messages that carry any, so that each batch arrives as it was sent, with the one byte that a
 * message must have.
 */
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "compel/base/bits.h"

union batch_control {
	char bytes[CMSG_SPACE(FD_BATCH * sizeof(int))];
	struct cmsghdr align;
};

static int send_batch(int socket, const int *fds, size_t n)
{
	union batch_control control = {};
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	ssize_t sent;

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(head), fds, n * sizeof(int));

	do {
		sent = sendmsg(socket, &msg, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int fds_send(int socket, const int *fds, size_t n)
{
	for (size_t done = 0; done < n; done += FD_BATCH) {
		int err = send_batch(socket, fds + done, MIN(n - done, (size_t)FD_BATCH));

		if (err < 0)
			return err;
	}
	return 0;
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* What arrived is closed if it is not what was expected. */
static int take_batch(struct msghdr *msg, int *ret_fds, size_t n)
{
	bool complete = false;

	for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head; head = CMSG_NXTHDR(msg, head)) {
		size_t got = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[FD_BATCH];

		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		got = MIN(got, (size_t)FD_BATCH);
		memcpy(fds, CMSG_DATA(head), got * sizeof(int));
		if (got != n || complete || (msg->msg_flags & MSG_CTRUNC)) {
			close_all(fds, got);
			if (complete)
				close_all(ret_fds, n);
			return -EBADMSG;
		}
		memcpy(ret_fds, fds, n * sizeof(int));
		complete = true;
	}
	return complete ? 0 : -EBADMSG;
}

static int recv_batch(int socket, int *ret_fds, size_t n)
{
	union batch_control control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got;

	do {
		got = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (got == 0)
		return -ECONNRESET;
	return take_batch(&msg, ret_fds, n);
}

int fds_receive(int socket, int *ret_fds, size_t n)
{
	for (size_t done = 0; done < n; done += FD_BATCH) {
		int err = recv_batch(socket, ret_fds + done, MIN(n - done, (size_t)FD_BATCH));

		if (err < 0) {
			close_all(ret_fds, done);
			return err;
		}
	}
	return 0;
}

int send_fd(int socket, int fd)
{
	return fds_send(socket, &fd, 1);
}

int recv_fd(int socket)
{
	int fd = -1, err = fds_receive(socket, &fd, 1);

	return err < 0 ? err : fd;
}

int pidfd_new(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

int pidfd_new_thread(pid_t tid)
{
	/* PIDFD_THREAD, newer than the headers that we may be built with. */
	long fd = syscall(SYS_pidfd_open, tid, O_EXCL);

	return fd < 0 ? -errno : (int)fd;
}

int pidfd_fetch(int pidfd, int target_fd)
{
	long fd = syscall(SYS_pidfd_getfd, pidfd, target_fd, 0);

	return fd < 0 ? -errno : (int)fd;
}

int pidfd_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}
