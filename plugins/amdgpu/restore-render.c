// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes an open render node again: its buffers with the handles they had, where the GPU maps them,
 * contents. The kernel gives the lowest free handle (and refuses to change it afterwards), so
 * handles are made in ascending order, with fillers where none was and where an import will be;
 * then imports take the place of their fillers, one by one, in ascending order too: as everything
 * below is taken, each gets its own number. An import may have to wait for the file that makes the
 * buffer.
 */
#include "amdgpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILLER_SIZE = 4096 };

/* Is it the one that kfd was given? Then it is there already: all kfd files are. */
static bool is_vm(const struct criu_call *call, uint32_t id)
{
	for (size_t i = 0; i < call->n_tasks; i++)
		for (size_t j = 0; j < call->tasks[i]->n_files; j++) {
			const struct criu_file *file = call->tasks[i]->files[j];
			const struct saved_kfd *kfd = file->context;

			if (!file_is(file, CLASS_KFD))
				continue;
			for (size_t k = 0; k < kfd->n_vms; k++)
				if (kfd->vms[k].has_file && kfd->vms[k].file == id)
					return true;
		}
	return false;
}

static const struct topology_node *new_node(const struct criu_call *call,
					    const struct saved_render *saved)
{
	return new_gpu(call->context, PROPERTY_DRM_RENDER_MINOR, saved->image->drm_render_minor);
}

static int open_file(struct criu_call *call, struct saved_render *saved)
{
	uint32_t minor = (uint32_t)new_node(call, saved)->properties[PROPERTY_DRM_RENDER_MINOR];
	char path[4096], key[32];
	int fd, kept;

	new_render_path(saved->file->path, minor, path, sizeof(path));
	if (is_vm(call, saved->file->id)) {
		snprintf(key, sizeof(key), "vm-%u", saved->file->id);
		fd = criu_share_get_fd(call, key);
	} else {
		fd = driver.open(path);
	}
	if (fd < 0)
		return criu_error(call, fd, "open %s", path);
	kept = criu_keep_fd(call, fd);
	if (kept < 0) {
		close(fd);
		return criu_error(call, kept, "keep %s", path);
	}
	saved->fd = kept;
	return 0;
}

static int create(struct criu_call *call, int fd, const DrmBoEntry *bo, uint32_t *ret_handle)
{
	union drm_create arg = {.in = {.size = bo ? bo->size : FILLER_SIZE,
				       .alignment = bo ? bo->alignment : 0,
				       .domains = bo ? bo->preferred_domains : DRM_DOMAIN_GTT,
				       .flags = bo ? bo->alloc_flags : 0}};
	int err = driver.ioctl(call, fd, DRM_IOC_CREATE, &arg);

	if (!err)
		*ret_handle = arg.out.handle;
	return err;
}

static int map_for_gpu(struct criu_call *call, int fd, const DrmBoEntry *bo)
{
	int err = 0;

	for (size_t i = 0; i < bo->n_vm_entries && !err; i++) {
		struct drm_va arg = {.handle = bo->handle,
				     .operation = DRM_VA_MAP,
				     .flags = (uint32_t)bo->vm_entries[i]->flags,
				     .address = bo->vm_entries[i]->addr,
				     .offset = bo->vm_entries[i]->offset,
				     .size = bo->vm_entries[i]->size};

		err = driver.ioctl(call, fd, DRM_IOC_VA, &arg);
	}
	return err ? criu_error(call, err, "give handle %u its addresses", bo->handle) : 0;
}

static int finish_bo(struct criu_call *call, struct saved_render *saved, size_t i)
{
	const DrmBoEntry *bo = saved->image->bo_entries[i];

	/* What the CPU cannot reach has none. */
	int err = bo->offset ? drm_offset(call, saved->fd, bo->handle, &saved->places[i].new) : 0;

	if (err)
		return criu_error(call, err, "have the offset of handle %u", bo->handle);
	return map_for_gpu(call, saved->fd, bo);
}

/* ---- its own buffers ---- */

struct own {
	struct copy_lane *lanes;
	size_t n_lanes;
	int node;
	int *files;
	size_t n_files;
};

static void own_release(struct own *own)
{
	copy_release(own->lanes, own->n_lanes);
	for (size_t i = 0; i < own->n_files; i++)
		close(own->files[i]);
	free(own->files);
	if (own->node >= 0)
		close(own->node);
}

static int add_contents(struct criu_call *call, struct saved_render *saved, struct own *own,
			size_t i, int dmabuf)
{
	uint32_t minor = (uint32_t)new_node(call, saved)->properties[PROPERTY_DRM_RENDER_MINOR],
		 handle;
	const DrmBoEntry *bo = saved->image->bo_entries[i];
	struct copy_item *item;
	char name[80];
	int fd, err = drm_import(call, own->node, dmabuf, &handle);

	if (err)
		return criu_error(call, err, "import handle %u", bo->handle);
	snprintf(name, sizeof(name), "amdgpu-drm-pages-%u-%u-%04zx.img", saved->file->id,
		 saved->image->drm_render_minor, i);
	fd = image_open_pages(call, name, bo->size, false);
	if (fd < 0)
		return fd;
	own->files[own->n_files++] = fd;
	item = copy_add(&own->lanes, &own->n_lanes, own->node, minor, false);
	if (!item)
		return -ENOMEM;
	*item = (struct copy_item){handle, saved->places[i].new, bo->size, fd, IMAGE_HEAD};
	return 0;
}

static int make_own(struct criu_call *call, struct saved_render *saved, struct own *own, size_t i)
{
	const DrmBoEntry *bo = saved->image->bo_entries[i];
	const struct use *use = use_of(saved->uses, saved->n_uses, (uint32_t)i);
	_cleanup_close_ int dmabuf = -1;
	int err = finish_bo(call, saved, i);

	if (err)
		return err;
	dmabuf = drm_export(call, saved->fd, bo->handle);
	if (dmabuf < 0)
		return criu_error(call, dmabuf, "export handle %u", bo->handle);
	err = add_contents(call, saved, own, i, dmabuf);
	if (err || !use)
		return err;
	err = criu_keep_fd(call, dmabuf);
	if (err < 0)
		return criu_error(call, err, "keep a buffer");
	dmabuf = err;
	err = share_object(call, use->object, dmabuf);
	if (err)
		return criu_error(call, err, "hand handle %u on", bo->handle);
	dmabuf = -1;
	return 0;
}

/* A buffer at handle `wanted`, where all below are taken: bo, or a filler if it is NULL. */
static int make_one(struct criu_call *call, struct saved_render *saved, const DrmBoEntry *bo,
		    uint32_t wanted)
{
	uint32_t handle = 0;
	int err = create(call, saved->fd, bo, &handle);

	if (!err && handle != wanted)
		err = -EEXIST;
	if (err)
		return criu_error(call, err, "make handle %u, it got %u", wanted, handle);
	if (!bo)
		saved->fillers[saved->n_fillers++] = handle;
	return 0;
}

static int make_handles(struct criu_call *call, struct saved_render *saved, struct own *own)
{
	const CriuRenderNode *image = saved->image;
	uint32_t next = 1;
	int err = 0;

	for (size_t i = 0; i < image->n_bo_entries && !err; i++) {
		const DrmBoEntry *bo = image->bo_entries[i];

		for (; next < bo->handle && !err; next++)
			err = make_one(call, saved, NULL, next);
		if (!err)
			err = make_one(call, saved, bo->is_import ? NULL : bo, next++);
		if (!err && !bo->is_import)
			err = make_own(call, saved, own, i);
	}
	return err;
}

static int make(struct criu_call *call, struct saved_render *saved)
{
	_cleanup_(own_release) struct own own = {.node = -1};
	const CriuRenderNode *image = saved->image;
	uint32_t n = image->n_bo_entries ? image->bo_entries[image->n_bo_entries - 1]->handle : 0;
	char key[32], path[4096];
	int err;

	saved->places = calloc(image->n_bo_entries + 1, sizeof(*saved->places));
	saved->fillers = calloc(n + 1ULL, sizeof(*saved->fillers));
	own.files = calloc(image->n_bo_entries + 1, sizeof(*own.files));
	if (!saved->places || !saved->fillers || !own.files)
		return -ENOMEM;
	for (size_t i = 0; i < image->n_bo_entries; i++)
		saved->places[i] =
			(struct place){image->bo_entries[i]->offset, image->bo_entries[i]->size, 0};
	err = open_file(call, saved);
	if (err || !n)
		return err;
	render_path(call, (uint32_t)new_node(call, saved)->properties[PROPERTY_DRM_RENDER_MINOR],
		    path, sizeof(path));
	own.node = driver.open(path);
	if (own.node < 0)
		return criu_error(call, own.node, "open %s", path);
	err = make_handles(call, saved, &own);
	if (!err)
		err = copy_run(call, own.lanes, own.n_lanes, true);
	snprintf(key, sizeof(key), "made-%u", saved->file->id);
	return err ? err : criu_share_put_bytes(call, key, "", 1);
}

/* ---- imports ---- */

static int import(struct criu_call *call, struct saved_render *saved, size_t i,
		  const struct use *use)
{
	const DrmBoEntry *bo = saved->image->bo_entries[i];
	_cleanup_close_ int dmabuf = find_object(call, use->object);
	uint32_t handle = 0;
	int err;

	if (dmabuf < 0)
		return criu_error(call, dmabuf, "have the buffer of handle %u", bo->handle);
	err = drm_close_handle(call, saved->fd, bo->handle);
	if (!err)
		err = drm_import(call, saved->fd, dmabuf, &handle);
	if (!err && handle != bo->handle)
		err = -EEXIST;
	if (err)
		return criu_error(call, err, "import handle %u, it got %u", bo->handle, handle);
	return finish_bo(call, saved, i);
}

/* 0: all are done; CRIU_WAIT. */
static int make_imports(struct criu_call *call, struct saved_render *saved)
{
	for (; saved->at < saved->image->n_bo_entries; saved->at++) {
		const struct use *use = use_of(saved->uses, saved->n_uses, (uint32_t)saved->at);
		const struct criu_file *creator = use ? file_by_id(call, use->creator) : NULL;
		char key[32];
		int err;

		if (!saved->image->bo_entries[saved->at]->is_import)
			continue;
		if (!creator)
			return criu_error(
				call, -ENOENT, "amdgpu-renderD-%u.img: nobody makes handle %u",
				saved->file->id, saved->image->bo_entries[saved->at]->handle);
		if (file_is(creator, CLASS_RENDER) && saved->waited_for != use->creator) {
			saved->waited_for = use->creator;
			snprintf(key, sizeof(key), "made-%u", use->creator);
			return criu_wait_key(call, key);
		}
		err = import(call, saved, saved->at, use);
		if (err)
			return err;
	}
	return 0;
}

static bool is_import(const struct saved_render *saved, uint32_t handle)
{
	for (size_t i = 0; i < saved->image->n_bo_entries; i++)
		if (saved->image->bo_entries[i]->handle == handle)
			return saved->image->bo_entries[i]->is_import;
	return false;
}

static int drop_fillers(struct criu_call *call, struct saved_render *saved)
{
	int err = 0;

	for (size_t i = 0; i < saved->n_fillers && !err; i++)
		if (!is_import(saved, saved->fillers[i]))
			err = drm_close_handle(call, saved->fd, saved->fillers[i]);
	saved->n_fillers = 0;
	return err ? criu_error(call, err, "close a handle that nobody had") : 0;
}

int restore_render(struct criu_call *call, struct saved_render *saved, int *ret_fd)
{
	int ret = 0;

	if (!saved->is_made)
		ret = make(call, saved);
	saved->is_made = true;
	if (!ret)
		ret = make_imports(call, saved);
	if (ret)
		return ret;
	ret = drop_fillers(call, saved);
	if (!ret && saved->is_wanted)
		ret = share_places(call, saved->file, saved->places, saved->image->n_bo_entries);
	if (ret)
		return ret;
	*ret_fd = fcntl(saved->fd, F_DUPFD_CLOEXEC, 0);
	return *ret_fd < 0 ? criu_error(call, -errno, "duplicate a descriptor") : 0;
}
