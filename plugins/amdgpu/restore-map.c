// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings. The offset at which a buffer is mapped is the driver's choice, and only the open file
 * that has the buffer can map it; so each mapping must be made at the new offset, through the right
 * file. Which buffer of which file it is of is found in the coordinator, from the images; offsets
 * and descriptors come from the process that made the buffer. Mappings of kfd have the GPU in their
 * offset.
 */
#include "amdgpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "offset.h"

/* As many as go into one value of criu_share_put_bytes(). */
enum { PLACES_MAX = 32768 };

/* ---- which buffer ---- */

static bool contains(uint64_t offset, uint64_t size, const struct criu_mapping *mapping)
{
	return mapping->offset >= offset && mapping->offset < offset + size;
}

static bool find_in_kfd(const struct amdgpu *gpu, const struct saved_kfd *saved,
			const struct criu_mapping *mapping, struct origin *ret)
{
	const struct topology_node *wanted =
		new_gpu(gpu, PROPERTY_DRM_RENDER_MINOR, (uint32_t)minor_of_path(mapping->path));

	for (size_t i = 0; saved->image && i < saved->image->n_bo_entries; i++) {
		const KfdBoEntry *bo = saved->image->bo_entries[i];

		if (!(bo->alloc_flags & KFD_BO_HAS_CONTENTS) ||
		    !contains(bo->offset, bo->size, mapping) ||
		    new_gpu_of_user(gpu, saved->image, bo->gpu_id) != wanted)
			continue;
		*ret = (struct origin){saved->file, (uint32_t)i, bo->gpu_id};
		return true;
	}
	return false;
}

static bool find_in_render(const struct saved_render *saved, const struct criu_mapping *mapping,
			   struct origin *ret)
{
	if (saved->image->drm_render_minor != (uint32_t)minor_of_path(mapping->path))
		return false;
	for (size_t i = 0; i < saved->image->n_bo_entries; i++) {
		const DrmBoEntry *bo = saved->image->bo_entries[i];

		if (!bo->offset || !contains(bo->offset, bo->size, mapping))
			continue;
		*ret = (struct origin){saved->file, (uint32_t)i, 0};
		return true;
	}
	return false;
}

static bool find_in_task(struct criu_call *call, const struct criu_task *task,
			 const struct criu_mapping *mapping, struct origin *ret)
{
	bool is_found = false;

	for (size_t i = 0; i < task->n_files && !is_found; i++) {
		const struct criu_file *file = task->files[i];

		if (file_is(file, CLASS_KFD))
			is_found = find_in_kfd(call->context, file->context, mapping, ret);
		else if (file_is(file, CLASS_RENDER))
			is_found = find_in_render(file->context, mapping, ret);
	}
	return is_found;
}

static int find_origin(struct criu_call *call, struct criu_mapping *mapping)
{
	struct origin *origin = mapping->context = calloc(1, sizeof(*origin));
	bool is_found;

	if (!origin)
		return -ENOMEM;
	if (minor_of_path(mapping->path) < 0)
		return 0;
	/* What the task has itself comes first. */
	is_found = find_in_task(call, mapping->task, mapping, origin);
	for (size_t i = 0; i < call->n_tasks && !is_found; i++)
		is_found = find_in_task(call, call->tasks[i], mapping, origin);
	if (!is_found)
		return criu_error(
			call, -EBADMSG, "pid %d: mapping %#llx of %s: no image has its buffer",
			mapping->task->pid, (unsigned long long)mapping->start, mapping->path);
	if (origin->file->task == mapping->task)
		return 0;
	if (file_is(origin->file, CLASS_KFD))
		((struct saved_kfd *)origin->file->context)->is_wanted = true;
	else
		((struct saved_render *)origin->file->context)->is_wanted = true;
	return 0;
}

int find_origins(struct criu_call *call)
{
	int err = 0;

	for (size_t i = 0; i < call->n_tasks; i++)
		for (size_t j = 0; j < call->tasks[i]->n_mappings && !err; j++)
			err = find_origin(call, call->tasks[i]->mappings[j]);
	return err;
}

/* ---- between processes ---- */

int share_places(struct criu_call *call, const struct criu_file *file, const struct place *places,
		 size_t n)
{
	char key[48];
	int err = 0;

	for (size_t i = 0; i < n && !err; i += PLACES_MAX) {
		size_t part = n - i < PLACES_MAX ? n - i : PLACES_MAX;

		snprintf(key, sizeof(key), "places-%u-%zu", file->id, i / PLACES_MAX);
		err = criu_share_put_bytes(call, key, places + i, part * sizeof(*places));
	}
	return err ? criu_error(call, err, "tell where buffers are") : 0;
}

static int fetch_place(struct criu_call *call, const struct origin *origin, struct place *ret)
{
	size_t size = PLACES_MAX * sizeof(*ret), at = origin->index % PLACES_MAX;
	_cleanup_free_ struct place *places = malloc(size);
	ssize_t n;
	char key[48];

	if (!places)
		return -ENOMEM;
	snprintf(key, sizeof(key), "places-%u-%u", origin->file->id, origin->index / PLACES_MAX);
	n = criu_share_get_bytes(call, key, places, size);
	if (n < 0)
		return (int)n;
	if ((at + 1) * sizeof(*ret) > (size_t)n)
		return -EBADMSG;
	*ret = places[at];
	return 0;
}

/* ---- in the task ---- */

static int of_kfd_vm(const struct saved_kfd *saved, uint32_t gpu_id)
{
	int n = 0;

	for (size_t i = 0; i < saved->image->n_device_entries; i++) {
		if (saved->image->device_entries[i]->gpu_id == gpu_id)
			return saved->vm_fds[n];
		n += saved->image->device_entries[i]->gpu_id != 0;
	}
	return -1;
}

/* The file that maps the buffer: a descriptor of the caller's, or -errno. */
static int mapping_fd(struct criu_call *call, const struct origin *origin, bool is_own)
{
	char key[48];
	int fd;

	if (is_own) {
		fd = file_is(origin->file, CLASS_KFD)
			     ? of_kfd_vm(origin->file->context, origin->gpu_id)
			     : ((const struct saved_render *)origin->file->context)->fd;
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	snprintf(key, sizeof(key), "map-%u-%u", origin->file->id, origin->gpu_id);
	return criu_share_get_fd(call, key);
}

static const struct place *own_place(const struct origin *origin)
{
	if (file_is(origin->file, CLASS_KFD))
		return &((const struct saved_kfd *)origin->file->context)->places[origin->index];
	return &((const struct saved_render *)origin->file->context)->places[origin->index];
}

/* The GPU's number is a part of the offset, but for that of the events. */
static int map_kfd(struct criu_call *call, const struct criu_mapping *mapping, uint64_t *offset)
{
	const struct amdgpu *gpu = call->context;
	uint64_t old = (mapping->offset & KFD_OFFSET_GPU_MASK) >> KFD_OFFSET_GPU_SHIFT;
	const struct topology_node *node;

	if ((mapping->offset & KFD_OFFSET_TYPE_MASK) == KFD_OFFSET_EVENTS)
		return 0;
	node = new_gpu(gpu, PROPERTY_GPU_ID, (uint32_t)old);
	if (!node)
		return criu_error(call, -ENODEV, "it is of GPU %#llx, which the tree had not",
				  (unsigned long long)old);
	*offset = (mapping->offset & ~KFD_OFFSET_GPU_MASK) |
		  (node->properties[PROPERTY_GPU_ID] << KFD_OFFSET_GPU_SHIFT & KFD_OFFSET_GPU_MASK);
	return 0;
}

/* The dma-buf, and where in it the mapping begins. */
static int map_dmabuf(struct criu_call *call, const struct criu_mapping *mapping, uint64_t *offset,
		      int *fd)
{
	const struct use *use = &((const struct saved_dmabuf *)mapping->file->context)->use;
	const struct criu_file *maker = file_by_id(call, use->creator);
	uint64_t node = 0, size = 0;

	if (maker && file_is(maker, CLASS_KFD)) {
		const CriuKfd *image = ((const struct saved_kfd *)maker->context)->image;

		if (image && use->creator_index < image->n_bo_entries) {
			node = image->bo_entries[use->creator_index]->offset;
			size = image->bo_entries[use->creator_index]->size;
		}
	} else if (maker && file_is(maker, CLASS_RENDER)) {
		const CriuRenderNode *image = ((const struct saved_render *)maker->context)->image;

		if (use->creator_index < image->n_bo_entries) {
			node = image->bo_entries[use->creator_index]->offset;
			size = image->bo_entries[use->creator_index]->size;
		}
	}
	if (!offset_in_dmabuf(mapping->offset, mapping->length, node, size, offset))
		return criu_error(call, -EBADMSG, "it is not of the buffer of its file");
	*fd = find_object(call, use->object);
	return *fd < 0 ? criu_error(call, *fd, "the buffer that it is of") : 0;
}

int restore_mapping(struct criu_call *call, struct criu_mapping *mapping, uint64_t *offset, int *fd)
{
	const struct origin *origin = mapping->context;
	struct place place = {0};
	bool is_own;
	int err = 0;

	if (mapping->file && file_is(mapping->file, CLASS_DMABUF))
		return map_dmabuf(call, mapping, offset, fd);
	if (!origin || !origin->file)
		return map_kfd(call, mapping, offset);
	is_own = origin->file->task == mapping->task;
	if (is_own)
		place = *own_place(origin);
	else
		err = fetch_place(call, origin, &place);
	if (err)
		return criu_error(call, err, "where its buffer is now");
	*offset = place.new + (mapping->offset - place.old);
	*fd = mapping_fd(call, origin, is_own);
	return *fd < 0 ? criu_error(call, *fd, "the file that maps its buffer") : 0;
}
