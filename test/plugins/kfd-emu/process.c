// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files, and what a process has in the driver. As kfd_process.c has it, there is one such
 * process for each address space that opened kfd, however often; its last open file, or the end of
 * the address space, by exit or exec, lets go of it (kfd_process_notifier_release(),
 * kfd_unref_process()). It has one device for each GPU (kfd_init_apertures()), known to it by an id
 * that is the real one at first and may be another one after a restore.
 */
#include "emu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HANDLES_MAX = 1 << 22 };

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return fopen(path, "re");
}

/* The rest of the line of a field; false if it cannot be had. */
static bool status_line(pid_t tid, const char *name, char value[256])
{
	FILE *file = open_proc(tid, "status");
	size_t length = strlen(name);
	char line[512];
	bool is_found = false;

	if (!file)
		return false;
	while (!is_found && fgets(line, sizeof(line), file))
		is_found = strncmp(line, name, length) == 0 && line[length] == ':';
	fclose(file);
	if (is_found)
		snprintf(value, 256, "%s", line + length + 1);
	return is_found;
}

long long status_field(pid_t tid, const char *name, int base)
{
	char value[256];

	return status_line(tid, name, value) ? strtoll(value, NULL, base) : -1;
}

unsigned int status_pids(pid_t tid, pid_t *ret_pids, unsigned int room)
{
	char value[256], *at = value, *end;
	unsigned int n = 0;

	if (!status_line(tid, "NSpid", value))
		return 0;
	for (; n < room; n++, at = end) {
		ret_pids[n] = (pid_t)strtol(at, &end, 10);
		if (end == at)
			break;
	}
	return n;
}

/* Where nothing is, there is an error as long as there is an address space. */
bool process_is_gone(const struct process *process)
{
	char byte;

	return process->is_cleared || pread(process->mem, &byte, 1, 0) == 0;
}

struct gpu *gpu_by_id(struct emu *emu, uint32_t id)
{
	for (unsigned int i = 0; i < emu->n_gpus; i++)
		if (emu->gpus[i].id == id)
			return &emu->gpus[i];
	return NULL;
}

struct device *device_by_user_id(struct process *process, uint32_t id)
{
	for (uint32_t i = 0; i < process->n_devices; i++)
		if (process->devices[i].user_id == id)
			return &process->devices[i];
	return NULL;
}

struct device *device_by_gpu(struct process *process, const struct gpu *gpu)
{
	for (uint32_t i = 0; i < process->n_devices; i++)
		if (process->devices[i].gpu == gpu)
			return &process->devices[i];
	return NULL;
}

struct file *file_open(struct emu *emu, enum file_kind kind, const struct caller *caller)
{
	struct file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->kind = kind;
	file->id = ++emu->last_file;
	file->refs = 1;
	file->opener = caller->pid;
	file->next = emu->files;
	emu->files = file;
	return file;
}

struct file *file_by_id(struct emu *emu, uint32_t id)
{
	for (struct file *file = emu->files; file; file = file->next)
		if (file->id == id)
			return file;
	return NULL;
}

void file_put(struct emu *emu, struct file *file)
{
	struct file **at = &emu->files;

	if (!file || --file->refs)
		return;
	while (*at != file)
		at = &(*at)->next;
	*at = file->next;
	while (file->vm.n)
		vm_unmap(emu, &file->vm, file->vm.mappings[file->vm.n - 1].va, 0);
	for (uint32_t i = 0; i < file->n_gems; i++)
		object_put(emu, file->gems[i].object);
	object_put(emu, file->object);
	if (file->process)
		process_put(emu, file->process);
	for (uint32_t i = 0; i < file->n_lists; i++)
		list_free(&file->lists[i]);
	free(file->lists);
	free(file->vm.mappings);
	free(file->gems);
	free(file);
}

int buffer_insert(struct device *device, struct buffer *buffer, int wanted)
{
	uint32_t at = wanted < 0 ? 0 : (uint32_t)wanted;

	while (wanted < 0 && at < device->n_buffers && device->buffers[at])
		at++;
	/* A driver has no table, and would take it. */
	if (at >= HANDLES_MAX)
		return -ENOMEM;
	if (at >= device->n_buffers) {
		uint32_t n = at < 32 ? 64 : at * 2;
		struct buffer **buffers = realloc(device->buffers, n * sizeof(struct buffer *));

		if (!buffers)
			return -ENOMEM;
		memset(buffers + device->n_buffers, 0,
		       (n - device->n_buffers) * sizeof(struct buffer *));
		device->buffers = buffers;
		device->n_buffers = n;
	}
	if (device->buffers[at])
		return -ENOMEM;
	device->buffers[at] = buffer;
	return (int)at;
}

struct buffer *buffer_by_handle(struct device *device, uint64_t handle)
{
	uint32_t at = (uint32_t)handle;

	return at < device->n_buffers ? device->buffers[at] : NULL;
}

bool process_has(const struct process *process, const struct object *object)
{
	for (uint32_t i = 0; i < process->n_devices; i++)
		for (uint32_t j = 0; j < process->devices[i].n_buffers; j++)
			if (process->devices[i].buffers[j] &&
			    process->devices[i].buffers[j]->object == object)
				return true;
	return false;
}

void buffer_free(struct emu *emu, struct process *process, struct buffer *buffer)
{
	for (uint32_t i = 0; i < process->n_devices; i++) {
		struct device *device = &process->devices[i];

		if (device->vm && (buffer->mapped & (1ULL << i)))
			vm_unmap(emu, &device->vm->vm, buffer->va, buffer->object->size);
		for (uint32_t j = 0; j < device->n_buffers; j++)
			if (device->buffers[j] == buffer)
				device->buffers[j] = NULL;
	}
	if (buffer->object->owner == process)
		buffer->object->owner = NULL;
	object_put(emu, buffer->object);
	free(buffer);
}

static void free_device(struct emu *emu, struct process *process, struct device *device)
{
	for (uint32_t i = 0; i < device->n_buffers; i++) {
		struct buffer *buffer = device->buffers[i];

		if (!buffer)
			continue;
		for (uint32_t j = 0; j < process->n_devices; j++)
			if (process->devices[j].vm && (buffer->mapped & (1ULL << j)))
				vm_unmap(emu, &process->devices[j].vm->vm, buffer->va,
					 buffer->object->size);
		if (buffer->object->owner == process)
			buffer->object->owner = NULL;
		object_put(emu, buffer->object);
		free(buffer);
	}
	free(device->buffers);
	device->buffers = NULL;
	device->n_buffers = 0;
}

/* All that the address space had; what is left is for the files that are still open. */
static void clear(struct emu *emu, struct process *process)
{
	struct event *event;
	struct svm_range *range;

	while (process->queues)
		queue_free(emu, process, process->queues);
	while ((event = process->events)) {
		process->events = event->next;
		free(event);
	}
	while ((range = process->ranges)) {
		process->ranges = range->next;
		free(range);
	}
	for (uint32_t i = 0; i < process->n_devices; i++)
		free_device(emu, process, &process->devices[i]);
	for (uint32_t i = 0; i < process->n_devices; i++) {
		struct file *vm = process->devices[i].vm;

		if (vm)
			vm->is_compute_vm = false;
		file_put(emu, vm);
	}
	free(process->devices);
	process->devices = NULL;
	process->n_devices = 0;
	if (process->mem >= 0)
		close(process->mem);
	process->mem = -1;
	process->is_cleared = true;
}

void process_put(struct emu *emu, struct process *process)
{
	struct process **at = &emu->processes;

	if (--process->refs)
		return;
	while (*at != process)
		at = &(*at)->next;
	*at = process->next;
	clear(emu, process);
	free(process);
}

void processes_reap(struct emu *emu)
{
	for (struct process *process = emu->processes; process; process = process->next)
		if (!process->is_cleared && process_is_gone(process)) {
			log_text(emu, "op=end pid=%d", process->pid);
			clear(emu, process);
		}
}

struct process *process_open(struct emu *emu, const struct caller *caller)
{
	struct process *process;
	char path[64];

	for (process = emu->processes; process; process = process->next)
		if (process->pid == caller->pid && !process_is_gone(process)) {
			process->refs++;
			return process;
		}
	process = calloc(1, sizeof(*process));
	if (!process)
		return NULL;
	process->devices = calloc(emu->n_gpus ? emu->n_gpus : 1, sizeof(struct device));
	snprintf(path, sizeof(path), "/proc/%d/mem", caller->pid);
	process->mem = open(path, O_RDWR | O_CLOEXEC);
	if (!process->devices || process->mem < 0) {
		free(process->devices);
		free(process);
		return NULL;
	}
	process->pid = caller->pid;
	process->refs = 1;
	process->n_devices = emu->n_gpus;
	for (uint32_t i = 0; i < emu->n_gpus; i++) {
		process->devices[i].gpu = &emu->gpus[i];
		process->devices[i].user_id = emu->gpus[i].id;
	}
	process->next = emu->processes;
	emu->processes = process;
	return process;
}
