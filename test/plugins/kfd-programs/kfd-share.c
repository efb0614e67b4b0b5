// SPDX-License-Identifier: GPL-2.0-only
/*
 * kfd-share FOLDER ROOT [gpus=N] [keep=0|1]: a parent and a child, each with kfd of its own, that
 * share buffers by dma-bufs in both directions. The parent's VRAM is imported by the child, the
 * child's GTT by the parent; the queue of each runs in what it has exported and in what it has
 * imported. Both have buffers of their own with the same handles. keep: the descriptors of the
 * dma-bufs stay open, the parent's at both, the child's at the parent only.
 */
#include "kfd-client.h"
#include "crtest.h"

#include <sys/socket.h>
#include <sys/stat.h>

enum { SIZE = 65536 };

struct side {
	struct client client;
	/* The first one is only its own; the second one is for the other side. */
	struct client_buffer own[2], imported;
	struct client_queue queue;
	int dmabuf, others;
};

static void say(const char *who, const char *text)
{
	if (text)
		crtest_fail("%s: %s", who, text);
}

static void send_fd(int sock, int fd)
{
	char byte = 0, space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	crtest_must(sendmsg(sock, &msg, 0));
}

static int receive_fd(int sock)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	struct cmsghdr *head;
	int fd = -1;

	crtest_must(recvmsg(sock, &msg, 0));
	head = CMSG_FIRSTHDR(&msg);
	if (head)
		memcpy(&fd, CMSG_DATA(head), sizeof(int));
	return crtest_must(fd);
}

static void make(struct side *side, const char *root, unsigned int gpus, bool is_child, int sock)
{
	unsigned int gpu = is_child ? gpus - 1 : 0;
	struct client_buffer *places[2] = {&side->own[1], &side->imported};
	uint64_t seed = is_child ? 20 : 10;

	crtest_must(client_open(&side->client, root, gpus));
	crtest_must(client_alloc(&side->client, &side->own[0], CLIENT_VRAM, gpu, SIZE, seed));
	crtest_must(client_alloc(&side->client, &side->own[1], is_child ? CLIENT_GTT : CLIENT_VRAM,
				 gpu, SIZE, seed + 1));
	side->dmabuf = crtest_must(client_export(&side->own[1]));
	send_fd(sock, side->dmabuf);
	side->others = receive_fd(sock);
	/* On the GPU that has it, which is not that of this side if there are two. */
	crtest_must(client_import(&side->client, &side->imported, is_child ? 0 : gpus - 1,
				  side->others, SIZE, is_child ? 11 : 21));
	if (gpus > 1)
		crtest_must(client_map_all(&side->imported));
	/* Only what is its own is written by its queue, so that the two do not meet. */
	crtest_must(client_run(&side->client, &side->queue, gpu, places, 1));
	side->imported.has_places = true;
}

static void check(struct side *side, const char *who)
{
	say(who, client_check(&side->own[0]));
	say(who, client_check(&side->own[1]));
	say(who, client_check(&side->imported));
	say(who, client_check_runs(&side->queue));
}

/* Both are here. */
static void meet(int sock)
{
	char byte = 0;

	crtest_must(write(sock, &byte, 1));
	if (crtest_must(read(sock, &byte, 1)) != 1)
		crtest_broken("the other side is gone");
}

/* Each in turn writes a word to where the other one sees it. */
static void check_both_ways(struct side *side, int sock, bool is_child)
{
	volatile uint64_t *out = (uint64_t *)side->own[1].map + 17;
	volatile uint64_t *in = (uint64_t *)side->imported.map + 17;
	uint64_t old = *out, seen = *in;

	for (int turn = 0; turn < 2; turn++) {
		bool is_mine = turn == is_child;

		meet(sock);
		if (is_mine)
			*out = ~old;
		meet(sock);
		if (!is_mine && *in != ~seen)
			crtest_fail("%s does not see what the other one writes",
				    is_child ? "child" : "parent");
		meet(sock);
		if (is_mine)
			*out = old;
	}
}

static int run_child(const char *root, unsigned int gpus, int sock, bool is_kept)
{
	static struct side side;

	make(&side, root, gpus, true, sock);
	close(side.dmabuf);
	if (!is_kept)
		close(side.others);
	check(&side, "child");
	meet(sock);
	meet(sock);
	check(&side, "child");
	check_both_ways(&side, sock, true);
	return crtest_child_status();
}

int main(int argc, char **argv)
{
	unsigned int gpus = 1, is_kept = 0;
	static struct side side;
	struct stat st[2];
	int ends[2];
	pid_t child;

	crtest_begin(argc, argv);
	if (argc < 3)
		crtest_broken("kfd-share FOLDER ROOT [KEY=VALUE]...");
	for (int i = 3; i < argc; i++)
		if (sscanf(argv[i], "gpus=%u", &gpus) != 1 &&
		    sscanf(argv[i], "keep=%u", &is_kept) != 1)
			crtest_broken("what is %s?", argv[i]);
	crtest_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	child = crtest_must(fork());
	if (child == 0) {
		close(ends[0]);
		_exit(run_child(argv[2], gpus, ends[1], is_kept));
	}
	close(ends[1]);
	make(&side, argv[2], gpus, false, ends[0]);
	if (!is_kept) {
		close(side.dmabuf);
		close(side.others);
	}
	check(&side, "parent");
	meet(ends[0]);

	crtest_wait();

	check(&side, "parent");
	if (is_kept) {
		crtest_must(fstat(side.dmabuf, &st[0]));
		crtest_must(fstat(side.others, &st[1]));
		crtest_true(st[0].st_ino != st[1].st_ino);
		crtest_equal("size of a dma-buf", st[0].st_size, SIZE);
	}
	meet(ends[0]);
	check_both_ways(&side, ends[0], false);
	crtest_join("child", child);
	return crtest_end();
}
