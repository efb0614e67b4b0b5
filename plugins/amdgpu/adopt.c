// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images of CRIU's own plugin. They do not say which file is whose; the names of the images do.
 * What is shared goes by handles there, as if these were numbers of the whole tree: a buffer that
 * is marked as imported, and a dma-buf, are of the first buffer with their handle. And where the
 * process had been restored on another GPU before, contents are named by the real id of that, which
 * nothing else tells.
 */
#include "amdgpu.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GPU_IDS = 1 << 16 };

static bool has_image(struct criu_call *call, const char *what, uint32_t id)
{
	_cleanup_close_ int fd = -1;
	char name[64];

	snprintf(name, sizeof(name), "amdgpu-%s%u.img", what, id);
	fd = criu_image_open(call, name);
	return fd >= 0;
}

static int adopt_render(struct criu_call *call, uint32_t id, char *path, size_t size)
{
	CriuRenderNode *image;
	char name[64];
	int err;

	snprintf(name, sizeof(name), "amdgpu-renderD-%u.img", id);
	image = image_read_message(call, name, &criu_render_node__descriptor, &err);
	if (!image)
		return -1;
	render_path(call, image->drm_render_minor, path, size);
	criu_render_node__free_unpacked(image, NULL);
	return CLASS_RENDER;
}

int saved_adopt(struct criu_call *call, uint32_t id, char *path, size_t size)
{
	if (*path)
		return minor_of_path(path) >= 0                             ? CLASS_RENDER
		       : strcmp(path, criu_option_string(call, "kfd")) == 0 ? CLASS_KFD
									    : -1;
	if (has_image(call, "kfd-", id)) {
		snprintf(path, size, "%s", criu_option_string(call, "kfd"));
		return CLASS_KFD;
	}
	if (has_image(call, "dmabuf_", id)) {
		snprintf(path, size, "/dmabuf:");
		return CLASS_DMABUF;
	}
	return has_image(call, "renderD-", id) ? adopt_render(call, id, path, size) : -1;
}

/* ---- contents ---- */

static bool is_user_id(const CriuKfd *image, uint32_t id)
{
	for (size_t i = 0; i < image->n_device_entries; i++)
		if (image->device_entries[i]->gpu_id == id)
			return true;
	return false;
}

static bool has_size(struct criu_call *call, const char *name, uint64_t size)
{
	_cleanup_close_ int fd = criu_image_open(call, name);
	uint64_t head;

	return fd >= 0 && read(fd, &head, sizeof(head)) == sizeof(head) && le64toh(head) == size;
}

int saved_pages_name(struct criu_call *call, const struct saved_kfd *saved, uint32_t gpu_id,
		     uint64_t size, char *name, size_t room)
{
	struct amdgpu *gpu = call->context;
	_cleanup_close_ int fd = -1;
	char other[64];
	int n = 0;

	snprintf(name, room, "amdgpu-pages-%u-%04x.img", saved->file->id, gpu_id);
	if (!gpu->is_adopted)
		return 0;
	fd = criu_image_open(call, name);
	if (fd != -ENOENT)
		return 0;
	for (uint32_t id = 1; id < GPU_IDS && n < 2; id++) {
		snprintf(other, sizeof(other), "amdgpu-pages-%u-%04x.img", saved->file->id, id);
		if (is_user_id(saved->image, id) || !has_size(call, other, size))
			continue;
		snprintf(name, room, "%s", other);
		n++;
	}
	if (n == 1)
		return 0;
	return criu_error(call, -ENOENT,
			  "amdgpu-pages-%u-%04x.img: is not there, and %s is of its size",
			  saved->file->id, gpu_id, n ? "more than one other" : "no other");
}

/* ---- who shares what ---- */

struct maker {
	uint32_t file, index;
	bool is_found;
};

static void look_in(const struct criu_file *file, uint32_t handle, struct maker *maker)
{
	const struct saved_render *render = file->context;
	const struct saved_kfd *kfd = file->context;

	if (maker->is_found)
		return;
	if (file_is(file, CLASS_KFD)) {
		for (size_t i = 0; kfd->image && i < kfd->image->n_bo_entries; i++)
			if (kfd->image->bo_entries[i]->handle == handle && !maker->is_found)
				*maker = (struct maker){file->id, (uint32_t)i, true};
	} else if (file_is(file, CLASS_RENDER)) {
		for (size_t i = 0; i < render->image->n_bo_entries; i++)
			if (render->image->bo_entries[i]->handle == handle &&
			    !render->image->bo_entries[i]->is_import && !maker->is_found)
				*maker = (struct maker){file->id, (uint32_t)i, true};
	}
}

/* In kfd files first: these are restored first, too. */
static struct maker find_maker(const struct criu_call *call, uint32_t handle)
{
	struct maker maker = {0};

	for (int class = CLASS_KFD; class <= CLASS_RENDER; class ++)
		for (size_t i = 0; i < call->n_tasks; i++)
			for (size_t j = 0; j < call->tasks[i]->n_files; j++)
				if (file_is(call->tasks[i]->files[j], class))
					look_in(call->tasks[i]->files[j], handle, &maker);
	return maker;
}

static int add_use(struct criu_file *file, const struct use *use)
{
	struct saved_render *render = file->context;
	struct saved_kfd *kfd = file->context;
	bool is_kfd = file_is(file, CLASS_KFD);
	const struct use *old = is_kfd ? kfd->uses : render->uses;
	size_t n = is_kfd ? kfd->n_uses : render->n_uses;
	struct use *uses;

	if (use_of(old, n, use->index))
		return 0;
	/* What was there is freed with the process: it is small, and there only here. */
	uses = malloc((n + 1) * sizeof(*uses));
	if (!uses)
		return -ENOMEM;
	if (n)
		memcpy(uses, old, n * sizeof(*uses));
	uses[n] = *use;
	if (is_kfd) {
		kfd->uses = uses;
		kfd->n_uses = n + 1;
	} else {
		render->uses = uses;
		render->n_uses = n + 1;
	}
	return 0;
}

/* The buffer with that handle gets its number from it. */
static int join(struct criu_call *call, struct criu_file *file, uint32_t index, uint32_t handle)
{
	struct maker maker = find_maker(call, handle);
	struct use use = {index, handle, maker.file, maker.index, 0};
	struct saved_dmabuf *dmabuf = file->context;
	int err = 0;

	if (!maker.is_found)
		return criu_error(call, -EBADMSG,
				  "pid %d fd %d: no image has a buffer with handle %u",
				  file->task->pid, file->fd, handle);
	if (file_is(file, CLASS_DMABUF))
		dmabuf->use = use;
	else
		err = add_use(file, &use);
	use.index = maker.index;
	use.is_creator = 1;
	return err ? err : add_use(file_by_id(call, maker.file), &use);
}

/* CRIU makes all open files of a node from the one that it gives to kfd: here it is the first. */
static int guess_vms(struct criu_file *file)
{
	struct saved_kfd *saved = file->context;
	const CriuKfd *image = saved->image;
	struct vm *vms = calloc(image->n_device_entries + 1, sizeof(*vms));
	size_t n = 0;

	if (!vms)
		return -ENOMEM;
	for (size_t i = 0; i < image->n_device_entries; i++) {
		const KfdDeviceEntry *entry = image->device_entries[i];

		if (!entry->gpu_id)
			continue;
		vms[n] = (struct vm){.gpu_id = entry->gpu_id, .minor = entry->drm_render_minor};
		for (size_t j = 0; j < file->task->n_files && !vms[n].has_file; j++) {
			const struct criu_file *other = file->task->files[j];
			const struct saved_render *render = other->context;

			if (!file_is(other, CLASS_RENDER) ||
			    render->image->drm_render_minor != vms[n].minor)
				continue;
			vms[n].file = other->id;
			vms[n].has_file = true;
		}
		n++;
	}
	saved->vms = vms;
	saved->n_vms = n;
	return 0;
}

static int guess_file(struct criu_call *call, struct criu_file *file)
{
	const struct saved_render *render = file->context;
	const struct saved_dmabuf *dmabuf = file->context;
	int err = 0;

	if (file_is(file, CLASS_DMABUF))
		return join(call, file, 0, dmabuf->use.object);
	if (file_is(file, CLASS_KFD))
		return guess_vms(file);
	for (size_t i = 0; i < render->image->n_bo_entries && !err; i++)
		if (render->image->bo_entries[i]->is_import)
			err = join(call, file, (uint32_t)i, render->image->bo_entries[i]->handle);
	return err;
}

int saved_guess(struct criu_call *call)
{
	int err = 0;

	for (size_t i = 0; i < call->n_tasks; i++)
		for (size_t j = 0; j < call->tasks[i]->n_files && !err; j++)
			if (call->tasks[i]->files[j]->task == call->tasks[i])
				err = guess_file(call, call->tasks[i]->files[j]);
	return err;
}
