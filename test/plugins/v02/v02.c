// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of the v0.2 interface, written as those for CRIU 4.2 are: it keeps globals, finds its
 *files by their links, and returns -ENOTSUP for what is not its own. Each hook call is a line in
 *the log, with plugin=v02 and event=enter, as the recording plugin writes them (recorder/record.c),
 *except that the interface says neither task nor file but by number.
 *
 * It handles nodes of the fake device, and, to have something that reaches hooks of this interface
 *in any case, character devices whose path CRIU_V02_MATCH names (/dev/fuse), which it just opens
 *again.
 *
 *	CRIU_V02_LOG      file for the log
 *	CRIU_V02_DEVICE   folder of the fake device
 *	CRIU_V02_MATCH    path of a character device that is also its own
 *	CRIU_V02_RETRY    how often RESTORE_EXT_FILE asks for another try of each file, first
 *	CRIU_V02_FAIL     HOOK=RESULT: that hook returns this number ("CHECKPOINT_DEVICES=-5"),
 *crashes
 *	                  ("=segv") or never comes back ("=hang")
 *	CRIU_V02_THREAD   init() makes a thread that never ends
 *	CRIU_V02_SHIFT    UPDATE_VMA_MAP moves mappings of that path by so many bytes, and opens it
 *	CRIU_V02_INVENTORY 0: it does not add its name to the inventory
 *
 * v02.so, and v02-second.so under that name, for two at once.
 */
#include "criu/criu-plugin.h"
#include "fakedev.h"
#include "v02.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef V02_NAME
#define V02_NAME "v02"
#endif

enum { MAX_PIDS = 256, MAX_MOVES = 4096 };

struct saved {
	char path[1024];
	uint32_t is_node;
	struct fakedev_state state;
	uint64_t registers[FAKEDEV_REGISTERS];
	uint64_t words[FAKEDEV_WORDS];
};

/* Where a buffer was and is now; shared by all tasks that are restored. */
struct move {
	uint64_t from, size, to;
	char path[1024];
};

struct moves {
	unsigned int n;
	struct move move[MAX_MOVES];
};

static struct {
	int pid, is_paused;
} quiet[MAX_PIDS];
static unsigned int n_quiet;
static struct moves *moves;
static unsigned int n_tries[65536];
static volatile unsigned int n_counted;

/* What the environment wants the hook to return instead of doing anything; 0: nothing. */
static int wanted(const char *hook)
{
	const char *fail = getenv("CRIU_V02_FAIL");
	size_t size = strlen(hook);

	if (!fail || strncmp(fail, hook, size) != 0 || fail[size] != '=')
		return 0;
	fail += size + 1;
	if (strcmp(fail, "segv") == 0)
		*(volatile int *)8 = 1;
	while (strcmp(fail, "hang") == 0)
		pause();
	return atoi(fail);
}

static int process(unsigned long what, int pid)
{
	const char *device = getenv("CRIU_V02_DEVICE");
	struct fakedev_process arg = {(uint32_t)pid, sizeof(V02_NAME)};
	char path[1024];
	int fd, ret;

	if (!device || !*device)
		return 0;
	snprintf(path, sizeof(path), "%s/control", device);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = ioctl(fd, what, &arg) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static bool is_match(const char *path)
{
	const char *match = getenv("CRIU_V02_MATCH");

	return match && *match && strcmp(path, match) == 0;
}

static bool is_node(const char *path)
{
	const char *device = getenv("CRIU_V02_DEVICE");
	size_t size = device ? strlen(device) : 0;

	return size && strncmp(path, device, size) == 0 && path[size] == '/';
}

static int link_of(int fd, char *path, size_t room)
{
	char name[64];
	ssize_t size;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	size = readlink(name, path, room - 1);
	if (size < 0)
		return -errno;
	path[size] = 0;
	return 0;
}

static int image_open(const char *what, int id, int flags)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), V02_NAME "-%s-%d.img", what, id);
	fd = openat(criu_get_image_dir(), name, flags | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static void *count(void *arg)
{
	while (true)
		n_counted++;
	return arg;
}

static int v02_init(int stage)
{
	pthread_t thread;
	int ret;

	v02_line(V02_NAME, "init", "stage=%d", stage);
	ret = wanted("init");
	if (ret)
		return ret;
	if (getenv("CRIU_V02_THREAD"))
		pthread_create(&thread, NULL, count, NULL);
	if (stage == CR_PLUGIN_STAGE__RESTORE) {
		bool is_listed = check_and_remove_inventory_plugin(V02_NAME, strlen(V02_NAME));

		v02_line(V02_NAME, "inventory", "listed=%d", is_listed);
		moves = mmap(NULL, sizeof(*moves), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (moves == MAP_FAILED)
			return -errno;
		return 0;
	}
	if (stage == CR_PLUGIN_STAGE__DUMP &&
	    (!getenv("CRIU_V02_INVENTORY") || atoi(getenv("CRIU_V02_INVENTORY"))))
		return add_inventory_plugin(V02_NAME);
	return 0;
}

/* Whatever became of the dump, nobody stays paused. */
static void v02_exit(int stage, int ret)
{
	v02_line(V02_NAME, "exit", "stage=%d ret=%d", stage, ret);
	while (n_quiet) {
		n_quiet--;
		if (quiet[n_quiet].is_paused)
			process(FAKEDEV_UNPAUSE, quiet[n_quiet].pid);
		process(FAKEDEV_UNLOCK, quiet[n_quiet].pid);
	}
}

static int v02_pause(int pid)
{
	int ret = wanted("PAUSE_DEVICES");

	v02_line(V02_NAME, "PAUSE_DEVICES", "host=%d", pid);
	if (ret)
		return ret;
	ret = process(FAKEDEV_LOCK, pid);
	/* The host may ask twice for a task. */
	if (ret == -EALREADY)
		return 0;
	if (ret == 0 && n_quiet < MAX_PIDS) {
		quiet[n_quiet].pid = pid;
		quiet[n_quiet++].is_paused = 0;
	}
	return ret;
}

static int v02_checkpoint(int pid)
{
	int ret = wanted("CHECKPOINT_DEVICES");

	v02_line(V02_NAME, "CHECKPOINT_DEVICES", "host=%d", pid);
	if (ret)
		return ret;
	ret = process(FAKEDEV_PAUSE, pid);
	for (unsigned int i = 0; ret == 0 && i < n_quiet; i++)
		if (quiet[i].pid == pid)
			quiet[i].is_paused = 1;
	return ret;
}

static int dump_node(int fd, int id, struct saved *saved)
{
	void *data;
	int image, ret = 0;

	saved->is_node = 1;
	saved->state.registers = (uintptr_t)saved->registers;
	saved->state.words = (uintptr_t)saved->words;
	if (ioctl(fd, FAKEDEV_CHECKPOINT, &saved->state) < 0)
		return -errno;
	if (!saved->state.size)
		return 0;
	data = malloc(saved->state.size);
	image = image_open("buffer", id, O_WRONLY | O_CREAT | O_TRUNC);
	if (!data || image < 0 ||
	    pread(fd, data, saved->state.size, (off_t)saved->state.offset) !=
		    (ssize_t)saved->state.size ||
	    write(image, data, saved->state.size) != (ssize_t)saved->state.size)
		ret = -EIO;
	free(data);
	if (image >= 0)
		close(image);
	return ret;
}

static int v02_dump_file(int fd, int id)
{
	struct saved saved = {.is_node = 0};
	int image, ret = wanted("DUMP_EXT_FILE");

	if (link_of(fd, saved.path, sizeof(saved.path)) < 0)
		return -ENOTSUP;
	v02_line(V02_NAME, "DUMP_EXT_FILE", "file=%d path=%s", id, saved.path);
	if (ret)
		return ret;
	if (is_node(saved.path))
		ret = dump_node(fd, id, &saved);
	else if (!is_match(saved.path))
		return -ENOTSUP;
	if (ret < 0)
		return ret;
	image = image_open("file", id, O_WRONLY | O_CREAT | O_TRUNC);
	if (image < 0)
		return image;
	if (write(image, &saved, sizeof(saved)) != sizeof(saved))
		ret = -EIO;
	close(image);
	return ret;
}

static int v02_handle_vma(int fd, const struct stat *st)
{
	int ret = wanted("HANDLE_DEVICE_VMA");
	char path[1024];

	if (link_of(fd, path, sizeof(path)) < 0)
		return -ENOTSUP;
	v02_line(V02_NAME, "HANDLE_DEVICE_VMA", "path=%s mode=%#o rdev=%llu", path, st->st_mode,
		 (unsigned long long)st->st_rdev);
	if (ret)
		return ret;
	return is_node(path) || is_match(path) ? 0 : -ENOTSUP;
}

static int v02_late(int id)
{
	v02_line(V02_NAME, "DUMP_DEVICES_LATE", "host=%d", id);
	return wanted("DUMP_DEVICES_LATE");
}

static int v02_restore_init(void)
{
	v02_line(V02_NAME, "RESTORE_INIT", "-");
	return wanted("RESTORE_INIT");
}

static int v02_post_forking(void)
{
	v02_line(V02_NAME, "POST_FORKING", "-");
	return wanted("POST_FORKING");
}

static void remember_move(const struct saved *saved, uint64_t from)
{
	unsigned int n = __atomic_fetch_add(&moves->n, 1, __ATOMIC_SEQ_CST);
	struct move *move = &moves->move[n % MAX_MOVES];

	move->from = from;
	move->to = saved->state.offset;
	snprintf(move->path, sizeof(move->path), "%s", saved->path);
	__atomic_store_n(&move->size, saved->state.size, __ATOMIC_SEQ_CST);
}

static int restore_node(int fd, int id, struct saved *saved)
{
	uint64_t from = saved->state.offset;
	void *data;
	int image, ret = 0;

	saved->state.registers = (uintptr_t)saved->registers;
	saved->state.words = (uintptr_t)saved->words;
	/* What was imported would need another plugin's contract. */
	saved->state.imported = 0;
	saved->state.owner = sizeof(V02_NAME);
	if (ioctl(fd, FAKEDEV_RESTORE, &saved->state) < 0)
		return -errno;
	if (!saved->state.size)
		return 0;
	data = malloc(saved->state.size);
	image = image_open("buffer", id, O_RDONLY);
	if (!data || image < 0 ||
	    read(image, data, saved->state.size) != (ssize_t)saved->state.size ||
	    pwrite(fd, data, saved->state.size, (off_t)saved->state.offset) !=
		    (ssize_t)saved->state.size)
		ret = -EIO;
	free(data);
	if (image >= 0)
		close(image);
	remember_move(saved, from);
	return ret;
}

static int v02_restore_file(int id, bool *retry_needed)
{
	const char *tries = getenv("CRIU_V02_RETRY");
	struct saved saved;
	int image, fd, ret = wanted("RESTORE_EXT_FILE");

	v02_line(V02_NAME, "RESTORE_EXT_FILE", "file=%d retry=%d try=%u", id,
		 *(unsigned char *)retry_needed, n_tries[id & 0xffff]);
	if (ret)
		return ret;
	image = image_open("file", id, O_RDONLY);
	if (image < 0)
		return -ENOTSUP;
	*retry_needed = tries && n_tries[id & 0xffff]++ < (unsigned int)atoi(tries);
	if (*retry_needed) {
		close(image);
		return 0;
	}
	if (read(image, &saved, sizeof(saved)) != sizeof(saved)) {
		close(image);
		return -EIO;
	}
	close(image);
	fd = open(saved.path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = saved.is_node ? restore_node(fd, id, &saved) : 0;
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

static int v02_update_vma(const char *path, uint64_t addr, uint64_t old_pgoff, uint64_t *new_pgoff,
			  int *plugin_fd)
{
	int ret = wanted("UPDATE_VMA_MAP");

	v02_line(V02_NAME, "UPDATE_VMA_MAP", "path=%s start=%llu offset=%llu fd=%d", path,
		 (unsigned long long)addr, (unsigned long long)old_pgoff, *plugin_fd);
	if (ret)
		return ret;
	if (is_match(path)) {
		const char *shift = getenv("CRIU_V02_SHIFT");

		*new_pgoff = old_pgoff + (shift ? strtoull(shift, NULL, 0) : 0);
		if (shift)
			*plugin_fd = open(path, O_RDWR | O_CLOEXEC);
		return 1;
	}
	for (unsigned int i = 0; i < moves->n && i < MAX_MOVES; i++) {
		const struct move *move = &moves->move[i];

		if (strcmp(move->path, path) == 0 && old_pgoff >= move->from &&
		    old_pgoff - move->from < move->size) {
			*new_pgoff = old_pgoff - move->from + move->to;
			return 1;
		}
	}
	return -ENOTSUP;
}

static int v02_resume(int pid)
{
	int ret = wanted("RESUME_DEVICES_LATE");

	v02_line(V02_NAME, "RESUME_DEVICES_LATE", "host=%d", pid);
	if (ret)
		return ret;
	ret = process(FAKEDEV_RESUME, pid);
	return ret == -EALREADY ? 0 : ret;
}

CR_PLUGIN_REGISTER(V02_NAME, v02_init, v02_exit)
#ifdef V02_OLD
/* As plugins say that were built against the version before. */
static void __attribute__((constructor)) say_old(void)
{
	CR_PLUGIN_DESC.version = CRIU_PLUGIN_VERSION_OLD;
}
#endif
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__PAUSE_DEVICES, v02_pause)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__CHECKPOINT_DEVICES, v02_checkpoint)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_EXT_FILE, v02_dump_file)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA, v02_handle_vma)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_DEVICES_LATE, v02_late)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESTORE_INIT, v02_restore_init)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__POST_FORKING, v02_post_forking)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESTORE_EXT_FILE, v02_restore_file)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__UPDATE_VMA_MAP, v02_update_vma)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESUME_DEVICES_LATE, v02_resume)
