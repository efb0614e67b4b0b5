// SPDX-License-Identifier: GPL-2.0-only
/*
 * The recording plugin on dump. PAUSE_DEVICES locks each process, PRE_DUMP_DEVICES pauses those
 * that have files, each with a record for recover() first; the closing hooks undo it. A file's
 * state goes under a key, its buffer into an image of its own. What was written by the device while
 * it was read would show: the first and the last word of the buffer are its counter.
 */
#include "recorder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int only_record(struct criu_call *call, const char *hook)
{
	struct entry entry = {.call = call, .hook = hook};

	return leave(&entry, enter(&entry));
}

static int journal(struct criu_call *call, const struct criu_task *task, uint32_t undo)
{
	const struct recorder *recorder = recorder_of(call);
	struct record record = {.undo = undo,
				.owner = owner_of_plugin(call),
				.pid = task->host_pid,
				.start = start_of(task->host_pid)};
	int id;

	if (!criu_option_bool(call, "journal"))
		return 0;
	memcpy(record.log, recorder->log, sizeof(record.log));
	memcpy(record.device, recorder->device, sizeof(record.device));
	id = criu_journal(call, &record, sizeof(record));
	return id < 0 ? id : 0;
}

static uintptr_t marks_of(const struct criu_task *task)
{
	return (uintptr_t)task->context;
}

static int opening(struct criu_call *call, struct criu_task *task, const char *hook, uint32_t mark,
		   bool is_wanted)
{
	struct entry entry = {.call = call, .hook = hook, .task = task};
	int ret = enter(&entry);

	if (ret == 0 && is_wanted) {
		ret = journal(call, task, mark);
		if (ret == 0)
			ret = device_process(call, mark == IS_LOCKED ? FAKEDEV_LOCK : FAKEDEV_PAUSE,
					     task->host_pid);
		if (ret == 0)
			task->context = (void *)(marks_of(task) | mark);
	}
	return leave(&entry, ret);
}

static int closing(struct criu_call *call, struct criu_task *task, const char *hook, uint32_t mark)
{
	struct entry entry = {.call = call, .hook = hook, .task = task};
	int ret = enter(&entry);

	if (ret == 0 && (marks_of(task) & mark) && criu_option_bool(call, "unpause")) {
		ret = device_process(call, mark == IS_LOCKED ? FAKEDEV_UNLOCK : FAKEDEV_UNPAUSE,
				     task->host_pid);
		task->context = (void *)(marks_of(task) & ~(uintptr_t)mark);
	}
	return leave(&entry, ret);
}

int recorder_pause_begin(struct criu_call *call)
{
	return only_record(call, "pause.begin");
}

int recorder_pause_task(struct criu_call *call, struct criu_task *task)
{
	return opening(call, task, "pause.task", IS_LOCKED, criu_option_bool(call, "lock"));
}

int recorder_pause_end(struct criu_call *call)
{
	return only_record(call, "pause.end");
}

int recorder_pre_dump_begin(struct criu_call *call)
{
	return only_record(call, "pre_dump.begin");
}

int recorder_pre_dump_task(struct criu_call *call, struct criu_task *task)
{
	return opening(call, task, "pre_dump.task", IS_PAUSED,
		       task->n_files && criu_option_bool(call, "pause"));
}

int recorder_pre_dump_end(struct criu_call *call)
{
	return only_record(call, "pre_dump.end");
}

int recorder_post_dump_begin(struct criu_call *call)
{
	return only_record(call, "post_dump.begin");
}

int recorder_post_dump_task(struct criu_call *call, struct criu_task *task)
{
	return closing(call, task, "post_dump.task", IS_PAUSED);
}

int recorder_post_dump_end(struct criu_call *call)
{
	return only_record(call, "post_dump.end");
}

int recorder_resume_begin(struct criu_call *call)
{
	return only_record(call, "resume.begin");
}

int recorder_resume_task(struct criu_call *call, struct criu_task *task)
{
	return closing(call, task, "resume.task", IS_LOCKED);
}

int recorder_resume_end(struct criu_call *call)
{
	return only_record(call, "resume.end");
}

static int write_all(int fd, const unsigned char *data, size_t size)
{
	while (size) {
		ssize_t done = write(fd, data, size);

		if (done < 0)
			return -errno;
		data += done;
		size -= (size_t)done;
	}
	return 0;
}

static int check_torn(struct criu_call *call, const struct criu_file *file,
		      const struct fakedev_state *state, const unsigned char *data)
{
	uint64_t first, last;

	memcpy(&first, data, 8);
	memcpy(&last, data + state->size - 8, 8);
	if (first == last && (!state->is_running || first == state->counter))
		return 0;
	return criu_error(call, -EIO, "%s: torn: %llu at the start, %llu at the end, counter %llu",
			  file->path, (unsigned long long)first, (unsigned long long)last,
			  (unsigned long long)state->counter);
}

static int dump_buffer(struct criu_call *call, const struct criu_file *file,
		       const struct fakedev_state *state, int fd)
{
	unsigned char *data = malloc(state->size);
	char name[64];
	int image, ret;

	if (!data)
		return criu_error(call, -ENOMEM, "no memory");
	if (pread(fd, data, state->size, (off_t)state->offset) != (ssize_t)state->size) {
		ret = criu_error(call, -EIO, "%s: read the buffer: %s", file->path,
				 strerror(errno));
		goto out;
	}
	ret = check_torn(call, file, state, data);
	if (ret < 0)
		goto out;
	image = criu_image_open(call, image_name(call, file, name));
	if (image < 0) {
		ret = criu_error(call, image, "%s: create", name);
		goto out;
	}
	ret = write_all(image, data, state->size);
	if (close(image) < 0 && ret == 0)
		ret = -errno;
	if (ret < 0)
		ret = criu_error(call, ret, "%s: write: %s", name, strerror(-ret));
out:
	free(data);
	return ret;
}

static int dump_state(struct criu_call *call, const struct criu_file *file, int fd)
{
	struct saved saved = {.state = {0}};
	char key[64];
	int ret;

	saved.state.registers = (uintptr_t)saved.registers;
	saved.state.words = (uintptr_t)saved.words;
	snprintf(saved.node, sizeof(saved.node), "%s", node_of(file->path));
	if (ioctl(fd, FAKEDEV_CHECKPOINT, &saved.state) < 0)
		return criu_error(call, -errno, "%s: read the state: %s", file->path,
				  strerror(errno));
	if (saved.state.size) {
		ret = dump_buffer(call, file, &saved.state, fd);
		if (ret < 0)
			return ret;
	}
	ret = criu_data_put(call, file_key(file, key), &saved, sizeof(saved));
	return ret < 0 ? criu_error(call, ret, "%s: save", key) : 0;
}

int recorder_dump_file(struct criu_call *call, struct criu_file *file, int fd)
{
	struct entry entry = {.call = call, .hook = "dump_file", .task = file->task, .file = file};
	int ret = enter(&entry);

	if (ret == 0)
		ret = dump_state(call, file, fd);
	return leave(&entry, ret);
}

int recorder_dump_mapping(struct criu_call *call, struct criu_mapping *mapping)
{
	struct entry entry = {
		.call = call, .hook = "dump_mapping", .task = mapping->task, .mapping = mapping};
	int ret = enter(&entry);

	if (ret == 0 && !mapping->file)
		ret = criu_error(call, -ENOTSUP, "%s is mapped and no longer open", mapping->path);
	return leave(&entry, ret);
}

int recorder_recover(struct criu_call *call, const void *data, size_t size)
{
	const struct record *record = data;
	int ret;

	if (size != sizeof(*record))
		return -EINVAL;
	record_line(record->log, "event=enter plugin=%s hook=recover undo=%s host=%d",
		    call->plugin->name, record->undo == IS_PAUSED ? "pause" : "lock", record->pid);
	ret = *record->device ? undo_record(record) : 0;
	record_line(record->log, "event=leave plugin=%s hook=recover undo=%s host=%d result=%d",
		    call->plugin->name, record->undo == IS_PAUSED ? "pause" : "lock", record->pid,
		    ret);
	return ret < 0 ? criu_error(call, ret, "pid %d: %s", record->pid, strerror(-ret)) : 0;
}
