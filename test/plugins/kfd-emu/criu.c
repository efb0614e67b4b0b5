// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checkpoint, by the functions of Linux 6.12 that are named (amdkfd/kfd_chardev.c where no file is
 * named). A process is paused by PROCESS_INFO, read by CHECKPOINT, and let go by UNPAUSE; nothing
 * but UNPAUSE ends the pause, not even that all files are closed. The private data is opaque to who
 * asks, and must come back as it was.
 */
#include "criu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int stream_write(struct stream *stream, const void *data, size_t size)
{
	int ret = copy_to_caller(stream->call, stream->raddr + stream->offset, data, size);

	stream->offset += size;
	return ret;
}

int stream_read(struct stream *stream, void *data, size_t size)
{
	int ret;

	if (size > stream->size || stream->offset > stream->size - size)
		return -EINVAL;
	ret = copy_from_caller(stream->call, stream->raddr + stream->offset, data, size);
	stream->offset += size;
	return ret;
}

/* criu_checkpoint_bos(): what is at or below the base of the GPU's memory is the trap handler's. */
static bool is_saved(const struct buffer *buffer)
{
	return buffer && (!buffer->va || buffer->va > EMU_GPUVM_BASE);
}

size_t svm_size(const struct process *process)
{
	return sizeof(struct kfd_private_svm) +
	       (4 + process->n_devices) * sizeof(struct kfd_svm_attribute);
}

/* criu_get_process_object_info() */
static void count_objects(const struct process *process, struct kfd_criu *arg)
{
	uint64_t size = sizeof(struct kfd_private_process);

	arg->n_devices = process->n_devices;
	arg->n_bos = 0;
	arg->n_objects = 0;
	for (uint32_t i = 0; i < process->n_devices; i++)
		for (uint32_t j = 0; j < process->devices[i].n_buffers; j++)
			arg->n_bos += is_saved(process->devices[i].buffers[j]);
	size += arg->n_devices * sizeof(struct kfd_private_device);
	size += arg->n_bos * sizeof(struct kfd_private_bo);
	for (struct queue *queue = process->queues; queue; queue = queue->next, arg->n_objects++)
		size += sizeof(struct kfd_private_queue) + EMU_MQD_SIZE + queue->ctl_stack_size;
	for (struct event *event = process->events; event; event = event->next, arg->n_objects++)
		size += sizeof(struct kfd_private_event);
	for (struct svm_range *range = process->ranges; range;
	     range = range->next, arg->n_objects++)
		size += svm_size(process);
	arg->private_size = size;
}

/* criu_process_info(): evicts once, however often it is asked; older kernels did it each time. */
static int run_process_info(struct call *call)
{
	struct kfd_criu *arg = (void *)call->data;
	struct process *process = call->process;
	pid_t pids[32];
	unsigned int n;

	if (!process->n_devices)
		return -ENODEV;
	if (!process->is_paused || call->emu->is_evicting_each)
		process_evict(process);
	process->is_paused = true;
	n = status_pids(process->pid, pids, 32);
	arg->pid = n ? (uint32_t)pids[n - 1] : 0;
	count_objects(process, arg);
	if (fault_strike(call->emu, "process_info", "kfd", "more-devices"))
		arg->n_devices++;
	call_note(call, " devices=%u bos=%u objects=%u", arg->n_devices, arg->n_bos,
		  arg->n_objects);
	return 0;
}

/* criu_checkpoint_devices() */
static int checkpoint_devices(struct stream *stream, uint64_t raddr)
{
	struct call *call = stream->call;
	struct process *process = call->process;
	const struct kfd_private_device nothing = {0};
	const struct fault *fault = fault_strike(call->emu, "checkpoint", "kfd", "gpu-id");
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < process->n_devices; i++) {
		struct kfd_criu_device item = {.user_gpu_id = process->devices[i].user_id,
					       .actual_gpu_id = process->devices[i].gpu->id};

		if (fault)
			item.actual_gpu_id = (uint32_t)fault->value;
		ret = copy_to_caller(call, raddr + i * sizeof(item), &item, sizeof(item));
	}
	for (uint32_t i = 0; ret == 0 && i < process->n_devices; i++)
		ret = stream_write(stream, &nothing, sizeof(nothing));
	return ret;
}

uint64_t buffer_offset(const struct device *device, const struct buffer *buffer)
{
	if (buffer->flags & KFD_DOORBELL)
		return KFD_OFFSET_DOORBELL | KFD_OFFSET_GPU(device->gpu->id);
	if (buffer->flags & KFD_MMIO)
		return KFD_OFFSET_MMIO | KFD_OFFSET_GPU(device->gpu->id);
	return buffer->object->offset;
}

static void describe_bo(struct process *process, struct device *device, uint32_t handle,
			struct kfd_criu_bo *bo, struct kfd_private_bo *secret)
{
	struct buffer *buffer = device->buffers[handle];
	uint32_t n = 0;

	*bo = (struct kfd_criu_bo){.addr = buffer->va,
				   .size = buffer->object->size,
				   .offset = buffer_offset(device, buffer),
				   .gpu_id = device->user_id,
				   .alloc_flags = buffer->flags,
				   .dmabuf_fd = KFD_NO_FD};
	*secret = (struct kfd_private_bo){.handle = handle,
					  .user_address = buffer->object->user_address};
	if (buffer->flags & (KFD_VRAM | KFD_GTT)) {
		bo->dmabuf_fd = buffer->object->number;
		buffer->object->is_exported = true;
	}
	for (uint32_t i = 0; i < process->n_devices; i++)
		if (buffer->mapped & (1ULL << i))
			secret->mapped_gpu_ids[n++] = process->devices[i].user_id;
}

/* criu_checkpoint_bos(): both arrays are copied as a whole. */
static int checkpoint_bos(struct stream *stream, const struct kfd_criu *arg)
{
	struct process *process = stream->call->process;
	struct kfd_criu_bo *bos = calloc(arg->n_bos + 1, sizeof(*bos));
	struct kfd_private_bo *secrets = calloc(arg->n_bos + 1, sizeof(*secrets));
	const struct fault *fault =
		fault_strike(stream->call->emu, "checkpoint", "kfd", "no-dmabuf");
	uint32_t n = 0;
	int ret = bos && secrets ? 0 : -ENOMEM;

	for (uint32_t i = 0; ret == 0 && i < process->n_devices; i++) {
		struct device *device = &process->devices[i];

		for (uint32_t j = 0; j < device->n_buffers; j++)
			if (is_saved(device->buffers[j])) {
				describe_bo(process, device, j, &bos[n], &secrets[n]);
				if (fault && bos[n].dmabuf_fd != KFD_NO_FD)
					bos[n].dmabuf_fd += 1 << 20;
				n++;
			}
	}
	if (ret == 0)
		ret = copy_to_caller(stream->call, arg->bos, bos, n * sizeof(*bos));
	if (ret == 0)
		ret = stream_write(stream, secrets, n * sizeof(*secrets));
	free(bos);
	free(secrets);
	return ret;
}

/* kfd_process_queue_manager.c, criu_checkpoint_queue() */
static int checkpoint_queue(struct stream *stream, const struct queue *queue)
{
	struct kfd_private_queue item = {.object_type = KFD_PRIVATE_QUEUE,
					 .ring_address = queue->ring,
					 .ring_size = queue->ring_size,
					 .read_pointer = queue->read_pointer,
					 .write_pointer = queue->write_pointer,
					 .eop_address = queue->eop,
					 .ctx_address = queue->ctx,
					 .gpu_id = queue->device->user_id,
					 .type = queue->type,
					 .format = queue->format,
					 .queue_id = queue->id,
					 .priority = queue->priority,
					 .percentage = queue->percentage,
					 .doorbell_id = queue->doorbell_id,
					 .eop_size = queue->eop_size,
					 .ctx_size = queue->ctx_size,
					 .ctl_stack_size = queue->ctl_stack_size,
					 .mqd_size = EMU_MQD_SIZE};
	unsigned char zero = 0;
	int ret = stream_write(stream, &item, sizeof(item));

	if (ret == 0)
		ret = stream_write(stream, queue->mqd, EMU_MQD_SIZE);
	for (uint32_t i = 0; ret == 0 && i < queue->ctl_stack_size; i++)
		ret = stream_write(stream, &zero, 1);
	return ret;
}

/* kfd_events.c, kfd_criu_checkpoint_events(); kfd_svm.c, kfd_criu_checkpoint_svm(). */
static int checkpoint_objects(struct stream *stream)
{
	struct process *process = stream->call->process;
	uint64_t page = process->event_page;
	int ret = 0;

	for (struct queue *queue = process->queues; ret == 0 && queue; queue = queue->next)
		ret = checkpoint_queue(stream, queue);
	for (struct event *event = process->events; ret == 0 && event; event = event->next) {
		struct kfd_private_event item = {.object_type = KFD_PRIVATE_EVENT,
						 .user_handle = page,
						 .event_id = event->id,
						 .auto_reset = event->auto_reset,
						 .type = event->type,
						 .is_signaled = event->is_signaled};

		page = 0;
		memcpy(item.data, event->data, sizeof(item.data));
		ret = stream_write(stream, &item, sizeof(item));
	}
	for (struct svm_range *range = process->ranges; ret == 0 && range; range = range->next) {
		struct kfd_private_svm item = {
			.object_type = KFD_PRIVATE_SVM, .start = range->start, .size = range->size};

		ret = stream_write(stream, &item, sizeof(item));
		if (ret == 0)
			ret = stream_write(stream, range->attributes,
					   svm_size(process) - sizeof(item));
	}
	return ret;
}

/* criu_checkpoint() */
static int run_checkpoint(struct call *call)
{
	struct kfd_criu *arg = (void *)call->data, now = *arg;
	struct process *process = call->process;
	struct stream stream = {call, arg->private_data, arg->private_size, 0}, bos;
	const struct kfd_private_process head = {KFD_PRIVATE_VERSION, process->is_xnack};
	int ret;

	call_note(call, " devices=%u bos=%u objects=%u", arg->n_devices, arg->n_bos,
		  arg->n_objects);
	if (!arg->devices || !arg->bos || !arg->private_data)
		return -EINVAL;
	if (!process->n_devices)
		return -ENODEV;
	if (!process->is_paused) {
		call->wrong = "checkpoint-unpaused";
		return -EINVAL;
	}
	count_objects(process, &now);
	if (now.n_devices != arg->n_devices || now.n_bos != arg->n_bos ||
	    now.n_objects != arg->n_objects || now.private_size != arg->private_size)
		return -EINVAL;
	ret = stream_write(&stream, &head, sizeof(head));
	if (ret == 0)
		ret = checkpoint_devices(&stream, arg->devices);
	if (ret < 0)
		return ret;
	/* Buffers come before objects in the data, and last in time. */
	bos = stream;
	stream.offset += arg->n_bos * sizeof(struct kfd_private_bo);
	ret = checkpoint_objects(&stream);
	if (ret == 0)
		ret = checkpoint_bos(&bos, arg);
	return ret;
}

/* criu_unpause() */
static int run_unpause(struct call *call)
{
	if (!call->process->is_paused) {
		call->wrong = "unpause-unpaused";
		return -EINVAL;
	}
	process_unevict(call->process);
	call->process->is_paused = false;
	call_note(call, " evicted=%u",
		  call->process->n_devices ? call->process->devices[0].evicted : 0);
	return 0;
}

int run_criu(struct call *call)
{
	static int (*const runs[])(struct call *) = {run_process_info, run_checkpoint, run_unpause,
						     run_restore, run_resume};
	const struct kfd_criu *arg = (const void *)call->data;

	return arg->op < sizeof(runs) / sizeof(*runs) ? runs[arg->op](call) : -EINVAL;
}
