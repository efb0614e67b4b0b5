// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore, by the functions of Linux 6.12 that are named (amdkfd/kfd_chardev.c where no file is
 * named). The process itself hands over everything with RESTORE, on a file that is new, and stays
 * evicted until somebody says RESUME, who needs no more than a file of kfd of his own. Numbers of
 * queues, events and buffers are what they were; offsets are new ones.
 */
#include "criu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* criu_restore_devices() */
static int restore_device(struct call *call, const struct kfd_criu_device *item)
{
	struct gpu *gpu = gpu_by_id(call->emu, item->actual_gpu_id);
	struct file *file;
	struct device *device;

	if (!item->user_gpu_id || !gpu)
		return -EINVAL;
	if (call->emu->find_file(call->emu, call->caller, (int)item->drm_fd, &file) < 0)
		return -EINVAL;
	device = device_by_gpu(call->process, gpu);
	if (!device || device->vm)
		return -EINVAL;
	device->user_id = item->user_gpu_id;
	if (file->kind != FILE_RENDER || file->gpu != gpu || file->is_compute_vm)
		return -EINVAL;
	file->is_compute_vm = true;
	file->refs++;
	device->vm = file;
	return 0;
}

static int restore_devices(struct stream *stream, const struct kfd_criu *arg)
{
	struct kfd_private_device nothing;
	int ret = 0;

	if (arg->n_devices != stream->call->process->n_devices)
		return -EINVAL;
	for (uint32_t i = 0; ret == 0 && i < arg->n_devices; i++) {
		struct kfd_criu_device item;

		ret = copy_from_caller(stream->call, arg->devices + i * sizeof(item), &item,
				       sizeof(item));
		if (ret == 0)
			ret = restore_device(stream->call, &item);
	}
	for (uint32_t i = 0; ret == 0 && i < arg->n_devices; i++)
		ret = stream_read(stream, &nothing, sizeof(nothing));
	return ret;
}

/* criu_restore_memory_of_gpu(), criu_restore_bo() */
static int restore_bo(struct call *call, struct kfd_criu_bo *bo,
		      const struct kfd_private_bo *secret)
{
	struct process *process = call->process;
	struct device *device = device_by_user_id(process, bo->gpu_id);
	struct buffer wanted = {.va = bo->addr, .flags = bo->alloc_flags}, *buffer;
	int ret;

	if (!device)
		return -ENODEV;
	if (secret->handle > INT32_MAX)
		return -EINVAL;
	ret = buffer_new(call, device, &wanted, bo->size, secret->user_address, &buffer);
	if (ret < 0)
		return ret;
	if (buffer_insert(device, buffer, (int)secret->handle) < 0) {
		object_put(call->emu, buffer->object);
		free(buffer);
		return -ENOMEM;
	}
	bo->restored_offset = buffer_offset(device, buffer);
	bo->dmabuf_fd = KFD_NO_FD;
	for (uint32_t i = 0; i < process->n_devices && secret->mapped_gpu_ids[i]; i++) {
		struct device *peer = device_by_user_id(process, secret->mapped_gpu_ids[i]);

		ret = peer ? buffer_map(call, buffer, peer) : -EINVAL;
		if (ret < 0)
			return ret;
	}
	if (buffer->flags & (KFD_VRAM | KFD_GTT)) {
		bo->dmabuf_fd = buffer->object->number;
		buffer->object->is_exported = true;
	}
	return 0;
}

static int restore_bos(struct stream *stream, const struct kfd_criu *arg)
{
	struct call *call = stream->call;
	const struct fault *fault = fault_strike(call->emu, "restore", "kfd", "no-dmabuf");
	struct kfd_criu_bo *bos;
	struct kfd_private_bo *secrets;
	int ret;

	if (stream->offset > stream->size ||
	    arg->n_bos > (stream->size - stream->offset) / sizeof(*secrets))
		return -EINVAL;
	bos = calloc(arg->n_bos + 1ULL, sizeof(*bos));
	secrets = calloc(arg->n_bos + 1ULL, sizeof(*secrets));
	ret = bos && secrets ? 0 : -ENOMEM;
	call->process->is_blocking_mmu = true;
	if (ret == 0)
		ret = copy_from_caller(call, arg->bos, bos, arg->n_bos * sizeof(*bos));
	if (ret == 0)
		ret = stream_read(stream, secrets, arg->n_bos * sizeof(*secrets));
	for (uint32_t i = 0; ret == 0 && i < arg->n_bos; i++) {
		ret = restore_bo(call, &bos[i], &secrets[i]);
		if (fault && bos[i].dmabuf_fd != KFD_NO_FD)
			bos[i].dmabuf_fd += 1 << 20;
	}
	if (ret == 0)
		ret = copy_to_caller(call, arg->bos, bos, arg->n_bos * sizeof(*bos));
	free(bos);
	free(secrets);
	return ret;
}

/* kfd_process_queue_manager.c, kfd_criu_restore_queue() */
static int restore_queue(struct stream *stream)
{
	struct process *process = stream->call->process;
	struct kfd_private_queue item;
	struct device *device;
	struct queue *queue;
	int ret = stream_read(stream, &item, sizeof(item));

	if (ret < 0)
		return ret;
	device = device_by_user_id(process, item.gpu_id);
	if (!device || item.mqd_size != EMU_MQD_SIZE || item.type > KFD_QUEUE_SDMA_XGMI)
		return -EINVAL;
	if (queue_by_id(process, item.queue_id))
		return -EBUSY;
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	*queue = (struct queue){.id = item.queue_id,
				.type = item.type,
				.format = item.format,
				.percentage = item.percentage,
				.priority = item.priority,
				.doorbell_id = item.doorbell_id,
				.device = device,
				.ring = item.ring_address,
				.ring_size = item.ring_size,
				.read_pointer = item.read_pointer,
				.write_pointer = item.write_pointer,
				.eop = item.eop_address,
				.eop_size = item.eop_size,
				.ctx = item.ctx_address,
				.ctx_size = item.ctx_size,
				.ctl_stack_size = item.ctl_stack_size};
	ret = stream_read(stream, queue->mqd, EMU_MQD_SIZE);
	if (ret == 0 && queue->ctl_stack_size > stream->size - stream->offset)
		ret = -EINVAL;
	if (ret == 0)
		ret = check_queue(stream->call, queue);
	if (ret < 0) {
		free(queue);
		return ret;
	}
	stream->offset += queue->ctl_stack_size;
	queue->next = process->queues;
	process->queues = queue;
	return 0;
}

/* kfd_events.c, kfd_criu_restore_event() */
static int restore_event(struct stream *stream)
{
	struct kfd_private_event item;
	struct event event = {0};
	uint32_t id;
	int ret = stream_read(stream, &item, sizeof(item));

	if (ret < 0)
		return ret;
	event.id = item.event_id;
	event.type = item.type;
	event.auto_reset = item.auto_reset;
	event.is_signaled = item.is_signaled;
	memcpy(event.data, item.data, sizeof(event.data));
	if (item.user_handle)
		stream->call->process->event_page = item.user_handle;
	return event_new(stream->call->process, &event, true, &id);
}

/* kfd_svm.c, kfd_criu_restore_svm() */
static int restore_svm(struct stream *stream)
{
	struct process *process = stream->call->process;
	struct svm_range *range = calloc(1, sizeof(*range));
	struct kfd_private_svm item;
	int ret = range ? stream_read(stream, &item, sizeof(item)) : -ENOMEM;

	if (ret == 0)
		ret = stream_read(stream, range->attributes, svm_size(process) - sizeof(item));
	if (ret < 0) {
		free(range);
		return ret;
	}
	range->start = item.start;
	range->size = item.size;
	range->n = 4 + process->n_devices;
	range->is_waiting = true;
	range->next = process->ranges;
	process->ranges = range;
	return 0;
}

static int restore_objects(struct stream *stream, uint32_t n)
{
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < n; i++) {
		uint32_t type;

		ret = stream_read(stream, &type, sizeof(type));
		if (ret < 0)
			break;
		stream->offset -= sizeof(type);
		if (type == KFD_PRIVATE_QUEUE)
			ret = restore_queue(stream);
		else if (type == KFD_PRIVATE_EVENT)
			ret = restore_event(stream);
		else
			ret = type == KFD_PRIVATE_SVM ? restore_svm(stream) : -EINVAL;
	}
	return ret;
}

/* criu_restore(); nothing is undone when it fails, the process is expected to end. */
int run_restore(struct call *call)
{
	struct kfd_criu *arg = (void *)call->data;
	struct stream stream = {call, arg->private_data, arg->private_size, 0};
	struct kfd_private_process head;
	int ret;

	call_note(call, " devices=%u bos=%u objects=%u", arg->n_devices, arg->n_bos,
		  arg->n_objects);
	if ((arg->n_bos && !arg->bos) || !arg->devices || !arg->private_data ||
	    !arg->private_size || !arg->n_devices)
		return -EINVAL;
	if (call->caller->pid != call->process->pid)
		call->wrong = "restore-by-tracer";
	process_evict(call->process);
	ret = stream_read(&stream, &head, sizeof(head));
	if (ret == 0 && head.version != KFD_PRIVATE_VERSION)
		ret = -EINVAL;
	if (ret < 0)
		return ret;
	call->process->is_xnack = head.xnack;
	ret = restore_devices(&stream, arg);
	if (ret == 0)
		ret = restore_bos(&stream, arg);
	if (ret == 0)
		ret = restore_objects(&stream, arg->n_objects);
	if (ret == 0 && stream.offset != arg->private_size)
		ret = -EINVAL;
	return ret;
}

/* find_get_pid() is for the caller's namespace of pids. */
static struct process *find_process(struct call *call, uint32_t pid)
{
	pid_t own[32], its[32];
	unsigned int depth = status_pids(call->caller->tid, own, 32);

	for (struct process *process = call->emu->processes; process; process = process->next)
		if (depth && !process_is_gone(process) &&
		    status_pids(process->pid, its, 32) >= depth && its[depth - 1] == (pid_t)pid)
			return process;
	return NULL;
}

/* What a driver would only notice when pages are missing: everything must be where it will be. */
static bool has_missing_pages(struct process *process)
{
	for (uint32_t i = 0; i < process->n_devices; i++)
		for (uint32_t j = 0; j < process->devices[i].n_buffers; j++) {
			struct buffer *buffer = process->devices[i].buffers[j];
			char byte;

			if (buffer && buffer->object->user_address &&
			    object_read(buffer->object, 0, &byte, 1) < 0)
				return true;
		}
	return false;
}

/* drm_vma_manager.c, drm_vma_node_is_allowed(): by a handle, or as a buffer of kfd. A driver looks
 * at the very file that is mapped; from here, only the process can be seen. */
static bool is_allowed(struct emu *emu, const struct process *process, const struct object *object)
{
	if (process_has(process, object))
		return true;
	for (const struct file *file = emu->files; file; file = file->next)
		for (uint32_t i = 0; file->gpu == object->gpu && i < file->n_gems; i++)
			if (file->gems[i].object == object)
				return true;
	return false;
}

/* A mapping of a render node must lie in a buffer that is there. */
static bool has_stale_mapping(struct emu *emu, const struct process *process)
{
	char path[64], line[4600];
	bool is_stale = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", process->pid);
	maps = fopen(path, "re");
	while (maps && !is_stale && fgets(line, sizeof(line), maps)) {
		const char *name = strstr(line, "/dri/renderD");
		unsigned long long start, end, offset;
		const struct object *object = NULL;

		if (!name || sscanf(line, "%llx-%llx %*s %llx", &start, &end, &offset) != 3)
			continue;
		for (unsigned int i = 0; i < emu->n_gpus; i++)
			if (emu->gpus[i].minor == (unsigned int)atoi(name + 12))
				object = object_at(emu, &emu->gpus[i], offset);
		is_stale = !object || object->offset + object->size - offset < end - start ||
			   !is_allowed(emu, process, object);
	}
	if (maps)
		fclose(maps);
	return is_stale;
}

/* criu_resume(); kfd_svm.c, kfd_criu_resume_svm(); amdgpu_amdkfd_criu_resume(). */
int run_resume(struct call *call)
{
	struct kfd_criu *arg = (void *)call->data;
	struct process *target = find_process(call, arg->pid);

	call_note(call, " pid_arg=%u target=%d", arg->pid, target ? target->pid : 0);
	if (!target)
		return -ESRCH;
	for (struct svm_range *range = target->ranges; range; range = range->next)
		range->is_waiting = false;
	if (!target->is_blocking_mmu) {
		call->wrong = "resume-unrestored";
		return -EINVAL;
	}
	if (has_missing_pages(target))
		call->wrong = "resume-before-memory";
	else if (has_stale_mapping(call->emu, target))
		call->wrong = "resume-before-mappings";
	target->is_blocking_mmu = false;
	target->is_resuming = true;
	return 0;
}
