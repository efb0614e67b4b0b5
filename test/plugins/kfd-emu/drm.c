// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is asked of a render node. Handles are of the open file, the lowest that is free is given,
 * from 1 on (drm_gem.c, drm_gem_handle_create_tail()); the same object imported twice has one
 * handle (drm_prime.c, drm_gem_prime_fd_to_handle()). Addresses are of the open file, too. A
 * dma-buf is a number instead of a descriptor, see README; taken in, it is a descriptor. Functions
 * that are named are those of amdgpu/amdgpu_gem.c of Linux 6.12.
 */
#include "emu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drm.h"

static struct gem *gem_of(struct file *file, uint32_t handle)
{
	return handle && handle < file->n_gems && file->gems[handle].object ? &file->gems[handle]
									    : NULL;
}

static bool gems_grow(struct file *file, uint32_t handle)
{
	uint32_t n = file->n_gems ? file->n_gems : 64;
	struct gem *gems;

	while (n <= handle)
		n *= 2;
	if (n == file->n_gems)
		return true;
	gems = realloc(file->gems, n * sizeof(*gems));
	if (!gems)
		return false;
	memset(gems + file->n_gems, 0, (n - file->n_gems) * sizeof(*gems));
	file->gems = gems;
	file->n_gems = n;
	return true;
}

/* A handle for the object, whose reference it takes; 0: no memory. */
static uint32_t gem_new(struct file *file, struct object *object, bool is_import)
{
	uint32_t handle = 1;

	while (handle < file->n_gems && file->gems[handle].object)
		handle++;
	if (!gems_grow(file, handle))
		return 0;
	file->gems[handle] = (struct gem){object, is_import};
	return handle;
}

static int add_object(struct call *call, struct object *object, uint32_t *ret_handle)
{
	if (!object)
		return -ENOMEM;
	*ret_handle = gem_new(call->file, object, false);
	if (!*ret_handle) {
		object_put(call->emu, object);
		return -ENOMEM;
	}
	call_note(call, " handle=%u bo=%u size=%llu", *ret_handle, object->number,
		  (unsigned long long)object->size);
	return 0;
}

/* amdgpu_gem_create_ioctl() */
static int run_gem_create(struct call *call)
{
	union drm_amdgpu_gem_create *arg = (void *)call->data;
	struct drm_amdgpu_gem_create_in in = arg->in;
	struct gpu *gpu = call->file->gpu;
	struct object *object;

	if (!in.bo_size || !(in.domains & (EMU_CPU | EMU_GTT | EMU_VRAM)) || in.domains >> 6)
		return -EINVAL;
	if ((in.domains & EMU_VRAM) && in.bo_size > gpu->vram_size - gpu->vram_used)
		return -ENOMEM;
	object = object_new(call->emu, gpu, in.bo_size,
			    in.domains & (EMU_GTT | EMU_VRAM) ? (uint32_t)in.domains : EMU_GTT);
	if (object) {
		object->flags = in.domain_flags;
		object->alignment = in.alignment;
	}
	memset(arg, 0, sizeof(*arg));
	return add_object(call, object, &arg->out.handle);
}

/* amdgpu_gem_userptr_ioctl() */
static int run_gem_userptr(struct call *call)
{
	struct drm_amdgpu_gem_userptr *arg = (void *)call->data;
	struct object *object;
	char byte;

	if ((arg->addr | arg->size) % EMU_PAGE || !arg->size ||
	    arg->flags & ~(AMDGPU_GEM_USERPTR_READONLY | AMDGPU_GEM_USERPTR_ANONONLY |
			   AMDGPU_GEM_USERPTR_VALIDATE | AMDGPU_GEM_USERPTR_REGISTER))
		return -EINVAL;
	/* What is written to must be told of changes of the memory. */
	if (!(arg->flags & (AMDGPU_GEM_USERPTR_READONLY | AMDGPU_GEM_USERPTR_REGISTER)))
		return -EACCES;
	if ((arg->flags & AMDGPU_GEM_USERPTR_VALIDATE) &&
	    copy_from_caller(call, arg->addr, &byte, 1) < 0)
		return -EFAULT;
	object = object_new(call->emu, call->file->gpu, arg->size, 0);
	if (object) {
		object->user_address = arg->addr;
		object->user_pid = call->caller->pid;
	}
	return add_object(call, object, &arg->handle);
}

/* amdgpu_mode_dumb_mmap(): a userptr has no offset. What is on another GPU has one, but touching it
 * is a SIGBUS (ttm_bo_vm.c, ttm_bo_vm_fault_reserved()); here it is refused at once. */
static int run_gem_mmap(struct call *call)
{
	union drm_amdgpu_gem_mmap *arg = (void *)call->data;
	struct gem *gem = gem_of(call->file, arg->in.handle);

	call_note(call, " handle=%u bo=%u", arg->in.handle, gem ? gem->object->number : 0);
	if (!gem)
		return -ENOENT;
	if (gem->object->user_address || (gem->object->flags & AMDGPU_GEM_CREATE_NO_CPU_ACCESS))
		return -EPERM;
	if (gem->object->gpu != call->file->gpu) {
		call->wrong = "foreign-mmap";
		return -EPERM;
	}
	if (object_is_busy(call, gem->object))
		call->wrong = "busy";
	arg->out.addr_ptr = gem->object->offset;
	if (fault_strike(call->emu, "gem_mmap", "renderD", "bad-offset"))
		arg->out.addr_ptr = EMU_MEMORY_SIZE;
	return 0;
}

static void gem_close(struct emu *emu, struct file *file, struct gem *gem)
{
	vm_unmap_object(emu, &file->vm, gem->object);
	object_put(emu, gem->object);
	*gem = (struct gem){0};
}

static int run_gem_close(struct call *call)
{
	struct drm_gem_close *arg = (void *)call->data;
	struct gem *gem = gem_of(call->file, arg->handle);

	call_note(call, " handle=%u", arg->handle);
	if (!gem)
		return -EINVAL;
	gem_close(call->emu, call->file, gem);
	return 0;
}

/* amdgpu_gem_va_ioctl() */
static int run_gem_va(struct call *call)
{
	struct drm_amdgpu_gem_va *arg = (void *)call->data;
	struct gem *gem = gem_of(call->file, arg->handle);
	struct mapping mapping = {arg->va_address,          arg->map_size,
				  arg->offset_in_bo,        arg->flags,
				  gem ? gem->object : NULL, false};

	call_note(call, " va_op=%u handle=%u bo=%u va=%#llx size=%llu", arg->operation, arg->handle,
		  gem ? gem->object->number : 0, (unsigned long long)arg->va_address,
		  (unsigned long long)arg->map_size);
	if (arg->va_address < EMU_GPUVM_BASE || arg->operation < AMDGPU_VA_OP_MAP ||
	    arg->operation > AMDGPU_VA_OP_REPLACE)
		return -EINVAL;
	if (!gem && arg->operation != AMDGPU_VA_OP_CLEAR)
		return -ENOENT;
	if (arg->operation == AMDGPU_VA_OP_UNMAP)
		return vm_unmap(call->emu, &call->file->vm, arg->va_address, 0);
	if (arg->operation == AMDGPU_VA_OP_CLEAR || arg->operation == AMDGPU_VA_OP_REPLACE)
		vm_unmap(call->emu, &call->file->vm, arg->va_address, arg->map_size);
	if (arg->operation == AMDGPU_VA_OP_CLEAR)
		return 0;
	if ((arg->va_address | arg->offset_in_bo | arg->map_size) % EMU_PAGE || !arg->map_size ||
	    arg->map_size > mapping.object->size ||
	    arg->offset_in_bo > mapping.object->size - arg->map_size)
		return -EINVAL;
	return vm_map(call->emu, &call->file->vm, &mapping);
}

/* What maps one buffer; how many there are, also if there is no room for all. */
static int list_mappings(struct call *call, const struct gem *gem, struct drm_emu_gem_op *arg)
{
	const struct vm *vm = &call->file->vm;
	uint32_t room = arg->n_entries, n = 0;

	for (size_t i = 0; i < vm->n; i++) {
		struct drm_emu_vm_entry entry = {vm->mappings[i].va, vm->mappings[i].size,
						 vm->mappings[i].offset, vm->mappings[i].flags};

		if (vm->mappings[i].object != gem->object)
			continue;
		if (n < room &&
		    copy_to_caller(call, arg->value + n * sizeof(entry), &entry, sizeof(entry)) < 0)
			return -EFAULT;
		n++;
	}
	arg->n_entries = n;
	return 0;
}

/* amdgpu_gem_op_ioctl() */
static int run_gem_op(struct call *call)
{
	struct drm_emu_gem_op *arg = (void *)call->data;
	struct gem *gem = gem_of(call->file, arg->handle);
	struct drm_amdgpu_gem_create_in info;

	call_note(call, " gem_op=%u handle=%u bo=%u", arg->op, arg->handle,
		  gem ? gem->object->number : 0);
	if (!gem)
		return -ENOENT;
	if (arg->op == DRM_EMU_GEM_OP_MAPPINGS)
		return call->size < sizeof(*arg) ? -EINVAL : list_mappings(call, gem, arg);
	if (arg->op == AMDGPU_GEM_OP_SET_PLACEMENT) {
		if (gem->is_import)
			return -EINVAL;
		gem->object->domain = (uint32_t)arg->value & (EMU_VRAM | EMU_GTT);
		return 0;
	}
	if (arg->op != AMDGPU_GEM_OP_GET_GEM_CREATE_INFO)
		return -EINVAL;
	info = (struct drm_amdgpu_gem_create_in){gem->object->size, gem->object->alignment,
						 gem->object->domain, gem->object->flags};
	return copy_to_caller(call, arg->value, &info, sizeof(info));
}

static int run_list_handles(struct call *call)
{
	struct drm_emu_list_handles *arg = (void *)call->data;
	uint32_t room = arg->n_entries, n = 0;

	for (uint32_t i = 1; i < call->file->n_gems; i++) {
		const struct gem *gem = &call->file->gems[i];
		struct drm_emu_handle entry;

		if (!gem->object)
			continue;
		entry = (struct drm_emu_handle){i,
						gem->is_import,
						gem->object->size,
						gem->object->domain,
						gem->object->flags,
						gem->object->alignment};
		if (n < room && copy_to_caller(call, arg->entries + n * sizeof(entry), &entry,
					       sizeof(entry)) < 0)
			return -EFAULT;
		n++;
	}
	arg->n_entries = n;
	call_note(call, " handles=%u", n);
	return 0;
}

/* Refused by kernels since it was found to be a hole; there are some that have it. */
static int run_change_handle(struct call *call)
{
	struct drm_emu_change_handle *arg = (void *)call->data;
	struct gem *gem = gem_of(call->file, arg->handle);

	call_note(call, " handle=%u new=%u", arg->handle, arg->new_handle);
	if (!call->emu->may_change_handle) {
		call->wrong = "change-handle";
		return -EINVAL;
	}
	if (!gem || !arg->new_handle)
		return -ENOENT;
	if (arg->new_handle == arg->handle)
		return 0;
	if (arg->new_handle > 1 << 20 || !gems_grow(call->file, arg->new_handle))
		return -ENOMEM;
	if (gem_of(call->file, arg->new_handle))
		return -ENOSPC;
	gem = gem_of(call->file, arg->handle);
	call->file->gems[arg->new_handle] = *gem;
	*gem = (struct gem){0};
	return 0;
}

/* drm_gem_prime_handle_to_fd(); amdgpu_dma_buf.c, amdgpu_gem_prime_export(): no userptr. */
static int run_prime_export(struct call *call)
{
	struct drm_prime_handle *arg = (void *)call->data;
	struct gem *gem = gem_of(call->file, arg->handle);

	call_note(call, " handle=%u bo=%u", arg->handle, gem ? gem->object->number : 0);
	if (!gem)
		return -ENOENT;
	if (gem->object->user_address)
		return -EPERM;
	gem->object->is_exported = true;
	arg->fd = (int)gem->object->number;
	return 0;
}

static int run_prime_import(struct call *call)
{
	struct drm_prime_handle *arg = (void *)call->data;
	struct file *file;

	if (call->emu->find_file(call->emu, call->caller, arg->fd, &file) < 0)
		return -EBADF;
	if (file->kind != FILE_DMABUF)
		return -EINVAL;
	for (uint32_t i = 1; i < call->file->n_gems; i++)
		if (call->file->gems[i].object == file->object) {
			arg->handle = i;
			call_note(call, " handle=%u bo=%u again=1", i, file->object->number);
			return 0;
		}
	arg->handle = gem_new(call->file, object_get(file->object), true);
	call_note(call, " handle=%u bo=%u", arg->handle, file->object->number);
	if (!arg->handle)
		object_put(call->emu, file->object);
	return arg->handle ? 0 : -ENOMEM;
}

static int put_text(struct call *call, __kernel_size_t *length, char *raddr, const char *text)
{
	size_t room = *length;

	*length = strlen(text);
	return copy_to_caller(call, (uintptr_t)raddr, text, room < *length ? room : *length);
}

/* drm_ioctl.c, drm_version() */
static int run_version(struct call *call)
{
	struct drm_version *arg = (void *)call->data;

	call->is_quiet = true;
	arg->version_major = 3;
	arg->version_minor = 60;
	arg->version_patchlevel = 0;
	if (put_text(call, &arg->name_len, arg->name, "amdgpu") < 0 ||
	    put_text(call, &arg->date_len, arg->date, "20150101") < 0 ||
	    put_text(call, &arg->desc_len, arg->desc, "AMD GPU") < 0)
		return -EFAULT;
	return 0;
}

static int give_info(struct call *call, const struct drm_amdgpu_info *arg, const void *info,
		     size_t size)
{
	return copy_to_caller(call, arg->return_pointer, info,
			      size < arg->return_size ? size : arg->return_size);
}

/* amdgpu_kms.c, amdgpu_info_ioctl() */
static int run_info(struct call *call)
{
	struct drm_amdgpu_info *arg = (void *)call->data;
	const struct gpu *gpu = call->file->gpu;
	struct drm_amdgpu_info_device device = {.device_id = 0x740c,
						.family = AMDGPU_FAMILY_AI,
						.virtual_address_offset = EMU_GPUVM_BASE,
						.virtual_address_max = EMU_GPUVM_LIMIT + 1,
						.virtual_address_alignment = EMU_PAGE,
						.pte_fragment_size = 0x200000,
						.gart_page_size = EMU_PAGE};
	struct drm_amdgpu_info_hw_ip ip = {.hw_ip_version_major = 4,
					   .ib_start_alignment = 256,
					   .ib_size_alignment = 4,
					   .available_rings = 1};
	struct drm_amdgpu_info_vram_gtt memory = {gpu->vram_size, gpu->vram_size, 64ULL << 30};
	struct drm_amdgpu_memory_info heaps = {
		.vram = {gpu->vram_size, gpu->vram_size, gpu->vram_used, gpu->vram_size},
		.cpu_accessible_vram = {gpu->vram_size, gpu->vram_size, gpu->vram_used,
					gpu->vram_size},
		.gtt = {64ULL << 30, 64ULL << 30, 0, 64ULL << 30}};
	uint32_t one = 1;

	call->is_quiet = true;
	switch (arg->query) {
	case AMDGPU_INFO_ACCEL_WORKING:
	case AMDGPU_INFO_HW_IP_COUNT:
		return give_info(call, arg, &one, sizeof(one));
	case AMDGPU_INFO_DEV_INFO:
		return give_info(call, arg, &device, sizeof(device));
	case AMDGPU_INFO_HW_IP_INFO:
		return give_info(call, arg, &ip, sizeof(ip));
	case AMDGPU_INFO_VRAM_GTT:
		return give_info(call, arg, &memory, sizeof(memory));
	case AMDGPU_INFO_MEMORY:
		return give_info(call, arg, &heaps, sizeof(heaps));
	default:
		return -EINVAL;
	}
}

#define DRM_OPERATION(number, name, run, type)           \
	{                                                \
		_IOC_NR(number), name, run, sizeof(type) \
	}

const struct operation drm_operations[] = {
	DRM_OPERATION(DRM_IOCTL_VERSION, "version", run_version, struct drm_version),
	DRM_OPERATION(DRM_IOCTL_GEM_CLOSE, "gem_close", run_gem_close, struct drm_gem_close),
	DRM_OPERATION(DRM_IOCTL_PRIME_HANDLE_TO_FD, "prime_export", run_prime_export,
		      struct drm_prime_handle),
	DRM_OPERATION(DRM_IOCTL_PRIME_FD_TO_HANDLE, "prime_import", run_prime_import,
		      struct drm_prime_handle),
	DRM_OPERATION(DRM_IOCTL_AMDGPU_GEM_CREATE, "gem_create", run_gem_create,
		      union drm_amdgpu_gem_create),
	DRM_OPERATION(DRM_IOCTL_AMDGPU_GEM_MMAP, "gem_mmap", run_gem_mmap,
		      union drm_amdgpu_gem_mmap),
	DRM_OPERATION(DRM_IOCTL_AMDGPU_GEM_VA, "gem_va", run_gem_va, struct drm_amdgpu_gem_va),
	DRM_OPERATION(DRM_IOCTL_AMDGPU_GEM_USERPTR, "gem_userptr", run_gem_userptr,
		      struct drm_amdgpu_gem_userptr),
	DRM_OPERATION(DRM_IOCTL_AMDGPU_CTX, "context", run_context, union drm_amdgpu_ctx),
	DRM_OPERATION(DRM_IOCTL_AMDGPU_BO_LIST, "bo_list", run_bo_list, union drm_amdgpu_bo_list),
	DRM_OPERATION(DRM_IOCTL_AMDGPU_CS, "cs", run_cs, union drm_amdgpu_cs),
	DRM_OPERATION(DRM_IOCTL_AMDGPU_WAIT_CS, "wait_cs", run_wait_cs, union drm_amdgpu_wait_cs),
	DRM_OPERATION(DRM_IOCTL_AMDGPU_INFO, "info", run_info, struct drm_amdgpu_info),
	DRM_OPERATION(DRM_IOCTL_EMU_GEM_OP, "gem_op", run_gem_op, struct drm_emu_gem_op),
	DRM_OPERATION(DRM_IOCTL_EMU_LIST_HANDLES, "list_handles", run_list_handles,
		      struct drm_emu_list_handles),
	DRM_OPERATION(DRM_IOCTL_EMU_CHANGE_HANDLE, "change_handle", run_change_handle,
		      struct drm_emu_change_handle),
	{0},
};
