/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of /dev/kfd that the emulator knows, with the layout and the numbers of the kernel's
 * uapi/linux/kfd_ioctl.h (which cannot be relied on: it wants drm/drm.h, and many that are
 * installed are older than what is emulated), and the private data of a checkpoint as
 * amdkfd/kfd_priv.h has them. Offsets and handles are as there; test/plugins/kfd-emu/README says
 * what is not.
 */
#ifndef KFD_EMU_KFD_H
#define KFD_EMU_KFD_H

#include <stdint.h>
#include <sys/ioctl.h>

enum { KFD_MAJOR = 1, KFD_MINOR = 17, KFD_MAX_GPUS = 64 };

struct kfd_version {
	uint32_t major, minor;
};

struct kfd_create_queue {
	uint64_t ring_address, write_pointer, read_pointer, doorbell_offset;
	uint32_t ring_size, gpu_id, type, percentage, priority, queue_id;
	uint64_t eop_address, eop_size, ctx_address;
	uint32_t ctx_size, ctl_stack_size;
	uint32_t sdma_engine_id, unused;
};

enum { KFD_QUEUE_COMPUTE, KFD_QUEUE_SDMA, KFD_QUEUE_COMPUTE_AQL, KFD_QUEUE_SDMA_XGMI };

struct kfd_update_queue {
	uint64_t ring_address;
	uint32_t queue_id, ring_size, percentage, priority;
};

/* Also of queues, with the number of the queue. */
struct kfd_event_id {
	uint32_t id, unused;
};

struct kfd_create_event {
	uint64_t page_offset;
	uint32_t trigger_data, type, auto_reset, node_id, event_id, slot;
};

enum {
	KFD_EVENT_SIGNAL = 0,
	KFD_EVENT_HW_EXCEPTION = 3,
	KFD_EVENT_DEBUG = 5,
	KFD_EVENT_MEMORY = 8
};

struct kfd_event_data {
	uint8_t data[32];
	uint64_t ext;
	uint32_t event_id, unused;
};

struct kfd_wait_events {
	uint64_t events;
	uint32_t n_events, wait_for_all, timeout_ms, result;
};

enum { KFD_WAIT_COMPLETE, KFD_WAIT_TIMEOUT, KFD_WAIT_FAIL };

struct kfd_apertures {
	uint64_t lds_base, lds_limit, scratch_base, scratch_limit, gpuvm_base, gpuvm_limit;
	uint32_t gpu_id, unused;
};

struct kfd_get_apertures {
	uint64_t apertures;
	uint32_t n_nodes, unused;
};

struct kfd_acquire_vm {
	uint32_t drm_fd, gpu_id;
};

struct kfd_alloc {
	uint64_t va, size, handle, mmap_offset;
	uint32_t gpu_id, flags;
};

enum kfd_alloc_flags {
	KFD_VRAM = 1 << 0,
	KFD_GTT = 1 << 1,
	KFD_USERPTR = 1 << 2,
	KFD_DOORBELL = 1 << 3,
	KFD_MMIO = 1 << 4,
};
#define KFD_WRITABLE   (1U << 31)
#define KFD_EXECUTABLE (1U << 30)
#define KFD_PUBLIC     (1U << 29)

struct kfd_map {
	uint64_t handle, device_ids;
	uint32_t n_devices, n_success;
};

struct kfd_dmabuf_info {
	uint64_t size, metadata;
	uint32_t metadata_size, gpu_id, flags, dmabuf_fd;
};

struct kfd_import_dmabuf {
	uint64_t va, handle;
	uint32_t gpu_id, dmabuf_fd;
};

struct kfd_export_dmabuf {
	uint64_t handle;
	uint32_t flags, dmabuf_fd;
};

struct kfd_svm_attribute {
	uint32_t type, value;
};

struct kfd_svm {
	uint64_t start, size;
	uint32_t op, n_attributes;
	struct kfd_svm_attribute attributes[];
};

enum { KFD_SVM_SET, KFD_SVM_GET };

struct kfd_xnack {
	int32_t is_enabled;
};

struct kfd_available_memory {
	uint64_t available;
	uint32_t gpu_id, unused;
};

struct kfd_criu {
	uint64_t devices, bos, private_data, private_size;
	uint32_t n_devices, n_bos, n_objects, pid, op, unused;
};

enum {
	KFD_CRIU_PROCESS_INFO,
	KFD_CRIU_CHECKPOINT,
	KFD_CRIU_UNPAUSE,
	KFD_CRIU_RESTORE,
	KFD_CRIU_RESUME
};

struct kfd_criu_device {
	uint32_t user_gpu_id, actual_gpu_id, drm_fd, unused;
};

struct kfd_criu_bo {
	uint64_t addr, size, offset, restored_offset;
	uint32_t gpu_id, alloc_flags, dmabuf_fd, unused;
};

#define KFD_NO_FD 0xffffffffU

#define KFD_IOC_GET_VERSION   _IOR('K', 0x01, struct kfd_version)
#define KFD_IOC_CREATE_QUEUE  _IOWR('K', 0x02, struct kfd_create_queue)
#define KFD_IOC_DESTROY_QUEUE _IOWR('K', 0x03, struct kfd_event_id)
#define KFD_IOC_UPDATE_QUEUE  _IOW('K', 0x07, struct kfd_update_queue)
#define KFD_IOC_CREATE_EVENT  _IOWR('K', 0x08, struct kfd_create_event)
#define KFD_IOC_DESTROY_EVENT _IOW('K', 0x09, struct kfd_event_id)
#define KFD_IOC_SET_EVENT     _IOW('K', 0x0a, struct kfd_event_id)
#define KFD_IOC_RESET_EVENT   _IOW('K', 0x0b, struct kfd_event_id)
#define KFD_IOC_WAIT_EVENTS   _IOWR('K', 0x0c, struct kfd_wait_events)
#define KFD_IOC_GET_APERTURES _IOWR('K', 0x14, struct kfd_get_apertures)
#define KFD_IOC_ACQUIRE_VM    _IOW('K', 0x15, struct kfd_acquire_vm)
#define KFD_IOC_ALLOC         _IOWR('K', 0x16, struct kfd_alloc)
#define KFD_IOC_FREE          _IOW('K', 0x17, uint64_t)
#define KFD_IOC_MAP           _IOWR('K', 0x18, struct kfd_map)
#define KFD_IOC_UNMAP         _IOWR('K', 0x19, struct kfd_map)
#define KFD_IOC_DMABUF_INFO   _IOWR('K', 0x1c, struct kfd_dmabuf_info)
#define KFD_IOC_IMPORT_DMABUF _IOWR('K', 0x1d, struct kfd_import_dmabuf)
#define KFD_IOC_SVM           _IOWR('K', 0x20, struct kfd_svm)
#define KFD_IOC_XNACK         _IOWR('K', 0x21, struct kfd_xnack)
#define KFD_IOC_CRIU          _IOWR('K', 0x22, struct kfd_criu)
#define KFD_IOC_AVAILABLE     _IOWR('K', 0x23, struct kfd_available_memory)
#define KFD_IOC_EXPORT_DMABUF _IOWR('K', 0x24, struct kfd_export_dmabuf)

/* ---- offsets of mmap(2) on /dev/kfd: amdkfd/kfd_priv.h ---- */

#define KFD_OFFSET_DOORBELL (3ULL << 62)
#define KFD_OFFSET_MMIO     (0ULL << 62)
#define KFD_OFFSET_GPU(id)  ((uint64_t)((id)&0xffff) << 46)

/* ---- private data of a checkpoint: amdkfd/kfd_priv.h ---- */

enum { KFD_PRIVATE_VERSION = 1 };
enum kfd_private_type { KFD_PRIVATE_QUEUE, KFD_PRIVATE_EVENT, KFD_PRIVATE_SVM };

struct kfd_private_process {
	uint32_t version, xnack;
};

struct kfd_private_device {
	uint64_t unused;
};

struct kfd_private_bo {
	uint64_t user_address;
	uint32_t handle;
	uint32_t mapped_gpu_ids[KFD_MAX_GPUS];
};

/* Followed by the hardware's own descriptor of the queue and by its control stack. */
struct kfd_private_queue {
	uint32_t object_type;
	uint64_t ring_address, ring_size, read_pointer, write_pointer, doorbell_offset;
	uint64_t eop_address, ctx_address;
	uint32_t gpu_id, type, format, queue_id, priority, percentage, doorbell_id, gws, sdma_id;
	uint32_t eop_size, ctx_size, ctl_stack_size, mqd_size;
};

struct kfd_private_event {
	uint32_t object_type;
	uint64_t user_handle;
	uint32_t event_id, auto_reset, type, is_signaled;
	uint8_t data[32];
};

struct kfd_private_svm {
	uint32_t object_type;
	uint64_t start, size;
	struct kfd_svm_attribute attributes[];
};

_Static_assert(sizeof(struct kfd_criu) == 56, "layout");
_Static_assert(sizeof(struct kfd_criu_device) == 16, "layout");
_Static_assert(sizeof(struct kfd_criu_bo) == 48, "layout");
_Static_assert(sizeof(struct kfd_private_bo) == 272, "layout");
_Static_assert(sizeof(struct kfd_create_event) == 32, "layout");
_Static_assert(KFD_IOC_CRIU == 0xc0384b22, "number");

#endif
