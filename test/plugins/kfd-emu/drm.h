/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of a render node: those of libdrm's amdgpu_drm.h, and those that are too new for it,
 * with the layout and the numbers of the kernel's uapi.
 */
#ifndef KFD_EMU_DRM_H
#define KFD_EMU_DRM_H

#include <libdrm/amdgpu_drm.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* Not in the headers that are installed: what lists handles and mappings of a file. */
struct drm_emu_list_handles {
	uint64_t entries;
	uint32_t n_entries, unused;
};

struct drm_emu_handle {
	uint32_t handle, flags; /* bit 0: imported */
	uint64_t size, domains, create_flags, alignment;
};

struct drm_emu_gem_op {
	uint32_t handle, op;
	uint64_t value;
	uint32_t n_entries, unused;
};

struct drm_emu_vm_entry {
	uint64_t addr, size, offset, flags;
};

struct drm_emu_change_handle {
	uint32_t handle, new_handle;
};

enum { DRM_EMU_GEM_OP_MAPPINGS = 2 };

#define DRM_IOCTL_EMU_LIST_HANDLES  _IOWR('d', 0x40 + 0x19, struct drm_emu_list_handles)
#define DRM_IOCTL_EMU_GEM_OP        _IOWR('d', 0x40 + 0x10, struct drm_emu_gem_op)
#define DRM_IOCTL_EMU_CHANGE_HANDLE _IOWR('d', 0xd2, struct drm_emu_change_handle)

#endif
