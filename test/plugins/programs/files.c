// SPDX-License-Identifier: GPL-2.0-only
/*
 * files FOLDER DEVICE NODES [NODES...]: a task for each list of nodes ("a0,b1,a2"), which opens
 * them in that order; the first task is the parent of the others. Each open file has registers and
 * a running, mapped buffer; every b imports the buffer of the a before it in its task, if there is
 * one.
 */
#include "client.h"
#include "crtest.h"

enum { MAX_FILES = 64, MAX_TASKS = 16 };

struct task {
	struct client_file files[MAX_FILES];
	size_t n_files;
	struct client_file *exporter_of[MAX_FILES];
};

static struct task task;

static void open_all(const char *device, char *nodes, uint64_t seed)
{
	struct client_file *exporter = NULL;
	char *save;

	for (char *node = strtok_r(nodes, ",", &save); node; node = strtok_r(NULL, ",", &save)) {
		struct client_file *file = &task.files[task.n_files];

		if (task.n_files == MAX_FILES)
			crtest_broken("more than %d nodes", MAX_FILES);
		crtest_must(client_open(file, device, node, seed + task.n_files,
					1 + (unsigned int)task.n_files % 3, CLIENT_ALL));
		if (node[0] == 'b' && exporter) {
			crtest_must(client_share(exporter, file));
			task.exporter_of[task.n_files] = exporter;
		}
		if (node[0] == 'a')
			exporter = file;
		task.n_files++;
	}
}

static void look(void)
{
	for (size_t i = 0; i < task.n_files; i++) {
		const char *text = client_check(&task.files[i]);

		if (!text && task.exporter_of[i])
			text = client_check_share(task.exporter_of[i], &task.files[i]);
		if (text)
			crtest_fail("%s", text);
	}
}

static int child(const char *device, char *nodes, uint64_t seed, int ready)
{
	open_all(device, nodes, seed);
	look();
	crtest_must(write(ready, "", 1));
	close(ready);
	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
	look();
	return crtest_child_status();
}

int main(int argc, char **argv)
{
	pid_t children[MAX_TASKS];
	int ends[2], n = argc - 3;
	char byte;

	crtest_begin(argc, argv);
	if (n < 1 || n > MAX_TASKS)
		crtest_broken("files FOLDER DEVICE NODES [NODES...]");
	crtest_must(pipe(ends));
	for (int i = 1; i < n; i++) {
		children[i] = crtest_must(fork());
		if (children[i] == 0) {
			close(ends[0]);
			_exit(child(argv[2], argv[3 + i], 1000u * (unsigned int)i, ends[1]));
		}
	}
	close(ends[1]);
	for (int i = 1; i < n; i++)
		if (read(ends[0], &byte, 1) != 1)
			crtest_broken("a child is not ready (see err)");
	close(ends[0]);
	open_all(argv[2], argv[3], 0);
	look();

	crtest_wait();

	look();
	for (int i = 1; i < n; i++)
		crtest_join("child", children[i]);
	return crtest_end();
}
