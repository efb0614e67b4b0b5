// SPDX-License-Identifier: LGPL-2.1-only
/*
 * The command loop, seen from the host. The blob makes a socket pair; the host takes a duplicate of
 * one end with pidfd_getfd as the thread is stopped on that call's return, so no path name, no port
 * and no network namespace matters. Messages are small and of fixed size; bulk goes straight
 * between the two memories.
 *
 * While the loop runs, the main thread is not stopped, but still traced: it may stop for a signal
 * no one can block. So every wait for an answer looks at that as well now and then.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "compel/lib/session-priv.h"
#include "compel/pie/control.h"
#include "compel/ptrace.h"

/* Between looks at threads that run: at first often, for most answers come soon or a signal has
 * come in between. */
enum { LOOK_FIRST_MS = 1, LOOK_LATER_MS = 20 };

union fd_message {
	char room[CMSG_SPACE(COMPEL_RPC_FDS_MAX * sizeof(int))];
	struct cmsghdr header;
};

/* The thread is to be stopped where socketpair returns. */
static int run_to_socketpair(struct compel_session *s, struct thread *t)
{
	struct user_regs_struct r;
	long ret;
	int err = 0;

	for (int stop = 0; stop < 2 && err == 0; stop++) {
		err = session_thread_resume(s, t, true);
		if (err == 0)
			err = session_thread_wait_syscall(s, t);
	}
	if (err == 0)
		err = compel_arch_general_get(t->tid, &r);
	if (err < 0)
		return err;
	ret = compel_arch_syscall_result(&r);
	return ret < 0 ? session_say(s, COMPEL_ERROR, ret, "make a socket pair in it") : 0;
}

static int take_socket(struct compel_session *s)
{
	int32_t theirs;
	int err = session_memory_read(s->pid,
				      s->area.control + offsetof(struct compel_control, pair),
				      &theirs, sizeof(theirs));

	if (err < 0)
		return session_say(s, COMPEL_ERROR, err, "read the blob's socket number");
	s->sock = syscall(__NR_pidfd_getfd, s->pidfd, theirs, 0);
	if (s->sock < 0)
		return session_say(s, COMPEL_ERROR, -errno, "duplicate descriptor %d of it",
				   theirs);
	return 0;
}

int session_main_serve(struct compel_session *s)
{
	struct thread *t = session_thread_find(s, s->main_tid);
	struct user_regs_struct r;
	int err;

	if (!s->area.size)
		return session_say(s, COMPEL_ERROR, -EINVAL, "no blob is loaded");
	if (t->state == THREAD_RUNNING && !t->is_faulted)
		return 0;
	err = session_main_stop(s);
	if (err < 0)
		return err;
	r = t->regs->general;
	compel_arch_set_call(&r, s->area.serve, s->area.stacks + s->area.stack_size, 0);
	err = session_thread_set(s, t, &r);
	if (err == 0 && s->sock < 0) {
		err = run_to_socketpair(s, t);
		if (err == 0)
			err = take_socket(s);
	}
	if (err < 0) {
		session_thread_rest(s, t);
		return err;
	}
	err = session_thread_resume(s, t, false);
	if (err == 0)
		t->state = THREAD_RUNNING;
	return err;
}

int session_main_stop(struct compel_session *s)
{
	struct thread *t = session_thread_find(s, s->main_tid);
	int err = 0;

	if (!t || t->state != THREAD_RUNNING)
		return 0;
	if (!t->is_faulted)
		err = compel_interrupt(t->tid);
	if (err < 0)
		return session_say(s, COMPEL_ERROR, err, "interrupt thread %d", t->tid);
	if (!t->is_faulted)
		err = session_thread_wait_trap(s, t);
	if (err < 0 && !t->is_faulted)
		return err;
	t->state = THREAD_RESTING;
	t->is_faulted = false;
	return session_thread_rest(s, t);
}

int compel_daemon_start(struct compel_session *s)
{
	return session_main_serve(s);
}

int compel_daemon_stop(struct compel_session *s)
{
	return session_main_stop(s);
}

int compel_rpc_fd(const struct compel_session *s)
{
	return s->sock;
}

/* Returns how many had to be let go on. */
static int look_after_all(struct compel_session *s)
{
	int stopped = 0;

	for (size_t i = 0; i < s->nr_threads; i++) {
		int err = 0;

		if (s->threads[i]->state == THREAD_RUNNING && !s->threads[i]->is_faulted)
			err = session_thread_look_after(s, s->threads[i]);
		if (err < 0)
			return err;
		stopped += err;
	}
	return stopped;
}

/* Waits for something to read, while all that should run does. */
int session_wait_answer(struct compel_session *s)
{
	struct pollfd pfd = {.fd = s->sock, .events = POLLIN};

	for (int ms = LOOK_FIRST_MS;; ms = ms ? MIN(ms * 2, (int)LOOK_LATER_MS) : LOOK_FIRST_MS) {
		int n = poll(&pfd, 1, ms);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return session_say(s, COMPEL_ERROR, -errno, "wait for the blob's answer");
		n = look_after_all(s);
		if (n < 0)
			return n;
		/* A change of the group stop makes a thread stop twice. */
		if (n > 0)
			ms = 0;
	}
}

/* The other end is gone only if the process is. */
static int socket_error(void)
{
	return errno == EPIPE || errno == ECONNRESET ? -ESRCH : -errno;
}

static int send_request(struct compel_session *s, const struct compel_request *request,
			const int *fds, unsigned int nr_fds)
{
	union fd_message text;
	struct iovec iov = {(void *)request, sizeof(*request)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	size_t bytes = nr_fds * sizeof(int);
	int err = session_main_serve(s);

	if (err < 0)
		return err;
	if (nr_fds) {
		memset(&text, 0, sizeof(text));
		text.header.cmsg_level = SOL_SOCKET;
		text.header.cmsg_type = SCM_RIGHTS;
		text.header.cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(&text.header), fds, bytes);
		message.msg_control = &text;
		message.msg_controllen = CMSG_SPACE(bytes);
	}
	while (sendmsg(s->sock, &message, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return session_say(s, COMPEL_ERROR, socket_error(), "send command %#x",
					   request->command);
	}
	return 0;
}

static void close_all(const int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
}

static unsigned int received_fds(struct msghdr *message, int fds[COMPEL_RPC_FDS_MAX])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	size_t bytes;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	bytes = c->cmsg_len - CMSG_LEN(0);
	memcpy(fds, CMSG_DATA(c), bytes);
	return bytes / sizeof(int);
}

static int receive_one(struct compel_session *s, uint32_t command, struct compel_answer *answer,
		       int fds[COMPEL_RPC_FDS_MAX], unsigned int *ret_nr_fds)
{
	union fd_message text;
	struct iovec iov = {answer, sizeof(*answer)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &text,
		.msg_controllen = sizeof(text),
	};
	ssize_t n;
	int err = session_wait_answer(s);

	if (err < 0)
		return err;
	do
		n = recvmsg(s->sock, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return session_say(s, COMPEL_ERROR, socket_error(), "receive the blob's answer");
	*ret_nr_fds = received_fds(&message, fds);
	if (n == (ssize_t)sizeof(*answer) && answer->command == command)
		return 0;
	close_all(fds, *ret_nr_fds);
	return session_say(s, COMPEL_ERROR, n ? -EPROTO : -ESRCH, "answer to command %#x", command);
}

static int receive_answer(struct compel_session *s, uint32_t command, struct compel_answer *answer,
			  int fds[COMPEL_RPC_FDS_MAX], unsigned int *ret_nr_fds)
{
	struct compel_answer closed = {0};
	int none[COMPEL_RPC_FDS_MAX];
	unsigned int nr_none = 0;
	int err = receive_one(s, command, answer, fds, ret_nr_fds);

	if (err < 0 || !answer->is_to_follow)
		return err;
	err = receive_one(s, COMPEL_CLOSED, &closed, none, &nr_none);
	if (err < 0)
		close_all(fds, *ret_nr_fds);
	return err;
}

int session_receive_done(struct compel_session *s)
{
	struct compel_answer answer = {0};
	int fds[COMPEL_RPC_FDS_MAX];
	unsigned int nr_fds = 0;

	return receive_answer(s, COMPEL_THREADS_DONE, &answer, fds, &nr_fds);
}

/* The control block's own command: *ret is the function's result. */
long session_main_call(struct compel_session *s, uint64_t function, uint64_t arg, long *ret)
{
	struct compel_request request = {
		.command = COMPEL_SYSTEM_CALL,
		.function = s->area.address + function,
		.arg = arg,
	};
	struct compel_answer answer = {0};
	int fds[COMPEL_RPC_FDS_MAX];
	unsigned int nr_fds = 0;
	int err = send_request(s, &request, NULL, 0);

	if (err == 0)
		err = receive_answer(s, request.command, &answer, fds, &nr_fds);
	if (err < 0)
		return err;
	*ret = answer.ret;
	return 0;
}

int compel_rpc_send(struct compel_session *s, const struct compel_rpc *rpc)
{
	struct compel_request request = {.command = rpc->command, .in_size = rpc->in_size};
	int err;

	if (!s->area.size)
		return session_say(s, COMPEL_ERROR, -EINVAL, "no blob is loaded");
	if (rpc->in_size > s->area.args_size || rpc->nr_send_fds > COMPEL_RPC_FDS_MAX)
		return session_say(s, COMPEL_ERROR, -E2BIG,
				   "command %#x: %zu bytes, %u descriptors", rpc->command,
				   rpc->in_size, rpc->nr_send_fds);
	if (rpc->in && rpc->in_size) {
		err = compel_write(s, raddr_of(s->area.args), rpc->in, rpc->in_size);
		if (err < 0)
			return err;
	}
	return send_request(s, &request, rpc->send_fds, rpc->nr_send_fds);
}

long compel_rpc_receive(struct compel_session *s, struct compel_rpc *rpc)
{
	struct compel_answer answer = {0};
	int fds[COMPEL_RPC_FDS_MAX];
	unsigned int nr_fds = 0;
	int err = receive_answer(s, rpc->command, &answer, fds, &nr_fds);

	if (err < 0)
		return err;
	if (nr_fds > rpc->nr_fds) {
		close_all(fds, nr_fds);
		return session_say(s, COMPEL_ERROR, -EMSGSIZE, "command %#x: %u descriptors came",
				   rpc->command, nr_fds);
	}
	rpc->out_size = MIN(MIN((uint64_t)rpc->out_size, answer.out_size), s->area.args_size);
	if (rpc->out && rpc->out_size) {
		err = compel_read(s, raddr_of(s->area.args), rpc->out, rpc->out_size);
		if (err < 0) {
			close_all(fds, nr_fds);
			return err;
		}
	}
	if (nr_fds)
		memcpy(rpc->fds, fds, nr_fds * sizeof(int));
	rpc->nr_fds = nr_fds;
	return answer.ret;
}

long compel_rpc(struct compel_session *s, struct compel_rpc *rpc)
{
	int err = compel_rpc_send(s, rpc);

	return err < 0 ? err : compel_rpc_receive(s, rpc);
}
