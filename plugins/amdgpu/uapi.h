/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of the interfaces of /dev/kfd (uapi/linux/kfd_ioctl.h), DRM (uapi/drm/drm.h) and amdgpu
 * (uapi/drm/amdgpu_drm.h) that checkpoint and restore use, so that building needs no header that
 * may be missing or older than the kernel that runs. Names are ours, layout and numbers the
 * kernel's.
 */
#ifndef AMDGPU_UAPI_H
#define AMDGPU_UAPI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* ---- kfd ---- */

/* Checkpoint and restore came with 1.8. */
enum { KFD_MAJOR = 1, KFD_MINOR_MIN = 8 };

struct kfd_version {
	uint32_t major, minor;
};

enum kfd_criu_op { KFD_PROCESS_INFO, KFD_CHECKPOINT, KFD_UNPAUSE, KFD_RESTORE, KFD_RESUME };

/* kfd_ioctl_criu_args */
struct kfd_criu {
	uint64_t devices, bos, priv_data; /* pointers */
	uint64_t priv_data_size;
	uint32_t num_devices, num_bos, num_objects, pid, op;
	uint32_t pad;
};

/* kfd_criu_device_bucket */
struct kfd_device {
	uint32_t user_gpu_id, actual_gpu_id, drm_fd, pad;
};

/* kfd_criu_bo_bucket */
struct kfd_bo {
	uint64_t addr, size, offset, restored_offset;
	uint32_t gpu_id, alloc_flags, dmabuf_fd, pad;
};

enum {
	KFD_BO_VRAM = 1 << 0,
	KFD_BO_GTT = 1 << 1,
	KFD_BO_USERPTR = 1 << 2,
	KFD_BO_DOORBELL = 1 << 3,
	KFD_BO_MMIO = 1 << 4,
	KFD_BO_HAS_CONTENTS = KFD_BO_VRAM | KFD_BO_GTT,
};
#define KFD_NO_FD 0xffffffffU

/* Offsets of mappings of /dev/kfd: what, and the id of the GPU (amdkfd/kfd_priv.h). */
#define KFD_OFFSET_TYPE_MASK (3ULL << 62)
#define KFD_OFFSET_EVENTS    (2ULL << 62)
#define KFD_OFFSET_GPU_SHIFT 46
#define KFD_OFFSET_GPU_MASK  (0xffffULL << KFD_OFFSET_GPU_SHIFT)

struct kfd_import {
	uint64_t va, handle;
	uint32_t gpu_id, dmabuf_fd;
};

struct kfd_map {
	uint64_t handle, device_ids; /* pointer */
	uint32_t n_devices, n_success;
};

/* The private data begins with these: amdkfd/kfd_priv.h, kfd_criu_*_priv_data. */
struct kfd_private_head {
	uint32_t version, xnack;
};

enum { KFD_PRIVATE_VERSION = 1, KFD_MAX_GPUS = 64, KFD_PRIVATE_DEVICE_SIZE = 8 };

struct kfd_private_bo {
	uint64_t user_address;
	uint32_t handle;
	uint32_t mapped_gpu_ids[KFD_MAX_GPUS]; /* up to the first 0 */
};

#define KFD_IOC_GET_VERSION _IOR('K', 0x01, struct kfd_version)
#define KFD_IOC_FREE        _IOW('K', 0x17, uint64_t)
#define KFD_IOC_MAP         _IOWR('K', 0x18, struct kfd_map)
#define KFD_IOC_IMPORT      _IOWR('K', 0x1d, struct kfd_import)
#define KFD_IOC_CRIU        _IOWR('K', 0x22, struct kfd_criu)

_Static_assert(sizeof(struct kfd_criu) == 56 && KFD_IOC_CRIU == 0xc0384b22, "layout");
_Static_assert(sizeof(struct kfd_device) == 16 && sizeof(struct kfd_bo) == 48, "layout");
_Static_assert(sizeof(struct kfd_private_bo) == 272, "layout");

/* ---- render nodes ---- */

struct drm_close {
	uint32_t handle, pad;
};

struct drm_prime {
	uint32_t handle, flags;
	int32_t fd;
};

enum { DRM_PRIME_FLAGS = 02000000 /* O_CLOEXEC */ | 02 /* O_RDWR */ };

union drm_create {
	struct {
		uint64_t size, alignment, domains, flags;
	} in;
	struct {
		uint32_t handle, pad;
	} out;
};

enum { DRM_DOMAIN_CPU = 1, DRM_DOMAIN_GTT = 2, DRM_DOMAIN_VRAM = 4, DRM_DOMAIN_SPECIAL = 0x38 };

union drm_mmap {
	struct {
		uint32_t handle, pad;
	} in;
	uint64_t offset;
};

struct drm_va {
	uint32_t handle, pad, operation, flags;
	uint64_t address, offset, size;
};

enum {
	DRM_VA_MAP = 1,
	DRM_VA_UNMAP = 2,
	DRM_VA_READ = 1 << 1,
	DRM_VA_WRITE = 1 << 2,
	DRM_VA_EXECUTE = 1 << 3
};

struct drm_userptr {
	uint64_t address, size;
	uint32_t flags, handle;
};

/* Anonymous memory only, check that it is there, and follow changes. */
enum { DRM_USERPTR_FLAGS = 2 | 4 | 8 };

struct drm_list {
	uint64_t entries; /* pointer */
	uint32_t n_entries, pad;
};

struct drm_handle {
	uint32_t handle, flags;
	uint64_t size, domains, alloc_flags, alignment;
};

enum { DRM_HANDLE_IS_IMPORT = 1 << 0 };

struct drm_op {
	uint32_t handle, op;
	uint64_t value; /* pointer */
	uint32_t n_entries, pad;
};

enum { DRM_OP_MAPPINGS = 2 };

struct drm_mapping {
	uint64_t address, size, offset, flags;
};

union drm_context {
	struct {
		uint32_t op, flags, id;
		int32_t priority;
	} in;
	struct {
		uint32_t id, pad;
	} out;
};

enum { DRM_CONTEXT_NEW = 1, DRM_CONTEXT_FREE = 2 };

union drm_submit {
	struct {
		uint32_t context, list, n_chunks, flags;
		uint64_t chunks; /* pointer to pointers */
	} in;
	uint64_t fence;
};

struct drm_chunk {
	uint32_t id, n_words;
	uint64_t data; /* pointer */
};

enum { DRM_CHUNK_COMMANDS = 1, DRM_CHUNK_BUFFERS = 6, DRM_IP_DMA = 2 };

struct drm_commands {
	uint32_t pad, flags;
	uint64_t address;
	uint32_t n_bytes, ip_type, ip_instance, ring;
};

struct drm_buffers {
	uint32_t operation, list, n, entry_size;
	uint64_t entries; /* pointer */
};

struct drm_buffer {
	uint32_t handle, priority;
};

union drm_wait {
	struct {
		uint64_t fence, until_ns; /* of CLOCK_MONOTONIC */
		uint32_t ip_type, ip_instance, ring, context;
	} in;
	uint64_t is_busy;
};

struct drm_info {
	uint64_t result; /* pointer */
	uint32_t size, query;
	uint32_t type, instance, unused[2];
};

enum { DRM_INFO_IP = 0x02, DRM_INFO_DEVICE = 0x16, DRM_FAMILY_AI = 141 };

struct drm_info_ip {
	uint32_t major, minor;
	uint64_t capabilities;
	uint32_t start_alignment, size_alignment, rings, pad;
};

/* The beginning of it: the kernel copies as much as is asked for. */
struct drm_info_device {
	uint32_t device_id, revisions[3], family, unused_words[3];
	uint64_t clocks[2];
	uint32_t unused_more[22];
	uint64_t ids_flags, va_begin, va_end;
	uint32_t va_alignment, pad;
};

_Static_assert(offsetof(struct drm_info_device, va_begin) == 144, "layout");
_Static_assert(sizeof(struct drm_va) == 40 && sizeof(struct drm_commands) == 32, "layout");

#define DRM_IOC_CLOSE   _IOW('d', 0x09, struct drm_close)
#define DRM_IOC_EXPORT  _IOWR('d', 0x2d, struct drm_prime)
#define DRM_IOC_IMPORT  _IOWR('d', 0x2e, struct drm_prime)
#define DRM_IOC_CREATE  _IOWR('d', 0x40, union drm_create)
#define DRM_IOC_MMAP    _IOWR('d', 0x41, union drm_mmap)
#define DRM_IOC_CONTEXT _IOWR('d', 0x42, union drm_context)
#define DRM_IOC_SUBMIT  _IOWR('d', 0x44, union drm_submit)
#define DRM_IOC_INFO    _IOW('d', 0x45, struct drm_info)
#define DRM_IOC_VA      _IOW('d', 0x48, struct drm_va)
#define DRM_IOC_WAIT    _IOWR('d', 0x49, union drm_wait)
#define DRM_IOC_OP      _IOWR('d', 0x50, struct drm_op)
#define DRM_IOC_USERPTR _IOWR('d', 0x51, struct drm_userptr)
#define DRM_IOC_LIST    _IOWR('d', 0x59, struct drm_list)

#endif
