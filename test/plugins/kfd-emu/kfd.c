// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process that computes asks of /dev/kfd: devices, buffers, queues; and the table of all its
 * ioctls. The functions that are named are those of amdkfd/kfd_chardev.c of Linux 6.12, unless they
 * are named with a file. What is asked about one process is answered for the process that opened
 * the file, never for who asks; who may ask is settled in call.c.
 */
#include "emu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t handle_of(const struct device *device, uint32_t handle)
{
	return (uint64_t)device->user_id << 32 | handle;
}

/* GET_GPU_ID(), GET_IDR_HANDLE() */
static struct device *device_of(struct process *process, uint64_t handle)
{
	return device_by_user_id(process, (uint32_t)(handle >> 32));
}

static int run_get_version(struct call *call)
{
	struct kfd_version *arg = (void *)call->data;

	arg->major = KFD_MAJOR;
	arg->minor = call->emu->minor;
	return 0;
}

static int run_get_apertures(struct call *call)
{
	struct kfd_get_apertures *arg = (void *)call->data;
	uint32_t room = arg->n_nodes, n = call->process->n_devices;

	arg->n_nodes = n;
	for (uint32_t i = 0; i < n && i < room; i++) {
		struct kfd_apertures item = {.lds_base = 0x1000000000000ULL,
					     .lds_limit = 0x10000ffffffffULL,
					     .scratch_base = 0x2000000000000ULL,
					     .scratch_limit = 0x20000ffffffffULL,
					     .gpuvm_base = EMU_GPUVM_BASE,
					     .gpuvm_limit = EMU_GPUVM_LIMIT,
					     .gpu_id = call->process->devices[i].user_id};

		if (copy_to_caller(call, arg->apertures + i * sizeof(item), &item, sizeof(item)) <
		    0)
			return -EFAULT;
	}
	if (room && room < n)
		arg->n_nodes = room;
	return 0;
}

/* kfd_ioctl_acquire_vm(); kfd_process.c, kfd_process_device_init_vm(). */
static int run_acquire_vm(struct call *call)
{
	struct kfd_acquire_vm *arg = (void *)call->data;
	struct device *device;
	struct file *file;

	if (call->emu->find_file(call->emu, call->caller, (int)arg->drm_fd, &file) < 0)
		return -EINVAL;
	device = device_by_user_id(call->process, arg->gpu_id);
	if (!device || file->kind != FILE_RENDER)
		return -EINVAL;
	call_note(call, " gpu=%u drm=%u", arg->gpu_id, file->id);
	if (device->vm)
		return device->vm == file ? 0 : -EBUSY;
	/* amdgpu_amdkfd_gpuvm.c: a VM is a compute VM of one process only. */
	if (file->is_compute_vm || file->gpu != device->gpu)
		return -EINVAL;
	file->is_compute_vm = true;
	file->refs++;
	device->vm = file;
	return 0;
}

/* Of kfd_ioctl_alloc_memory_of_gpu() and amdgpu_amdkfd_gpuvm_alloc_memory_of_gpu(). */
int buffer_new(struct call *call, struct device *device, const struct buffer *wanted, uint64_t size,
	       uint64_t user_address, struct buffer **ret_buffer)
{
	struct gpu *gpu = device->gpu;
	struct buffer *buffer;
	uint32_t domain = wanted->flags & KFD_VRAM  ? EMU_VRAM
			  : wanted->flags & KFD_GTT ? EMU_GTT
						    : 0;

	if (!device->vm)
		return -ENODEV;
	if ((wanted->flags & KFD_DOORBELL) && size != EMU_DOORBELL_SLICE)
		return -EINVAL;
	if ((wanted->flags & KFD_MMIO) && size != EMU_PAGE)
		return -EINVAL;
	if (!domain && !(wanted->flags & (KFD_USERPTR | KFD_DOORBELL | KFD_MMIO)))
		return -EINVAL;
	if (!domain && (wanted->flags & KFD_USERPTR) && !user_address)
		return -EINVAL;
	if (domain == EMU_VRAM && size > gpu->vram_size - gpu->vram_used)
		return -ENOMEM;
	buffer = calloc(1, sizeof(*buffer));
	if (!buffer)
		return -ENOMEM;
	*buffer = *wanted;
	buffer->object = object_new(call->emu, gpu, size, domain);
	if (!buffer->object) {
		free(buffer);
		return -ENOMEM;
	}
	buffer->object->owner = call->process;
	if (!domain && (wanted->flags & KFD_USERPTR)) {
		buffer->object->user_address = user_address;
		buffer->object->user_pid = call->process->pid;
	}
	*ret_buffer = buffer;
	return 0;
}

static int insert(struct call *call, struct device *device, struct buffer *buffer,
		  uint64_t *ret_handle)
{
	int handle = buffer_insert(device, buffer, -1);

	if (handle < 0) {
		object_put(call->emu, buffer->object);
		free(buffer);
		return -EFAULT;
	}
	*ret_handle = handle_of(device, (uint32_t)handle);
	call_note(call, " gpu=%u handle=%d bo=%u va=%#llx size=%llu", device->user_id, handle,
		  buffer->object->number, (unsigned long long)buffer->va,
		  (unsigned long long)buffer->object->size);
	return 0;
}

static int run_alloc(struct call *call)
{
	struct kfd_alloc *arg = (void *)call->data;
	struct device *device = device_by_user_id(call->process, arg->gpu_id);
	struct buffer wanted = {.va = arg->va, .flags = arg->flags}, *buffer;
	char byte;
	int ret;

	if (!arg->size || !device)
		return -EINVAL;
	/* init_user_pages(): the pages must be there. */
	if ((arg->flags & KFD_USERPTR) && arg->mmap_offset &&
	    copy_from_caller(call, arg->mmap_offset, &byte, 1) < 0)
		return -EFAULT;
	ret = buffer_new(call, device, &wanted, arg->size, arg->mmap_offset, &buffer);
	if (ret == 0)
		ret = insert(call, device, buffer, &arg->handle);
	if (ret < 0)
		return ret;
	arg->mmap_offset = buffer->object->offset;
	if (arg->flags & KFD_MMIO)
		arg->mmap_offset = KFD_OFFSET_MMIO | KFD_OFFSET_GPU(arg->gpu_id);
	if (arg->flags & KFD_DOORBELL)
		arg->mmap_offset = KFD_OFFSET_DOORBELL | KFD_OFFSET_GPU(arg->gpu_id);
	return 0;
}

/* amdgpu_amdkfd_gpuvm_free_memory_of_gpu(): what is mapped cannot be freed. */
static int run_free(struct call *call)
{
	uint64_t handle;
	struct device *device;
	struct buffer *buffer;

	memcpy(&handle, call->data, sizeof(handle));
	device = device_of(call->process, handle);
	if (call->process->event_page && call->process->event_page == handle)
		return -EPERM;
	buffer = device ? buffer_by_handle(device, handle) : NULL;
	if (!buffer)
		return -EINVAL;
	call_note(call, " bo=%u", buffer->object->number);
	if (buffer->mapped)
		return -EBUSY;
	buffer_free(call->emu, call->process, buffer);
	return 0;
}

/* amdgpu_amdkfd_gpuvm_map_memory_to_gpu() */
int buffer_map(struct call *call, struct buffer *buffer, struct device *device)
{
	uint64_t bit = 1ULL << (device - call->process->devices);
	/* AMDGPU_VM_PAGE_READABLE, AMDGPU_VM_PAGE_WRITEABLE */
	struct mapping mapping = {buffer->va,
				  buffer->object->size,
				  0,
				  buffer->flags & KFD_WRITABLE ? 6 : 2,
				  buffer->object,
				  true};
	int ret = 0;

	if (!device->vm)
		return -ENODEV;
	if (!(buffer->mapped & bit))
		ret = vm_map(call->emu, &device->vm->vm, &mapping);
	if (ret == 0)
		buffer->mapped |= bit;
	return ret;
}

static int unmap(struct call *call, struct buffer *buffer, struct device *device)
{
	uint64_t bit = 1ULL << (device - call->process->devices);

	if (!(buffer->mapped & bit))
		return -EINVAL;
	vm_unmap(call->emu, &device->vm->vm, buffer->va, buffer->object->size);
	buffer->mapped &= ~bit;
	return 0;
}

/* kfd_ioctl_map_memory_to_gpu(), kfd_ioctl_unmap_memory_from_gpu() */
static int run_map(struct call *call)
{
	struct kfd_map *arg = (void *)call->data;
	struct device *device = device_of(call->process, arg->handle), *peer;
	struct buffer *buffer;
	uint32_t id;
	int ret;

	if (!arg->n_devices || arg->n_success > arg->n_devices || !device)
		return -EINVAL;
	if (!device->vm)
		return -ENODEV;
	buffer = buffer_by_handle(device, arg->handle);
	if (!buffer)
		return -ENOMEM;
	call_note(call, " bo=%u gpus=%u", buffer->object->number, arg->n_devices);
	for (uint32_t i = arg->n_success; i < arg->n_devices; i++) {
		if (copy_from_caller(call, arg->device_ids + i * 4, &id, 4) < 0)
			return -EFAULT;
		peer = device_by_user_id(call->process, id);
		if (!peer)
			return -EINVAL;
		ret = _IOC_NR(call->cmd) == _IOC_NR(KFD_IOC_MAP) ? buffer_map(call, buffer, peer)
								 : unmap(call, buffer, peer);
		if (ret < 0)
			return ret;
		arg->n_success = i + 1;
	}
	return 0;
}

static int run_available(struct call *call)
{
	struct kfd_available_memory *arg = (void *)call->data;
	struct device *device = device_by_user_id(call->process, arg->gpu_id);

	if (!device)
		return -EINVAL;
	arg->available = device->gpu->vram_size - device->gpu->vram_used;
	return 0;
}

/* ---- queues ---- */

static bool is_mapped_from(const struct vm *vm, uint64_t va, uint64_t size)
{
	const struct mapping *mapping = vm_find(vm, va, 1);

	return mapping && mapping->va == (va & ~(uint64_t)(EMU_PAGE - 1)) && mapping->size == size;
}

/* kfd_queue.c, kfd_queue_acquire_buffers(): each is a mapping of its own, of exactly that size. */
int check_queue(struct call *call, const struct queue *queue)
{
	const struct vm *vm = &queue->device->vm->vm;

	if (!is_mapped_from(vm, queue->write_pointer, EMU_PAGE) ||
	    !is_mapped_from(vm, queue->read_pointer, EMU_PAGE) ||
	    !is_mapped_from(vm, queue->ring, queue->ring_size))
		return -EINVAL;
	return 0;
}

/* set_queue_properties_from_user(), kfd_ioctl_create_queue() */
static int run_create_queue(struct call *call)
{
	struct kfd_create_queue *arg = (void *)call->data;
	struct device *device = device_by_user_id(call->process, arg->gpu_id);
	struct queue *queue;
	uint32_t id = 0;

	if ((arg->percentage & 0xff) > 100 || arg->priority > 15 ||
	    (arg->ring_size & (arg->ring_size - 1)))
		return -EINVAL;
	if (arg->type > KFD_QUEUE_SDMA_XGMI)
		return -ENOTSUP;
	if (!device)
		return -EINVAL;
	if (!device->vm)
		return -ESRCH;
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	while (queue_by_id(call->process, id))
		id++;
	*queue = (struct queue){.id = id,
				.type = arg->type == KFD_QUEUE_COMPUTE_AQL ? KFD_QUEUE_COMPUTE
									   : arg->type,
				.format = arg->type == KFD_QUEUE_COMPUTE_AQL,
				.percentage = arg->percentage,
				.priority = arg->priority,
				.doorbell_id = id,
				.device = device,
				.ring = arg->ring_address,
				.ring_size = arg->ring_size < 1024 ? 1024 : arg->ring_size,
				.read_pointer = arg->read_pointer,
				.write_pointer = arg->write_pointer,
				.eop = arg->eop_address,
				.eop_size = (uint32_t)arg->eop_size,
				.ctx = arg->ctx_address,
				.ctx_size = arg->ctx_size,
				.ctl_stack_size = arg->ctl_stack_size};
	if (check_queue(call, queue) < 0) {
		free(queue);
		return -EINVAL;
	}
	memset(queue->mqd, 0x40 + (int)id, sizeof(queue->mqd));
	queue->next = call->process->queues;
	call->process->queues = queue;
	arg->queue_id = id;
	arg->doorbell_offset = KFD_OFFSET_DOORBELL | KFD_OFFSET_GPU(arg->gpu_id);
	call_note(call, " gpu=%u queue=%u", arg->gpu_id, id);
	return 0;
}

static int run_destroy_queue(struct call *call)
{
	struct kfd_event_id *arg = (void *)call->data;
	struct queue *queue = queue_by_id(call->process, arg->id);

	if (!queue)
		return -EINVAL;
	call_note(call, " queue=%u", queue->id);
	queue_free(call->emu, call->process, queue);
	return 0;
}

static int run_update_queue(struct call *call)
{
	struct kfd_update_queue *arg = (void *)call->data;
	struct queue *queue = queue_by_id(call->process, arg->queue_id);

	if (!queue)
		return -EFAULT;
	queue->percentage = arg->percentage;
	queue->priority = arg->priority;
	return 0;
}

/* ---- dma-bufs: a number instead of a descriptor, see README ---- */

/* kfd_ioctl_export_dmabuf(): as it takes the id in the handle for the real one. */
static int run_export_dmabuf(struct call *call)
{
	struct kfd_export_dmabuf *arg = (void *)call->data;
	struct gpu *gpu = gpu_by_id(call->emu, (uint32_t)(arg->handle >> 32));
	struct device *device = gpu ? device_by_gpu(call->process, gpu) : NULL;
	struct buffer *buffer = device ? buffer_by_handle(device, arg->handle) : NULL;

	if (!buffer || !buffer->object->domain)
		return -EINVAL;
	buffer->object->is_exported = true;
	arg->dmabuf_fd = buffer->object->number;
	call_note(call, " bo=%u", buffer->object->number);
	return 0;
}

/* kfd_ioctl_import_dmabuf(); amdgpu_amdkfd_gpuvm.c, import_obj_create(). */
static int run_import_dmabuf(struct call *call)
{
	struct kfd_import_dmabuf *arg = (void *)call->data;
	struct device *device;
	struct buffer *buffer;
	struct file *file;

	if (call->emu->find_file(call->emu, call->caller, (int)arg->dmabuf_fd, &file) < 0)
		return -EBADF;
	device = device_by_user_id(call->process, arg->gpu_id);
	if (!device)
		return -EINVAL;
	if (!device->vm)
		return -ENODEV;
	if (file->kind != FILE_DMABUF)
		return -EINVAL;
	buffer = calloc(1, sizeof(*buffer));
	if (!buffer)
		return -ENOMEM;
	buffer->object = object_get(file->object);
	buffer->va = arg->va;
	buffer->is_import = true;
	buffer->flags = KFD_WRITABLE | KFD_EXECUTABLE |
			(file->object->domain & EMU_VRAM && file->object->gpu == device->gpu
				 ? KFD_VRAM
				 : KFD_GTT);
	return insert(call, device, buffer, &arg->handle);
}

static int run_dmabuf_info(struct call *call)
{
	struct kfd_dmabuf_info *arg = (void *)call->data;
	struct file *file;

	if (call->emu->find_file(call->emu, call->caller, (int)arg->dmabuf_fd, &file) < 0)
		return -EBADF;
	if (file->kind != FILE_DMABUF)
		return -EINVAL;
	arg->size = file->object->size;
	arg->metadata_size = 0;
	arg->gpu_id = file->object->gpu->id;
	arg->flags = file->object->domain & EMU_VRAM ? KFD_VRAM : KFD_GTT;
	return 0;
}

static int run_xnack(struct call *call)
{
	struct kfd_xnack *arg = (void *)call->data;

	/* kfd_ioctl_set_xnack_mode(): not while there are queues; negative only asks. */
	if (arg->is_enabled >= 0) {
		if (call->process->queues)
			return -EBUSY;
		call->process->is_xnack = arg->is_enabled;
	}
	arg->is_enabled = call->process->is_xnack;
	return 0;
}

const struct operation kfd_operations[] = {
	{_IOC_NR(KFD_IOC_GET_VERSION), "get_version", run_get_version, sizeof(struct kfd_version)},
	{_IOC_NR(KFD_IOC_CREATE_QUEUE), "create_queue", run_create_queue,
	 sizeof(struct kfd_create_queue)},
	{_IOC_NR(KFD_IOC_DESTROY_QUEUE), "destroy_queue", run_destroy_queue,
	 sizeof(struct kfd_event_id)},
	{_IOC_NR(KFD_IOC_UPDATE_QUEUE), "update_queue", run_update_queue,
	 sizeof(struct kfd_update_queue)},
	{_IOC_NR(KFD_IOC_CREATE_EVENT), "create_event", run_create_event,
	 sizeof(struct kfd_create_event)},
	{_IOC_NR(KFD_IOC_DESTROY_EVENT), "destroy_event", run_destroy_event,
	 sizeof(struct kfd_event_id)},
	{_IOC_NR(KFD_IOC_SET_EVENT), "set_event", run_set_event, sizeof(struct kfd_event_id)},
	{_IOC_NR(KFD_IOC_RESET_EVENT), "reset_event", run_reset_event, sizeof(struct kfd_event_id)},
	{_IOC_NR(KFD_IOC_WAIT_EVENTS), "wait_events", run_wait_events,
	 sizeof(struct kfd_wait_events)},
	{_IOC_NR(KFD_IOC_GET_APERTURES), "get_apertures", run_get_apertures,
	 sizeof(struct kfd_get_apertures)},
	{_IOC_NR(KFD_IOC_ACQUIRE_VM), "acquire_vm", run_acquire_vm, sizeof(struct kfd_acquire_vm)},
	{_IOC_NR(KFD_IOC_ALLOC), "alloc", run_alloc, sizeof(struct kfd_alloc)},
	{_IOC_NR(KFD_IOC_FREE), "free", run_free, sizeof(uint64_t)},
	{_IOC_NR(KFD_IOC_MAP), "map", run_map, sizeof(struct kfd_map)},
	{_IOC_NR(KFD_IOC_UNMAP), "unmap", run_map, sizeof(struct kfd_map)},
	{_IOC_NR(KFD_IOC_DMABUF_INFO), "dmabuf_info", run_dmabuf_info,
	 sizeof(struct kfd_dmabuf_info)},
	{_IOC_NR(KFD_IOC_IMPORT_DMABUF), "import_dmabuf", run_import_dmabuf,
	 sizeof(struct kfd_import_dmabuf)},
	{_IOC_NR(KFD_IOC_SVM), "svm", run_svm, sizeof(struct kfd_svm)},
	{_IOC_NR(KFD_IOC_XNACK), "xnack", run_xnack, sizeof(struct kfd_xnack)},
	{_IOC_NR(KFD_IOC_CRIU), "criu", run_criu, sizeof(struct kfd_criu)},
	{_IOC_NR(KFD_IOC_AVAILABLE), "available", run_available,
	 sizeof(struct kfd_available_memory)},
	{_IOC_NR(KFD_IOC_EXPORT_DMABUF), "export_dmabuf", run_export_dmabuf,
	 sizeof(struct kfd_export_dmabuf)},
	{0},
};
