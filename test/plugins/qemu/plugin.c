// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin for the device of testgpu.c and for dma-bufs of it and of vgem. Saved: registers and
 * buffer of each open file, contents of dma-bufs of vgem. Not saved: vgem's own open files.
 */
#include <criu/criu-plugin.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "testgpu.h"
#include "vgem.h"

static const struct criu_match node_matches[] = {CRIU_DRIVER("testgpu", 0, 0)};
static const struct criu_match dmabuf_matches[] = {CRIU_LINK("/dmabuf:")};
static const struct criu_class classes[] = {
	{.name = "testgpu.node", .matches = node_matches, .n_matches = 1},
	{.name = "testgpu.dmabuf", .matches = dmabuf_matches, .n_matches = 1},
};
/* clang-format off */
static const struct criu_rule rules[] = {
	{.before = "testgpu.node", .after = "testgpu.dmabuf",
	 .when = CRIU_DUMP | CRIU_RESTORE, .scope = CRIU_SCOPE_TREE},
};
static const struct criu_option options[] = {
	{.name = "kill", .type = CRIU_OPTION_BOOL, .help = "the tool is killed when it reads the first file"},
};
/* clang-format on */

struct record {
	pid_t pid;
	int fd;
};

static bool is_node(const struct criu_file *file)
{
	return file && file->class_of == &classes[0];
}

static const char *key_of(char key[48], const char *what, uint64_t number)
{
	snprintf(key, 48, "%s-%llx", what, (unsigned long long)number);
	return key;
}

static int probe(struct criu_call *call)
{
	return access("/sys/module/testgpu", F_OK) < 0 ? CRIU_ABSENT : CRIU_ACTIVE;
}

/* ---- quiet ---- */

static int set_paused(struct criu_call *call, const struct criu_file *file, bool is_paused)
{
	int fd = criu_file_borrow(call, file), ret;

	if (fd < 0)
		return criu_error(call, fd, "%s: borrow", file->path);
	ret = ioctl(fd, is_paused ? TESTGPU_PAUSE : TESTGPU_UNPAUSE) < 0 ? -errno : 0;
	close(fd);
	return ret ? criu_error(call, ret, "%s: pause or unpause", file->path) : 0;
}

static int pause_task(struct criu_call *call, struct criu_task *task)
{
	int err = 0;

	for (size_t i = 0; i < task->n_files && !err; i++) {
		const struct record record = {task->host_pid, task->files[i]->fd};

		if (!is_node(task->files[i]) || task->files[i]->task != task)
			continue;
		err = criu_journal(call, &record, sizeof(record));
		err = err < 0 ? err : set_paused(call, task->files[i], true);
	}
	return err;
}

static int unpause_task(struct criu_call *call, struct criu_task *task)
{
	int first = 0;

	for (size_t i = 0; i < task->n_files; i++) {
		int err = 0;

		if (is_node(task->files[i]) && task->files[i]->task == task)
			err = set_paused(call, task->files[i], false);
		first = first ? first : err;
	}
	return first;
}

/* Of a process that the caller traces. */
static int unpause_remote(pid_t pid, int number)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	int err = fd < 0 || (ioctl(fd, TESTGPU_UNPAUSE) < 0 && errno != EALREADY) ? -errno : 0;

	close(fd);
	close(pidfd);
	return err;
}

static int recover(struct criu_call *call, const void *data, size_t size)
{
	const struct record *record = data;

	if (ptrace(PTRACE_SEIZE, record->pid, NULL, NULL) < 0)
		return errno == ESRCH ? 0 : -errno;
	return unpause_remote(record->pid, record->fd);
}

/* ---- dump ---- */

static int put_contents(struct criu_call *call, const struct criu_file *file, const void *data,
			size_t size)
{
	char name[64];
	int fd, ret;

	snprintf(name, sizeof(name), "testgpu-%u.img", file->id);
	fd = criu_image_open(call, name);
	if (fd < 0)
		return criu_error(call, fd, "%s", name);
	ret = write(fd, data, size) == (ssize_t)size ? 0 : -EIO;
	close(fd);
	return ret;
}

static int dump_node(struct criu_call *call, const struct criu_file *file, int fd)
{
	struct testgpu_state state = {0};
	uint64_t *contents;
	char key[48];
	int err;

	if (criu_option_bool(call, "kill"))
		kill(getpid(), SIGKILL);
	if (ioctl(fd, TESTGPU_READ, &state) < 0)
		return criu_error(call, -errno, "read the registers");
	contents = malloc(state.size + 8);
	state.contents = (uintptr_t)contents;
	if (!contents || ioctl(fd, TESTGPU_READ, &state) < 0)
		return criu_error(call, -errno, "read the buffer");
	if (state.size && contents[state.size / 8 - 1] != state.registers[TESTGPU_REGISTERS - 1])
		return criu_error(call, -EIO, "the engine runs while it is read");
	err = put_contents(call, file, contents, state.size);
	free(contents);
	return err ? err
		   : criu_data_put(call, key_of(key, "node", file->id), &state, sizeof(state));
}

static bool is_of_node(struct criu_call *call, uint64_t inode)
{
	for (size_t i = 0; i < call->n_tasks; i++)
		for (size_t j = 0; j < call->tasks[i]->n_files; j++) {
			const struct criu_file *file = call->tasks[i]->files[j];
			struct testgpu_state state = {0};
			int fd = is_node(file) ? criu_file_borrow(call, file) : -1;

			if (fd < 0)
				continue;
			if (ioctl(fd, TESTGPU_READ, &state) < 0)
				state.inode = 0;
			close(fd);
			if (state.inode == inode)
				return true;
		}
	return false;
}

static int dump_dmabuf(struct criu_call *call, const struct criu_file *file, int fd)
{
	const size_t size = (size_t)lseek(fd, 0, SEEK_END);
	const uint64_t inode = is_of_node(call, file->ino) ? file->ino : 0;
	char key[48];
	void *at;
	int err = criu_data_put(call, key_of(key, "dmabuf", file->id), &inode, sizeof(inode));

	if (err || inode)
		return err;
	at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return criu_error(call, -errno, "map it");
	err = put_contents(call, file, at, size);
	munmap(at, size);
	return err;
}

static int dump_file(struct criu_call *call, struct criu_file *file, int fd)
{
	return is_node(file) ? dump_node(call, file, fd) : dump_dmabuf(call, file, fd);
}

/* ---- restore ---- */

static void *get_contents(struct criu_call *call, const struct criu_file *file, size_t *ret_size)
{
	char name[64];
	void *data = NULL;
	int fd;

	snprintf(name, sizeof(name), "testgpu-%u.img", file->id);
	fd = criu_image_open(call, name);
	if (fd < 0)
		return NULL;
	*ret_size = (size_t)lseek(fd, 0, SEEK_END);
	data = malloc(*ret_size + 1);
	if (data && pread(fd, data, *ret_size, 0) != (ssize_t)*ret_size)
		*ret_size = 0;
	close(fd);
	return data;
}

static int export(struct criu_call *call, int fd, uint64_t old_inode)
{
	int dmabuf, err;
	char key[48];

	if (!old_inode)
		return 0;
	if (ioctl(fd, TESTGPU_EXPORT, &dmabuf) < 0)
		return -errno;
	err = criu_share_put_fd(call, key_of(key, "inode", old_inode), dmabuf);
	close(dmabuf);
	return err;
}

static int restore_node(struct criu_call *call, const struct criu_file *file, int *ret_fd)
{
	const struct testgpu_state *old;
	struct testgpu_state state;
	size_t size = 0;
	char key[48];
	void *contents;
	int fd, err;

	if (criu_data_get(call, key_of(key, "node", file->id), (const void **)&old, &size) < 0)
		return criu_error(call, -ENOENT, "no state");
	state = *old;
	contents = get_contents(call, file, &size);
	if (!contents || size != state.size)
		return criu_error(call, -EBADMSG, "no contents");
	state.contents = (uintptr_t)contents;
	fd = open(file->path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TESTGPU_WRITE, &state) < 0)
		return criu_error(call, -errno, "make it again");
	free(contents);
	*ret_fd = fd;
	err = export(call, fd, old->inode);
	if (!err && state.size)
		err = criu_share_put_bytes(call, key_of(key, "offset", old->offset), &state.offset,
					   8);
	return err;
}

static int restore_vgem(struct criu_call *call, const struct criu_file *file, int *ret_fd)
{
	size_t size = 0;
	void *contents = get_contents(call, file, &size), *at;

	*ret_fd = contents ? vgem_buffer(size) : -EBADMSG;
	if (*ret_fd < 0)
		return criu_error(call, *ret_fd, "a buffer of vgem");
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
	if (at == MAP_FAILED)
		return criu_error(call, -errno, "map a buffer of vgem");
	memcpy(at, contents, size);
	munmap(at, size);
	free(contents);
	return 0;
}

static int restore_file(struct criu_call *call, struct criu_file *file, int *fd)
{
	const uint64_t *inode;
	char key[48];
	size_t size;
	int err = 0;

	if (is_node(file)) {
		err = restore_node(call, file, fd);
	} else if (criu_data_get(call, key_of(key, "dmabuf", file->id), (const void **)&inode,
				 &size) < 0) {
		err = -ENOENT;
	} else if (*inode) {
		*fd = criu_share_get_fd(call, key_of(key, "inode", *inode));
		err = *fd < 0 ? *fd : 0;
	} else {
		err = restore_vgem(call, file, fd);
	}
	return err ? err : criu_share_put_fd(call, key_of(key, "file", file->id), *fd);
}

static int update_mapping(struct criu_call *call, struct criu_mapping *mapping, uint64_t *offset,
			  int *fd)
{
	char key[48];

	if (!mapping->file)
		return criu_error(call, -ENOENT, "its file is not there");
	if (is_node(mapping->file) &&
	    criu_share_get_bytes(call, key_of(key, "offset", mapping->offset), offset, 8) != 8)
		return -ENOENT;
	/* As DRM tells it, this has the buffer's offset in its node; all is mapped from the
	 * beginning. */
	if (!is_node(mapping->file))
		*offset = 0;
	*fd = criu_share_get_fd(call, key_of(key, "file", mapping->file->id));
	return *fd < 0 ? *fd : 0;
}

static int resume_late(struct criu_call *call, struct criu_task *task)
{
	int err = 0;

	for (size_t i = 0; i < task->n_files && !err; i++)
		if (is_node(task->files[i]) && task->files[i]->task == task)
			err = unpause_remote(task->host_pid, task->files[i]->fd);
	return err;
}

/* clang-format off */
CRIU_PLUGIN_EXPORT const struct criu_plugin CRIU_PLUGIN = {
	.abi = CRIU_PLUGIN_ABI, .size = sizeof(struct criu_plugin),
	.name = "testgpu", .version = "1.0", .about = "the device of testgpu.ko",
	.classes = classes, .n_classes = 2, .rules = rules, .n_rules = 1,
	.options = options, .n_options = 1, .probe = probe, .recover = recover,
	.pre_dump = {.task = pause_task}, .post_dump = {.task = unpause_task},
	.dump_file = dump_file, .restore_file = restore_file,
	.update_mapping = update_mapping, .resume_late = resume_late,
};
