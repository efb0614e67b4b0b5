// SPDX-License-Identifier: GPL-2.0-only
/*
 * many FOLDER DEVICE TASKS FILES: that many tasks, the first the parent of the others, with that
 * many nodes of class c each (task t has c<t*FILES> on). Each has registers and a buffer of one
 * page; none runs or is mapped, so that nothing but the number of files matters. NODE as fifth
 * argument: that one instead, opened each time.
 */
#include "client.h"
#include "crtest.h"

static struct client_file *files;
static int n_files;

static void open_all(const char *device, const char *node, int task)
{
	char name[16];

	for (int i = 0; i < n_files; i++) {
		int number = task * n_files + i;

		snprintf(name, sizeof(name), "c%d", number);
		crtest_must(client_open(&files[i], device, node ? node : name, (uint64_t)number, 1,
					CLIENT_BUFFER));
	}
}

static void look(void)
{
	for (int i = 0; i < n_files; i++) {
		const char *text = client_check(&files[i]);

		if (text)
			crtest_fail("%s", text);
	}
}

static int child(const char *device, const char *node, int task, int ready)
{
	open_all(device, node, task);
	crtest_must(write(ready, "", 1));
	close(ready);
	while (!crtest_is_triggered())
		crtest_sleep_ms(20);
	look();
	return crtest_child_status();
}

int main(int argc, char **argv)
{
	pid_t *children;
	int ends[2], n_tasks;
	const char *node;
	char byte;

	crtest_begin(argc, argv);
	if (argc < 5)
		crtest_broken("many FOLDER DEVICE TASKS FILES [NODE]");
	n_tasks = atoi(argv[3]);
	n_files = atoi(argv[4]);
	node = argv[5];
	files = calloc((size_t)n_files, sizeof(*files));
	children = calloc((size_t)n_tasks, sizeof(*children));
	crtest_must(pipe(ends));
	for (int i = 1; i < n_tasks; i++) {
		children[i] = crtest_must(fork());
		if (children[i] == 0) {
			close(ends[0]);
			_exit(child(argv[2], node, i, ends[1]));
		}
	}
	close(ends[1]);
	for (int i = 1; i < n_tasks; i++)
		if (read(ends[0], &byte, 1) != 1)
			crtest_broken("a child is not ready (see err)");
	close(ends[0]);
	open_all(argv[2], node, 0);

	crtest_wait();

	look();
	for (int i = 1; i < n_tasks; i++)
		crtest_join("child", children[i]);
	return crtest_end();
}
