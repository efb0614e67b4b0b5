// SPDX-License-Identifier: GPL-2.0-only
/*
 * Symbols of the main program that plugins built for CRIU 4.2 use (facts of that interface; they
 * have no argument to find a run by, hence the state at file scope). `opts` has nothing in it but
 * the members that the known plugins read, at their offsets. On restore they are good in the
 * processes of all tasks.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "options.h"
#include "compel/base/bits.h"
#include "compel/base/list.h"
#include "cr.h"
#include "images/lib/image.h"
#include "plugin/legacy-host.h"
#include "plugin/legacy.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

#define OPTS_SIZE        512
#define OPTS_FINAL_STATE 0
#define OPTS_TIMEOUT     352
#define OPTS_STREAM      408
#define LEVEL_MESSAGE    0

enum final_state { FINAL_ALIVE = 1, FINAL_DEAD = 2, FINAL_STOPPED = 3 };

struct pstree_item {
	struct pstree_item *parent;
	struct list children; /* at offset 8, where has_children() of CRIU 4.2 looks for it */
};

/* In memory that all processes of a restore share. */
struct fd_store {
	pthread_mutex_t lock;
	int n;
};

/* Off cr->plugins->host. */
struct legacy_host {
	const char **inventory; /* restore: names not taken yet */
	size_t n_inventory;
	bool has_inventory;
	const char **added; /* dump */
	size_t n_added;
	struct pstree_item root, child;
	struct fd_store *store;
	int store_in, store_out;
};

static struct cr *host;

__attribute__((aligned(8))) char opts[OPTS_SIZE];
char criu_run_id[37];
struct pstree_item *root_item;
int fi_strategy;

int add_inventory_plugin(const char *name);
bool check_and_remove_inventory_plugin(const char *name, size_t n);
void print_on_level(unsigned int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
bool has_children(struct pstree_item *item);
int find_unused_fd_pid(pid_t pid);
int fdstore_add(int fd);
int fdstore_get(int id);
void *shmalloc(size_t size);
int send_fds(int sock, struct sockaddr_un *address, int length, int *fds, int n, void *data,
	     unsigned int item_size);
int __recv_fds(int sock, int *fds, int n, void *data, unsigned int item_size, int flags);
int img_streamer_open(char *name, int flags);
int read_fd_link(int fd, char *buffer, size_t size);
bool alarm_timeouted(void);
int close_fds(int min);
struct seize_task_status;
int compel_wait_task(int pid, int ppid,
		     int (*get_status)(int pid, struct seize_task_status *status, void *data),
		     void (*free_status)(int pid, struct seize_task_status *status, void *data),
		     struct seize_task_status *status, void *data);
int parse_pid_status(int pid, struct seize_task_status *status, void *data);
void set_compel_interrupt_only_mode(void);

/* ---- start ---- */

static void set_int(size_t offset, int value)
{
	memcpy(opts + offset, &value, sizeof(value));
}

static void fill_options(const struct cr *cr)
{
	memset(opts, 0, sizeof(opts));
	set_int(OPTS_FINAL_STATE, cr->opts->leave_running   ? FINAL_ALIVE
				  : cr->opts->leave_stopped ? FINAL_STOPPED
							    : FINAL_DEAD);
	set_int(OPTS_TIMEOUT, (int)cr->opts->timeout);
	set_int(OPTS_STREAM, cr->opts->stream);
}

static void fill_run_id(void)
{
	/* With the newline it is longer than what is kept. */
	char text[64];
	ssize_t n = fd_read_file_into(AT_FDCWD, "/proc/sys/kernel/random/uuid", text, sizeof(text));

	if (n < 0)
		n = 0;
	snprintf(criu_run_id, sizeof(criu_run_id), "%.*s", (int)MIN(n, (ssize_t)36), text);
}

static int open_store(struct cr *cr, struct legacy_host *self)
{
	/* What waits in a socket counts against the sender; the kernel doubles it. */
	const int most = INT_MAX / 2;
	pthread_mutexattr_t attr;
	int pair[2], err;

	self->store = shmalloc(sizeof(*self->store));
	if (!self->store)
		return log_err(cr, -ENOMEM, "plugins: memory to share between the tasks");
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&self->store->lock, &attr);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
		return log_err(cr, -errno, "plugins: socket to keep descriptors in");
	self->store_in = pair[0];
	self->store_out = pair[1];
	/* Without the privilege as much as is allowed; nobody waits for room, as nobody makes it.
	 */
	if (setsockopt(self->store_in, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof(most)) < 0)
		(void)setsockopt(self->store_in, SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
	err = fd_set_nonblock(self->store_in, 1);
	return err ? log_err(cr, err, "plugins: socket to keep descriptors in") : 0;
}

int legacy_host_start(struct cr *cr, const char *const *inventory, size_t n_inventory)
{
	struct legacy_host *self = cr->plugins->host;
	const struct plugin *any;

	if (self)
		return 0;
	self = cr->plugins->host = xcalloc(1, sizeof(*self));
	self->store_in = self->store_out = -1;
	host = cr;
	fill_options(cr);
	fill_run_id();
	self->has_inventory = inventory != NULL;
	self->inventory = xcalloc(n_inventory + 1, sizeof(*self->inventory));
	for (size_t i = 0; i < n_inventory; i++)
		self->inventory[self->n_inventory++] = inventory[i];
	list_init(&self->root.children);
	list_init(&self->child.children);
	root_item = &self->root;
	if (!plugins_are_loaded(cr))
		return 0;
	any = list_first_entry(&cr->plugins->all, struct plugin, node);
	if (any->n_listed > 1)
		list_add_tail(&self->root.children, &self->child.children);
	return cr->plugins->operation == CRIU_RESTORE ? open_store(cr, self) : 0;
}

int legacy_host_prepare_fork(struct cr *cr)
{
	struct legacy_host *self = cr->plugins->host;
	int err = 0;

	if (!self || self->store_in < 0)
		return 0;
	err = fd_move_above(&self->store_in, cr->plugins->first_free_fd);
	if (!err)
		err = fd_move_above(&self->store_out, cr->plugins->first_free_fd);
	return err ? log_err(cr, err, "plugins: move a descriptor out of the way") : 0;
}

void legacy_host_stop(struct cr *cr)
{
	struct legacy_host *self = cr->plugins->host;

	if (!self)
		return;
	if (self->store_in >= 0) {
		close(self->store_in);
		close(self->store_out);
	}
	free(self->inventory);
	free(self->added);
	free(self);
	cr->plugins->host = NULL;
	root_item = NULL;
	host = NULL;
}

/* ---- inventory ---- */

static struct legacy_host *self_of_run(void)
{
	return host && host->plugins ? host->plugins->host : NULL;
}

int add_inventory_plugin(const char *name)
{
	struct legacy_host *self = self_of_run();

	if (!self || !name)
		return -1;
	for (size_t i = 0; i < self->n_added; i++)
		if (str_equal(self->added[i], name))
			return 0;
	self->added = xreallocarray(self->added, self->n_added + 1, sizeof(*self->added));
	self->added[self->n_added++] = name;
	return 0;
}

bool check_and_remove_inventory_plugin(const char *name, size_t n)
{
	struct legacy_host *self = self_of_run();

	if (!self)
		return false;
	if (!self->has_inventory)
		return true;
	for (size_t i = 0; i < self->n_inventory; i++) {
		if (strlen(self->inventory[i]) != n || strncmp(self->inventory[i], name, n) != 0)
			continue;
		self->inventory[i] = self->inventory[--self->n_inventory];
		return true;
	}
	return false;
}

const char **legacy_add_needed(const struct cr *cr, const char **names, size_t *n)
{
	const struct legacy_host *self = cr->plugins->host;

	for (size_t i = 0; self && i < self->n_added; i++) {
		names = xreallocarray(names, *n + 2, sizeof(*names));
		names[(*n)++] = self->added[i];
		names[*n] = NULL;
	}
	return names;
}

/* Those of the contract are looked for elsewhere. */
const char *legacy_first_lacking(const struct cr *cr)
{
	const struct legacy_host *self = cr->plugins ? cr->plugins->host : NULL;

	for (size_t i = 0; self && i < self->n_inventory; i++)
		if (!plugin_by_inventory_name(cr, self->inventory[i]))
			return self->inventory[i];
	return NULL;
}

/* ---- images, messages, tasks ---- */

int criu_get_image_dir(void)
{
	return host && host->images ? image_dir_fd(host->images) : -1;
}

void print_on_level(unsigned int level, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (!host)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	text[strcspn(text, "\n")] = 0;
	log_emit(host->log, level == LEVEL_MESSAGE ? LOG_MESSAGE : (int)MIN(level, 4u), __FILE__,
		 __LINE__, "plugin: %s", text);
}

bool has_children(struct pstree_item *item)
{
	return !list_is_empty(&item->children);
}

/* One that the tool does not use in this process either; -1 for a task that the images do not have.
 */
int find_unused_fd_pid(pid_t pid)
{
	struct plugin *any;
	int fd;

	if (!host || !plugins_are_loaded(host))
		return -1;
	/* Any plugin knows all tasks. */
	any = list_first_entry(&host->plugins->all, struct plugin, node);
	if (!plugin_find_task(any, pid))
		return -1;
	for (fd = MAX(host->plugins->first_free_fd, 3); fcntl(fd, F_GETFD) >= 0; fd++)
		;
	return fd;
}

void *shmalloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int img_streamer_open(char *name, int flags)
{
	return -1;
}

int read_fd_link(int fd, char *buffer, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, buffer, size);
	if (n < 0 || (size_t)n == size)
		return -1;
	buffer[n] = 0;
	return (int)n;
}

bool alarm_timeouted(void)
{
	return false;
}

int close_fds(int min)
{
	return close_range((unsigned int)min, ~0u, 0);
}

/* ---- descriptors ---- */

int send_fds(int sock, struct sockaddr_un *address, int length, int *fds, int n, void *data,
	     unsigned int item_size)
{
	enum { BATCH = 64 };

	for (int at = 0; at < n; at += BATCH) {
		int count = MIN(n - at, (int)BATCH);
		char none = 0, control[CMSG_SPACE(BATCH * sizeof(int))] = {0};
		struct iovec iov = {data ? (char *)data + (size_t)at * item_size : &none,
				    data ? (size_t)count * item_size : 1};
		struct msghdr message = {.msg_iov = &iov,
					 .msg_iovlen = 1,
					 .msg_name = address,
					 .msg_namelen = address ? (socklen_t)length : 0,
					 .msg_control = control,
					 .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);

		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
		memcpy(CMSG_DATA(header), fds + at, (size_t)count * sizeof(int));
		if (sendmsg(sock, &message, 0) < 0)
			return -errno;
	}
	return 0;
}

int __recv_fds(int sock, int *fds, int n, void *data, unsigned int item_size, int flags)
{
	enum { BATCH = 64 };

	for (int at = 0; at < n; at += BATCH) {
		int count = MIN(n - at, (int)BATCH);
		char none, control[CMSG_SPACE(BATCH * sizeof(int))];
		struct iovec iov = {data ? (char *)data + (size_t)at * item_size : &none,
				    data ? (size_t)count * item_size : 1};
		struct msghdr message = {.msg_iov = &iov,
					 .msg_iovlen = 1,
					 .msg_control = control,
					 .msg_controllen = sizeof(control)};
		struct cmsghdr *header;

		if (recvmsg(sock, &message, flags | MSG_CMSG_CLOEXEC) <= 0)
			return errno ? -errno : -ENOMSG;
		header = CMSG_FIRSTHDR(&message);
		if (!header || header->cmsg_type != SCM_RIGHTS ||
		    header->cmsg_len != CMSG_LEN((size_t)count * sizeof(int)))
			return -EBADFD;
		memcpy(fds + at, CMSG_DATA(header), (size_t)count * sizeof(int));
	}
	return 0;
}

/* A queue of messages with one descriptor each, which are looked at and never taken. */
int fdstore_add(int fd)
{
	struct legacy_host *self = self_of_run();
	int id = -1, n, err;

	if (!self || !self->store)
		return -1;
	pthread_mutex_lock(&self->store->lock);
	n = self->store->n;
	err = send_fds(self->store_in, NULL, 0, &fd, 1, NULL, 0);
	if (err == 0)
		id = self->store->n++;
	pthread_mutex_unlock(&self->store->lock);
	if (err == -EAGAIN)
		log_err(host, err, "plugins: no room for a descriptor more, %d are kept", n);
	else if (err)
		log_err(host, err, "plugins: descriptor %d: keep it", fd);
	return id;
}

int fdstore_get(int id)
{
	struct legacy_host *self = self_of_run();
	int fd = -1;

	if (!self || !self->store || id < 0 || id >= self->store->n)
		return -1;
	pthread_mutex_lock(&self->store->lock);
	if (setsockopt(self->store_out, SOL_SOCKET, SO_PEEK_OFF, &id, sizeof(id)) < 0 ||
	    __recv_fds(self->store_out, &fd, 1, NULL, 0, MSG_PEEK) < 0)
		fd = -1;
	pthread_mutex_unlock(&self->store->lock);
	return fd;
}

/* ---- tasks that a plugin has seized itself ---- */

enum { TASK_WAS_ALIVE = 1, TASK_WAS_DEAD = 2, TASK_WAS_STOPPED = 3, TASK_WAS_ZOMBIE = 6 };

int compel_wait_task(int pid, int ppid,
		     int (*get_status)(int pid, struct seize_task_status *status, void *data),
		     void (*free_status)(int pid, struct seize_task_status *status, void *data),
		     struct seize_task_status *status, void *data)
{
	siginfo_t info;
	int wait_status;

	if (waitpid(pid, &wait_status, __WALL) < 0)
		return kill(pid, 0) == 0 ? TASK_WAS_ZOMBIE : TASK_WAS_DEAD;
	if (!WIFSTOPPED(wait_status))
		return TASK_WAS_DEAD;
	if (get_status && get_status(pid, status, data) < 0)
		return -1;
	/* A group stop has no siginfo. */
	if (ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) < 0 && errno == EINVAL)
		return TASK_WAS_STOPPED;
	return WSTOPSIG(wait_status) == SIGSTOP && wait_status >> 16 == PTRACE_EVENT_STOP
		       ? TASK_WAS_STOPPED
		       : TASK_WAS_ALIVE;
}

/* What it would be written to is not looked at by any known plugin, and its layout is nobody's
 * promise. */
int parse_pid_status(int pid, struct seize_task_status *status, void *data)
{
	return kill(pid, 0) == 0 ? 0 : -1;
}

/* Tasks are always stopped that way. */
void set_compel_interrupt_only_mode(void)
{
}
