// SPDX-License-Identifier: LGPL-2.1-only
/*
 * The code that runs in another's process. The main thread makes a socket pair, of which the host
 * takes one end, and serves commands on the other; more threads are sent through compel_thread(),
 * each with a slot.
 *
 * There is one rule: every path from every instruction ends in the state the thread was found in,
 * unless the host stops it before and sets registers again. A host that is gone shows as end of
 * file on the socket, for then nobody else has the other end. Then each thread leaves through its
 * frame, the main thread last: it waits for the slots, because it takes the area away under
 * everyone's feet. Threads wait with ppoll, which the kernel restarts without its restart_block:
 * that one still belongs to the program's interrupted system call.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <linux/futex.h>

#include "compel/pie/control.h"
#include "compel/pie/runtime.h"
#include "compel/pie/string.h"
#include "compel/pie/syscall.h"

void compel_serve(void);
void compel_leave(void);
void compel_thread(struct compel_slot *slot);

/* In .data, not .bss: the host writes it into the image before anything runs. */
compel_entry struct compel_control compel_control = {.pair = {-1, -1}};

union fd_message {
	char room[CMSG_SPACE(COMPEL_COMMAND_FDS_MAX * sizeof(int))];
	struct cmsghdr header;
};

/* The number is forgotten before it is closed, so that a leave that interrupts this cannot close
 * somebody else's. */
static void forget_and_close(int32_t *fd)
{
	int taken = *fd;

	__atomic_store_n(fd, -1, __ATOMIC_SEQ_CST);
	if (taken >= 0)
		sys(close, taken);
}

static struct compel_slot *slot_at(unsigned int i)
{
	return (struct compel_slot *)(compel_control.slots + i * compel_control.slot_stride);
}

/* Threads look at the socket's number until they are out, so it is closed after them. */
compel_entry void __attribute__((noreturn)) compel_leave(void)
{
	for (unsigned int i = 0; i < compel_control.nr_slots; i++) {
		uint32_t *inside = &slot_at(i)->inside;

		while (__atomic_load_n(inside, __ATOMIC_ACQUIRE))
			sys(futex, inside, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
	}
	forget_and_close(&compel_control.pair[0]);
	forget_and_close(&compel_control.pair[1]);
	leave_through(compel_control.leave_frame);
}

static void received_fds(struct msghdr *message, struct compel_command *command)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	size_t bytes;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return;
	bytes = c->cmsg_len - CMSG_LEN(0);
	memcpy(command->fds, CMSG_DATA(c), bytes);
	command->nr_fds = bytes / sizeof(int);
}

static int receive(struct compel_request *request, struct compel_command *command)
{
	union fd_message fds;
	struct iovec iov = {request, sizeof(*request)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &fds,
		.msg_controllen = sizeof(fds),
	};
	long got;

	do
		got = sys(recvmsg, compel_control.pair[1], &message, MSG_CMSG_CLOEXEC);
	while (got == -EINTR);
	if (got != (long)sizeof(*request))
		return -EPIPE;

	received_fds(&message, command);
	return 0;
}

static void answer(uint32_t number, long ret, const struct compel_command *command)
{
	struct compel_answer text = {.command = number, .ret = ret};
	union fd_message fds;
	struct iovec iov = {&text, sizeof(text)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (command) {
		text.out_size = command->out_size;
		text.is_to_follow = command->close_sent;
	}
	if (command && command->nr_send_fds) {
		size_t bytes = command->nr_send_fds * sizeof(int);

		fds.header.cmsg_level = SOL_SOCKET;
		fds.header.cmsg_type = SCM_RIGHTS;
		fds.header.cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(&fds.header), command->send_fds, bytes);
		message.msg_control = &fds;
		message.msg_controllen = CMSG_SPACE(bytes);
	}
	/* A host that is gone shows at the next receive. */
	sys(sendmsg, compel_control.pair[1], &message, MSG_NOSIGNAL);
}

static long run(const struct compel_request *request, struct compel_command *command)
{
	if (request->command == COMPEL_SYSTEM_CALL) {
		long (*function)(uint64_t) = (long (*)(uint64_t))request->function;

		return function(request->arg);
	}
	command->command = request->command;
	command->args = (void *)compel_control.args;
	command->args_size = compel_control.args_size;
	command->in_size = request->in_size;
	return compel_command(command);
}

static void close_all(const int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		sys(close, fds[i]);
}

static int serve_one(void)
{
	struct compel_request request;
	struct compel_command command;
	long ret;

	command.out_size = command.nr_fds = command.nr_send_fds = 0;
	command.close_sent = false;
	if (receive(&request, &command) < 0)
		return -EPIPE;

	ret = run(&request, &command);
	close_all(command.fds, command.nr_fds);
	answer(request.command, ret, &command);
	/* The host may stop us for good after an answer, so these need one more. */
	if (command.close_sent) {
		close_all(command.send_fds, command.nr_send_fds);
		answer(COMPEL_CLOSED, 0, NULL);
	}
	return 0;
}

/*
 * The host stops us when socketpair returns, and takes a duplicate of the first end. If it is gone
 * by then, closing that end closes the connection.
 */
static int connect_host(void)
{
	long ret;

	if (compel_control.pair[1] >= 0)
		return 0;
	ret = sys(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, compel_control.pair);
	forget_and_close(&compel_control.pair[0]);
	return ret;
}

/* The main thread's way in; begins anew each time the host has had it for something else. */
compel_entry void compel_serve(void)
{
	if (connect_host() == 0) {
		while (serve_one() == 0)
			;
	}
	compel_leave();
}

/* Every other thread's. The last to finish tells the host, which then stops them all where they
 * wait for its death. */
compel_entry void compel_thread(struct compel_slot *slot)
{
	long (*function)(uint64_t) = (long (*)(uint64_t))slot->function;
	struct pollfd host = {.fd = compel_control.pair[1]};

	slot->ret = function(slot->arg);
	if (__atomic_sub_fetch(&compel_control.running, 1, __ATOMIC_ACQ_REL) == 0)
		answer(COMPEL_THREADS_DONE, 0, NULL);

	while (sys(ppoll, &host, 1, NULL, NULL, 8) == -EINTR)
		;
	leave_through(slot->leave_frame);
}
