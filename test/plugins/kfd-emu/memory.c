// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffer objects and where they are. The memory of a GPU is one memory file, which is what its
 * render node maps: an object lies in it at its mmap offset, a number that grows with each object
 * and is never given twice, with a gap before it (as mappings of FUSE files that touch would be
 * merged, unlike a driver's). VRAM and GTT do not differ. A userptr object is memory of a process.
 */
#include "emu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { GAP = 16 * EMU_PAGE };

static uint64_t pages_up(uint64_t size)
{
	return (size + EMU_PAGE - 1) & ~(uint64_t)(EMU_PAGE - 1);
}

/* Numbers are never given twice. */
static bool has_room(struct emu *emu)
{
	uint32_t n = emu->n_objects ? emu->n_objects * 2 : 64;
	struct object **objects;

	if (emu->last_object + 1 < emu->n_objects)
		return true;
	objects = realloc(emu->objects, n * sizeof(struct object *));
	if (!objects)
		return false;
	memset(objects + emu->n_objects, 0, (n - emu->n_objects) * sizeof(struct object *));
	emu->objects = objects;
	emu->n_objects = n;
	return true;
}

struct object *object_new(struct emu *emu, struct gpu *gpu, uint64_t size, uint32_t domain)
{
	struct object *object = has_room(emu) ? calloc(1, sizeof(*object)) : NULL;

	if (!object)
		return NULL;
	object->number = ++emu->last_object;
	object->refs = 1;
	object->gpu = gpu;
	object->size = pages_up(size);
	object->domain = domain;
	if (domain & (EMU_VRAM | EMU_GTT)) {
		gpu->next_offset += GAP;
		object->offset = gpu->next_offset;
		gpu->next_offset += object->size;
	}
	if (domain & EMU_VRAM)
		gpu->vram_used += object->size;
	emu->objects[object->number] = object;
	return object;
}

struct object *object_get(struct object *object)
{
	object->refs++;
	return object;
}

void object_put(struct emu *emu, struct object *object)
{
	if (!object || --object->refs)
		return;
	if (object->offset)
		fallocate(object->gpu->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)object->offset, (off_t)object->size);
	if (object->domain & EMU_VRAM)
		object->gpu->vram_used -= object->size;
	emu->objects[object->number] = NULL;
	free(object);
}

struct object *object_by_number(struct emu *emu, uint32_t number)
{
	return number < emu->n_objects ? emu->objects[number] : NULL;
}

struct object *object_at(struct emu *emu, const struct gpu *gpu, uint64_t offset)
{
	for (uint32_t i = 1; i <= emu->last_object; i++) {
		struct object *object = emu->objects[i];

		if (object && object->gpu == gpu && object->offset && offset >= object->offset &&
		    offset - object->offset < object->size)
			return object;
	}
	return NULL;
}

int remote_read(pid_t pid, uint64_t raddr, void *data, size_t size)
{
	struct iovec here = {data, size}, there = {(void *)raddr, size};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)size ? 0 : -EFAULT;
}

int remote_write(pid_t pid, uint64_t raddr, const void *data, size_t size)
{
	struct iovec here = {(void *)data, size}, there = {(void *)raddr, size};

	return process_vm_writev(pid, &here, 1, &there, 1, 0) == (ssize_t)size ? 0 : -EFAULT;
}

int object_read(const struct object *object, uint64_t offset, void *data, size_t size)
{
	if (size > object->size || offset > object->size - size)
		return -EFAULT;
	if (object->user_address)
		return remote_read(object->user_pid, object->user_address + offset, data, size);
	if (!object->offset)
		return -EFAULT;
	return pread(object->gpu->memory, data, size, (off_t)(object->offset + offset)) ==
			       (ssize_t)size
		       ? 0
		       : -EFAULT;
}

int object_write(const struct object *object, uint64_t offset, const void *data, size_t size)
{
	if (size > object->size || offset > object->size - size)
		return -EFAULT;
	if (object->user_address)
		return remote_write(object->user_pid, object->user_address + offset, data, size);
	if (!object->offset)
		return -EFAULT;
	return pwrite(object->gpu->memory, data, size, (off_t)(object->offset + offset)) ==
			       (ssize_t)size
		       ? 0
		       : -EFAULT;
}

/* ---- address spaces: sorted by address ---- */

/* The first one that ends behind this address. */
static size_t find_behind(const struct vm *vm, uint64_t va)
{
	size_t from = 0, to = vm->n;

	while (from < to) {
		size_t at = (from + to) / 2;

		if (vm->mappings[at].va + vm->mappings[at].size > va)
			to = at;
		else
			from = at + 1;
	}
	return from;
}

/* amdgpu_vm.c, amdgpu_vm_bo_map(): the same address cannot be mapped twice. */
int vm_map(struct emu *emu, struct vm *vm, const struct mapping *mapping)
{
	size_t at = find_behind(vm, mapping->va);

	if (at < vm->n && vm->mappings[at].va < mapping->va + mapping->size)
		return -EINVAL;
	if (vm->n == vm->room) {
		size_t room = vm->room ? vm->room * 2 : 16;
		struct mapping *mappings = realloc(vm->mappings, room * sizeof(*mappings));

		if (!mappings)
			return -ENOMEM;
		vm->mappings = mappings;
		vm->room = room;
	}
	memmove(vm->mappings + at + 1, vm->mappings + at, (vm->n - at) * sizeof(*mapping));
	object_get(mapping->object);
	vm->mappings[at] = *mapping;
	vm->n++;
	emu->generation++;
	return 0;
}

static void unmap_at(struct emu *emu, struct vm *vm, size_t at)
{
	object_put(emu, vm->mappings[at].object);
	vm->n--;
	memmove(vm->mappings + at, vm->mappings + at + 1, (vm->n - at) * sizeof(struct mapping));
	emu->generation++;
}

int vm_unmap(struct emu *emu, struct vm *vm, uint64_t va, uint64_t size)
{
	size_t at = find_behind(vm, va);

	if (at == vm->n || vm->mappings[at].va != va || (size && vm->mappings[at].size != size))
		return -ENOENT;
	unmap_at(emu, vm, at);
	return 0;
}

void vm_unmap_object(struct emu *emu, struct vm *vm, const struct object *object)
{
	for (size_t i = vm->n; i-- > 0;)
		if (vm->mappings[i].object == object && !vm->mappings[i].is_compute)
			unmap_at(emu, vm, i);
}

const struct mapping *vm_find(const struct vm *vm, uint64_t va, uint64_t size)
{
	size_t at = find_behind(vm, va);
	const struct mapping *mapping = &vm->mappings[at];

	if (at == vm->n || va < mapping->va || size > mapping->size - (va - mapping->va))
		return NULL;
	return mapping;
}
