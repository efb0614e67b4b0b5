// SPDX-License-Identifier: GPL-2.0-only
/*
 * kfd-family FOLDER ROOT [gpus=N]: a parent, its child, and the child's child. Parent and
 * grandchild have kfd and a queue, the child in between has nothing of the device but the
 * descriptor of a dma-buf of the parent's, which the grandchild has imported. All three go on until
 * the parent is told to check.
 */
#include "kfd-client.h"
#include "crtest.h"

#include <sys/stat.h>

enum { SIZE = 32768 };

struct member {
	struct client client;
	struct client_buffer buffer, imported;
	struct client_queue queue;
};

static void say(const char *who, const char *text)
{
	if (text)
		crtest_fail("%s: %s", who, text);
}

static void make(struct member *member, const char *root, unsigned int gpus, uint64_t seed)
{
	struct client_buffer *place = &member->buffer;

	crtest_must(client_open(&member->client, root, gpus));
	crtest_must(client_alloc(&member->client, place, CLIENT_VRAM, gpus - 1, SIZE, seed));
	crtest_must(client_run(&member->client, &member->queue, gpus - 1, &place, 1));
}

static int run_grandchild(const char *root, unsigned int gpus, int dmabuf, int ready)
{
	static struct member member;

	make(&member, root, gpus, 2);
	crtest_must(client_import(&member.client, &member.imported, gpus - 1, dmabuf, SIZE, 1));
	member.imported.has_places = true;
	close(dmabuf);
	say("grandchild", client_check(&member.imported));
	crtest_must(write(ready, "", 1));
	close(ready);
	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
	say("grandchild", client_check(&member.buffer));
	say("grandchild", client_check(&member.imported));
	say("grandchild", client_check_runs(&member.queue));
	return crtest_child_status();
}

static int run_child(const char *root, unsigned int gpus, int dmabuf, int ready)
{
	pid_t grandchild = crtest_must(fork());
	struct stat st;

	if (grandchild == 0)
		_exit(run_grandchild(root, gpus, dmabuf, ready));
	crtest_must(write(ready, "", 1));
	close(ready);
	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
	crtest_equal("fstat", fstat(dmabuf, &st), 0);
	crtest_equal("size of the dma-buf", st.st_size, SIZE);
	crtest_join("grandchild", grandchild);
	return crtest_child_status();
}

int main(int argc, char **argv)
{
	static struct member member;
	unsigned int gpus = 1;
	int ends[2], dmabuf;
	pid_t child;
	char byte;

	crtest_begin(argc, argv);
	if (argc < 3 || (argc > 3 && sscanf(argv[3], "gpus=%u", &gpus) != 1))
		crtest_broken("kfd-family FOLDER ROOT [gpus=N]");
	make(&member, argv[2], gpus, 1);
	dmabuf = crtest_must(client_export(&member.buffer));
	crtest_must(pipe(ends));
	child = crtest_must(fork());
	if (child == 0) {
		/* Of the device it has only this. */
		client_forget(&member.client);
		close(ends[0]);
		_exit(run_child(argv[2], gpus, dmabuf, ends[1]));
	}
	close(ends[1]);
	close(dmabuf);
	for (int i = 0; i < 2; i++)
		if (read(ends[0], &byte, 1) != 1)
			crtest_broken("a child is not ready (see err)");
	close(ends[0]);

	crtest_wait();

	say("parent", client_check(&member.buffer));
	say("parent", client_check_runs(&member.queue));
	crtest_join("child", child);
	return crtest_end();
}
