// SPDX-License-Identifier: GPL-2.0-only
/*
 * The recording plugin on restore. A file is opened again by its path and takes its state; the
 * device puts its buffer elsewhere and gives it another number when it is exported, so both are
 * shared under keys, "offset.ID" and "export.NUMBER": the first for mappings, also those of other
 * processes, the second for who imports. Handles stay halted until RESUME_DEVICES_LATE.
 */
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a file's context says once it has waited. */
#define HAS_WAITED ((void *)1)

static int saved_of(struct criu_call *call, const struct criu_file *file, struct saved *saved)
{
	const void *data;
	char key[64];
	size_t size;
	int ret = criu_data_get(call, file_key(file, key), &data, &size);

	if (ret < 0)
		return criu_error(call, ret, "%s: not in the images", key);
	if (size != sizeof(*saved))
		return criu_error(call, -EINVAL, "%s: %zu bytes, not %zu", key, size,
				  sizeof(*saved));
	memcpy(saved, data, size);
	saved->state.registers = (uintptr_t)saved->registers;
	saved->state.words = (uintptr_t)saved->words;
	return 0;
}

int recorder_restore_begin(struct criu_call *call)
{
	struct entry entry = {.call = call, .hook = "restore_begin"};

	return leave(&entry, enter(&entry));
}

static const char *const stage_names[] = {
	[CRIU_STAGE_START] = "start",       [CRIU_STAGE_NAMESPACES] = "namespaces",
	[CRIU_STAGE_FORKED] = "forked",     [CRIU_STAGE_FILES] = "files",
	[CRIU_STAGE_MAPPINGS] = "mappings", [CRIU_STAGE_MEMORY] = "memory",
	[CRIU_STAGE_HELD] = "held",
};

static const char *stage_hook(const char *hook, enum criu_stage stage, char name[64])
{
	bool is_known = stage >= CRIU_STAGE_START && stage <= CRIU_STAGE_HELD;

	snprintf(name, 64, "%s.%s", hook, is_known ? stage_names[stage] : "?");
	return name;
}

int recorder_barrier(struct criu_call *call, enum criu_stage stage)
{
	char hook[64];
	struct entry entry = {.call = call, .hook = stage_hook("barrier", stage, hook)};

	return leave(&entry, enter(&entry));
}

static bool meets(struct criu_call *call, const struct criu_task *task)
{
	const char *class_name = call->plugin->barriers[0].class_name;

	for (size_t i = 0; i < task->n_files; i++)
		if (strcmp(task->files[i]->class_of->name, class_name) == 0)
			return true;
	return false;
}

static int keep_one(struct criu_call *call)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), kept;

	if (fd < 0)
		return criu_error(call, -errno, "/dev/null: %s", strerror(errno));
	kept = criu_keep_fd(call, fd);
	if (kept >= 0)
		return 0;
	close(fd);
	return criu_error(call, kept, "keep descriptor %d", fd);
}

int recorder_task_stage(struct criu_call *call, struct criu_task *task, enum criu_stage stage)
{
	char hook[64];
	struct entry entry = {
		.call = call, .hook = stage_hook("task_stage", stage, hook), .task = task};
	int ret = enter(&entry);

	if (ret == 0 && stage == CRIU_STAGE_FILES && criu_option_bool(call, "keep"))
		ret = keep_one(call);
	if (ret == 0 && stage == CRIU_STAGE_MAPPINGS && criu_option_bool(call, "barrier") &&
	    meets(call, task))
		ret = criu_barrier_wait(call, call->plugin->barriers[0].name);
	return leave(&entry, ret);
}

/* Option "wait". CRIU_HANDLED: go on. */
static int wait_first(struct criu_call *call, struct criu_file *file)
{
	const char *how = criu_option_string(call, "wait");
	bool is_last = file->class_of == &call->plugin->classes[call->plugin->n_classes - 1];
	char byte;

	if (!*how)
		return CRIU_HANDLED;
	if (strcmp(how, "deadlock") == 0)
		return criu_wait_class(call, is_last ? call->plugin->classes[0].name
						     : call->plugin->classes[1].name);
	if (!is_last)
		return CRIU_HANDLED;
	if (strcmp(how, "get-never") == 0) {
		ssize_t size = criu_share_get_bytes(call, "never", &byte, 1);

		return size < 0 ? criu_error(call, (int)size, "key 'never': %s",
					     strerror((int)-size))
				: CRIU_HANDLED;
	}
	if (strcmp(how, "never") == 0)
		return criu_wait_key(call, "never");
	if (file->context == HAS_WAITED)
		return CRIU_HANDLED;
	file->context = HAS_WAITED;
	if (strcmp(how, "key") == 0)
		return criu_wait_key(call, "ready");
	if (strcmp(how, "class") == 0)
		return criu_wait_class(call, call->plugin->classes[0].name);
	return criu_error(call, -EINVAL, "option wait: '%s'", how);
}

static int put(struct criu_call *call, const char *key, const void *data, size_t size)
{
	int ret = criu_share_put_bytes(call, key, data, size);

	return ret < 0 ? criu_error(call, ret, "share '%s': %s", key, strerror(-ret)) : 0;
}

/* Handles are numbered anew: what was imported has the number that its exporter got. */
static int find_import(struct criu_call *call, struct saved *saved)
{
	uint32_t number;
	char key[64];
	ssize_t size;

	if (!saved->state.imported)
		return 0;
	snprintf(key, sizeof(key), "export.%u", saved->state.imported);
	size = criu_share_get_bytes(call, key, &number, sizeof(number));
	if (size != sizeof(number))
		return criu_error(call, size < 0 ? (int)size : -EIO, "share '%s'", key);
	saved->state.imported = number;
	return 0;
}

static int fill_buffer(struct criu_call *call, const struct criu_file *file,
		       const struct fakedev_state *state, int fd)
{
	char name[64], *data = malloc(state->size);
	int image, ret = 0;

	if (!data)
		return criu_error(call, -ENOMEM, "no memory");
	image = criu_image_open(call, image_name(call, file, name));
	if (image < 0) {
		free(data);
		return criu_error(call, image, "%s: open", name);
	}
	if (pread(image, data, state->size, 0) != (ssize_t)state->size)
		ret = criu_error(call, -EIO, "%s: too short", name);
	else if (pwrite(fd, data, state->size, (off_t)state->offset) != (ssize_t)state->size)
		ret = criu_error(call, -EIO, "%s: write the buffer: %s", file->path,
				 strerror(errno));
	close(image);
	free(data);
	return ret;
}

static int share_file(struct criu_call *call, const struct criu_file *file,
		      const struct fakedev_state *state, uint32_t old_export, int fd)
{
	char key[64];
	int ret = 0;

	if (state->size) {
		snprintf(key, sizeof(key), "offset.%u", file->id);
		ret = put(call, key, &state->offset, sizeof(state->offset));
	}
	if (ret == 0 && state->size && criu_option_bool(call, "mapping-fd")) {
		snprintf(key, sizeof(key), "fd.%u", file->id);
		ret = criu_share_put_fd(call, key, fd);
		if (ret < 0)
			ret = criu_error(call, ret, "share '%s': %s", key, strerror(-ret));
	}
	if (ret == 0 && old_export) {
		snprintf(key, sizeof(key), "export.%u", old_export);
		ret = put(call, key, &state->exported, sizeof(state->exported));
	}
	if (ret == 0 && strcmp(criu_option_string(call, "wait"), "key") == 0 &&
	    file->class_of == &call->plugin->classes[0]) {
		ret = criu_share_put_bytes(call, "ready", "", 1);
		if (ret == -EEXIST)
			ret = 0;
	}
	return ret;
}

static int open_node(struct criu_call *call, const struct criu_file *file, const char *node)
{
	char path[1200];
	int fd;

	snprintf(path, sizeof(path), "%s", file->path);
	if (criu_option_bool(call, "move"))
		snprintf(path, sizeof(path), "%s/%s", criu_option_string(call, "device"), node);
	fd = open(path, (int)(file->flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC);
	return fd < 0 ? criu_error(call, -errno, "%s: open: %s", path, strerror(errno)) : fd;
}

static int make_file(struct criu_call *call, struct criu_file *file, int *ret_fd)
{
	uint32_t old_export;
	struct saved saved;
	int fd, ret;

	ret = saved_of(call, file, &saved);
	if (ret == 0)
		ret = find_import(call, &saved);
	if (ret < 0)
		return ret;
	fd = open_node(call, file, saved.node);
	if (fd < 0)
		return fd;
	old_export = saved.state.exported;
	saved.state.owner = owner_of_plugin(call);
	if (ioctl(fd, FAKEDEV_RESTORE, &saved.state) < 0)
		ret = criu_error(call, -errno, "%s: set the state: %s", file->path,
				 strerror(errno));
	if (ret == 0 && saved.state.size)
		ret = fill_buffer(call, file, &saved.state, fd);
	if (ret == 0)
		ret = share_file(call, file, &saved.state, old_export, fd);
	if (ret == 0 && file->pos && lseek(fd, (off_t)file->pos, SEEK_SET) < 0)
		ret = criu_error(call, -errno, "%s: seek", file->path);
	if (ret < 0)
		close(fd);
	else
		*ret_fd = fd;
	return ret;
}

int recorder_restore_file(struct criu_call *call, struct criu_file *file, int *fd)
{
	struct entry entry = {
		.call = call, .hook = "restore_file", .task = file->task, .file = file};
	int ret = enter(&entry);

	if (ret == 0)
		ret = wait_first(call, file);
	if (ret == CRIU_HANDLED)
		ret = make_file(call, file, fd);
	return leave(&entry, ret);
}

static int find_mapping(struct criu_call *call, const struct criu_mapping *mapping,
			uint64_t *offset, int *fd)
{
	struct saved saved;
	uint64_t now;
	char key[64];
	ssize_t size;
	int ret;

	if (!mapping->file)
		return criu_error(call, -ENOTSUP, "%s is mapped and not open", mapping->path);
	ret = saved_of(call, mapping->file, &saved);
	if (ret < 0)
		return ret;
	snprintf(key, sizeof(key), "offset.%u", mapping->file->id);
	size = criu_share_get_bytes(call, key, &now, sizeof(now));
	if (size != sizeof(now))
		return criu_error(call, size < 0 ? (int)size : -EIO, "share '%s'", key);
	*offset = mapping->offset - saved.state.offset + now;
	if (!criu_option_bool(call, "mapping-fd"))
		return 0;
	snprintf(key, sizeof(key), "fd.%u", mapping->file->id);
	ret = criu_share_get_fd(call, key);
	if (ret < 0)
		return criu_error(call, ret, "share '%s': %s", key, strerror(-ret));
	*fd = ret;
	return 0;
}

/* One task may have several files of one node open: which of them a mapping belongs to only its
 * offset tells. */
static const struct criu_file *owner_of(struct criu_call *call, const struct criu_mapping *mapping)
{
	for (size_t t = 0; t < call->n_tasks; t++)
		for (size_t i = 0; i < call->tasks[t]->n_files; i++) {
			const struct criu_file *file = call->tasks[t]->files[i];
			const struct saved *saved;
			char key[64];
			size_t size;

			if (criu_data_get(call, file_key(file, key), (const void **)&saved, &size) <
				    0 ||
			    size != sizeof(*saved))
				continue;
			if (file->ino == mapping->ino && file->dev == mapping->dev &&
			    mapping->offset >= saved->state.offset &&
			    mapping->offset - saved->state.offset < saved->state.size)
				return file;
		}
	return NULL;
}

int recorder_update_mapping(struct criu_call *call, struct criu_mapping *mapping, uint64_t *offset,
			    int *fd)
{
	struct entry entry = {
		.call = call, .hook = "update_mapping", .task = mapping->task, .mapping = mapping};
	struct criu_mapping exact = *mapping;
	int ret = enter(&entry);

	if (ret == 0) {
		exact.file = (struct criu_file *)owner_of(call, mapping);
		ret = find_mapping(call, &exact, offset, fd);
	}
	return leave(&entry, ret);
}

int recorder_resume_late(struct criu_call *call, struct criu_task *task)
{
	struct entry entry = {.call = call, .hook = "resume_late", .task = task};
	int ret = enter(&entry);

	if (ret == 0)
		ret = device_process(call, FAKEDEV_RESUME, task->host_pid);
	return leave(&entry, ret);
}

int recorder_restore_end(struct criu_call *call)
{
	struct entry entry = {.call = call, .hook = "restore_end"};

	return leave(&entry, enter(&entry));
}
