// SPDX-License-Identifier: GPL-2.0-only
/*
 * A v0.2 plugin that tries what the host offers plugins built for CRIU 4.2, from init and from
 * hooks, and writes what it got as lines of the log (plugin=host hook=try). It takes /dev/fuse.
 */
#include "criu/criu-plugin.h"
#include "v02.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

extern char opts[512];
extern char criu_run_id[37];
struct pstree_item;
extern struct pstree_item *root_item;
extern int fi_strategy;
extern void print_on_level(unsigned int level, const char *format, ...);
extern bool has_children(struct pstree_item *item);
extern int find_unused_fd_pid(pid_t pid);
extern int fdstore_add(int fd);
extern int fdstore_get(int id);
extern void *shmalloc(size_t size);
extern int send_fds(int sock, struct sockaddr_un *address, int length, int *fds, int n, void *data,
		    unsigned int item_size);
extern int __recv_fds(int sock, int *fds, int n, void *data, unsigned int item_size, int flags);
extern int read_fd_link(int fd, char *buffer, size_t size);
extern bool alarm_timeouted(void);

/* In memory of the host's, made before the tree: seen by all tasks and by the tool. */
static struct {
	int n_tasks, ids[64];
} * shared;
static int store_id = -1, mine = -1;

static int int_at(size_t offset)
{
	int value;

	memcpy(&value, opts + offset, sizeof(value));
	return value;
}

static void try_fds(void)
{
	int pair[2], fds[70], got[70], data[70], taken[70], good = 0;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	for (int i = 0; i < 70; i++) {
		fds[i] = i % 2 ? pair[0] : 2;
		data[i] = i * 3;
	}
	if (send_fds(pair[0], NULL, 0, fds, 70, data, sizeof(int)) == 0 &&
	    __recv_fds(pair[1], got, 70, taken, sizeof(int), 0) == 0)
		for (int i = 0; i < 70; i++) {
			struct stat a, b;

			good += fstat(fds[i], &a) == 0 && fstat(got[i], &b) == 0 &&
				a.st_ino == b.st_ino && taken[i] == i * 3;
			close(got[i]);
		}
	close(pair[0]);
	close(pair[1]);
	v02_line("host", "try", "what=send_fds good=%d", good);
}

/* As many as CRIU_HOST_KEEP says, by turns of two kinds; afterwards each is there under its id. */
static void try_many(void)
{
	const char *text = getenv("CRIU_HOST_KEEP");
	int n = text ? atoi(text) : 0, fds[2], first = -1, last = -1, good = 0;

	if (!n)
		return;
	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fds[1] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < n; i++) {
		last = fdstore_add(fds[i % 2]);
		if (i == 0)
			first = last;
		if (last != first + i)
			break;
	}
	for (int i = 0; i < n; i += 37) {
		int fd = fdstore_get(first + i);
		char link[64] = "";

		read_fd_link(fd, link, sizeof(link));
		good += strcmp(link, i % 2 ? "/dev/zero" : "/dev/null") == 0;
		close(fd);
	}
	v02_line("host", "try", "what=many first=%d last=%d good=%d of=%d none=%d bad=%d", first,
		 last, good, (n + 36) / 37, fdstore_get(first + n), fdstore_add(12345));
	close(fds[0]);
	close(fds[1]);
}

static int init(int stage)
{
	char link[256], small[2];
	int fd, length, prefix, exact;

	v02_line("host", "try",
		 "what=init stage=%d final=%d timeout=%d stream=%d id=%zu children=%d fault=%d "
		 "alarm=%d",
		 stage, int_at(0), int_at(352), int_at(408), strlen(criu_run_id),
		 has_children(root_item), fi_strategy, alarm_timeouted());
	print_on_level(3, "host: %s\n", "said this");
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	length = read_fd_link(fd, link, sizeof(link));
	v02_line("host", "try", "what=link length=%d is=%d small=%d bad=%d", length,
		 strcmp(link, "/dev/null") == 0, read_fd_link(fd, small, sizeof(small)),
		 read_fd_link(12345, small, sizeof(small)));
	close(fd);
	try_fds();
	fd = openat(criu_get_image_dir(), "inventory.img", O_RDONLY | O_CLOEXEC);
	v02_line("host", "try", "what=images inventory=%d", fd >= 0);
	if (fd >= 0)
		close(fd);
	if (stage != CR_PLUGIN_STAGE__RESTORE) {
		add_inventory_plugin("host");
		return add_inventory_plugin("host");
	}
	prefix = check_and_remove_inventory_plugin("hos", 3);
	exact = check_and_remove_inventory_plugin("host", 4);
	v02_line("host", "try", "what=inventory prefix=%d exact=%d again=%d", prefix, exact,
		 check_and_remove_inventory_plugin("host", 4));
	shared = shmalloc(sizeof(*shared));
	if (!shared)
		return -ENOMEM;
	mine = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	store_id = fdstore_add(mine);
	close(mine);
	try_many();
	return store_id < 0 ? -EIO : 0;
}

static void fini(int stage, int ret)
{
	if (stage == CR_PLUGIN_STAGE__RESTORE && shared)
		v02_line("host", "try", "what=shared tasks=%d", shared->n_tasks);
	v02_line("host", "exit", "stage=%d ret=%d", stage, ret);
}

static int dump_file(int fd, int id)
{
	char link[256];

	if (read_fd_link(fd, link, sizeof(link)) < 0 || strcmp(link, "/dev/fuse") != 0)
		return -ENOTSUP;
	return 0;
}

static int restore_file(int id, bool *retry_needed)
{
	char link[256] = "";
	int fd = fdstore_get(store_id), own = fdstore_add(fd), n;

	*retry_needed = false;
	n = __atomic_fetch_add(&shared->n_tasks, 1, __ATOMIC_SEQ_CST);
	shared->ids[n % 64] = own;
	if (fd >= 0)
		read_fd_link(fd, link, sizeof(link));
	v02_line("host", "try", "what=store link=%s own=%d unused=%d unknown=%d images=%d", link,
		 own, find_unused_fd_pid(getpid()), find_unused_fd_pid(4000000),
		 fcntl(criu_get_image_dir(), F_GETFD) >= 0);
	return fd;
}

CR_PLUGIN_REGISTER("host", init, fini)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_EXT_FILE, dump_file)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESTORE_EXT_FILE, restore_file)
