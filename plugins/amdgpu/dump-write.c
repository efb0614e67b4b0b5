// SPDX-License-Identifier: GPL-2.0-only
/*
 * When every file was read: who makes which buffer again, contents, then the images. A buffer is
 *made by the first kfd file that has it, else by the first render node that did not import it, else
 *by the first that has it at all; in which sequence files are dumped does not matter. Beside the
 *images of CRIU's plugin there are keys of our own:
 *
 *	topology     a criu_kfd message with all nodes of the host, real ids
 *	objects-ID   struct use[]: the buffers of file ID that others know, too
 *	vms-ID       struct vm[]: what the process of kfd file ID gave to kfd for each GPU
 *	second-ID    kfd file ID is one more of a process whose state is with another
 */
#include "amdgpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "offset.h"

/* ---- creators ---- */

static void claim(struct object *object, const struct criu_file *file, uint32_t index)
{
	if (!object || object->has_creator)
		return;
	object->has_creator = true;
	object->creator = file->id;
	object->index = index;
}

static int find_creators(struct criu_call *call)
{
	struct amdgpu *gpu = call->context;

	for (size_t i = 0; i < gpu->n_kfds; i++)
		for (uint32_t j = 0; gpu->kfds[i]->is_read && j < gpu->kfds[i]->info.num_bos; j++)
			claim(gpu->kfds[i]->objects[j], gpu->kfds[i]->file, j);
	for (int is_import = 0; is_import < 2; is_import++)
		for (size_t i = 0; i < gpu->n_renders; i++) {
			struct render *render = gpu->renders[i];

			for (uint32_t j = 0; j < render->n; j++)
				if (!(render->handles[j].flags & DRM_HANDLE_IS_IMPORT) || is_import)
					claim(render->objects[j], render->file, j);
		}
	for (size_t i = 0; i < gpu->n_dmabufs; i++) {
		const struct criu_file *file = gpu->dmabufs[i]->file;

		if (!gpu->dmabufs[i]->object->has_creator)
			return criu_error(call, -ENOTSUP,
					  "pid %d fd %d: %s: no file of the tree has this buffer",
					  file->task->pid, file->fd, file->path);
	}
	return 0;
}

static bool is_creator(const struct object *object, const struct criu_file *file, uint32_t index)
{
	return object->creator == file->id && object->index == index;
}

static int put_uses(struct criu_call *call, const struct criu_file *file,
		    struct object *const *objects, uint32_t n)
{
	_cleanup_free_ struct use *uses = calloc(n + 1ULL, sizeof(*uses));
	uint32_t n_uses = 0;
	char key[32];

	if (!uses)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct object *object = objects[i];

		if (object && object->n_users > 1)
			uses[n_uses++] = (struct use){i, object->number, object->creator,
						      object->index, is_creator(object, file, i)};
	}
	if (!n_uses)
		return 0;
	snprintf(key, sizeof(key), "objects-%u", file->id);
	return criu_data_put(call, key, uses, n_uses * sizeof(*uses));
}

/* ---- which render node a process gave to kfd ---- */

static bool is_holder(const struct criu_file *file, const struct criu_task *task)
{
	for (size_t i = 0; i < file->n_holders; i++)
		if (file->holders[i].task == task)
			return true;
	return false;
}

/* Only through the file that kfd was given can buffers of kfd be mapped. */
static bool can_map(struct criu_call *call, const struct criu_file *file, uint64_t offset)
{
	_cleanup_close_ int fd = criu_file_borrow(call, file);
	void *at = fd < 0 ? NULL : driver.map(fd, offset, 4096, false);

	if (at)
		munmap(at, 4096);
	return at;
}

static const struct kfd_bo *mappable_bo(const struct kfd *kfd, uint32_t user_id)
{
	for (uint32_t i = 0; i < kfd->info.num_bos; i++)
		if (kfd->bos[i].gpu_id == user_id && kfd->bos[i].offset &&
		    (kfd->bos[i].alloc_flags & KFD_BO_HAS_CONTENTS))
			return &kfd->bos[i];
	return NULL;
}

static struct vm find_vm(struct criu_call *call, const struct kfd *kfd,
			 const struct kfd_device *device)
{
	const struct amdgpu *gpu = call->context;
	const struct topology_node *node = topology_by_gpu_id(&gpu->here, device->actual_gpu_id);
	const struct kfd_bo *bo = mappable_bo(kfd, device->user_gpu_id);
	struct vm vm = {.gpu_id = device->user_gpu_id,
			.minor = (uint32_t)node->properties[PROPERTY_DRM_RENDER_MINOR]};
	bool is_certain = false;

	for (size_t i = 0; i < gpu->n_renders && !is_certain; i++) {
		const struct criu_file *file = gpu->renders[i]->file;

		if (gpu->renders[i]->minor != vm.minor || !is_holder(file, kfd->file->task))
			continue;
		is_certain = bo && can_map(call, file, bo->offset);
		if (vm.has_file && !is_certain)
			continue;
		vm.file = file->id;
		vm.has_file = true;
	}
	return vm;
}

static int put_vms(struct criu_call *call, const struct kfd *kfd)
{
	uint32_t n = kfd->info.num_devices;
	_cleanup_free_ struct vm *vms = calloc(n + 1ULL, sizeof(*vms));
	char key[32];

	if (!vms)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		vms[i] = find_vm(call, kfd, &kfd->devices[i]);
	snprintf(key, sizeof(key), "vms-%u", kfd->file->id);
	return criu_data_put(call, key, vms, n * sizeof(*vms));
}

static int put_second(struct criu_call *call, const struct kfd *kfd)
{
	char key[32];

	snprintf(key, sizeof(key), "second-%u", kfd->file->id);
	return criu_data_put(call, key, "", 0);
}

/* ---- mappings ---- */

static bool contains(uint64_t offset, uint64_t size, const struct criu_mapping *mapping)
{
	return mapping->offset >= offset && mapping->offset < offset + size &&
	       mapping->length <= offset + size - mapping->offset;
}

static bool is_of_kfd(const struct amdgpu *gpu, const struct kfd *kfd,
		      const struct criu_mapping *mapping, int minor)
{
	for (uint32_t i = 0; kfd->is_read && i < kfd->info.num_bos; i++)
		if ((kfd->bos[i].alloc_flags & KFD_BO_HAS_CONTENTS) &&
		    contains(kfd->bos[i].offset, kfd->bos[i].size, mapping))
			for (uint32_t j = 0; j < kfd->info.num_devices; j++)
				if (kfd->devices[j].user_gpu_id == kfd->bos[i].gpu_id &&
				    topology_by_minor(&gpu->here, (uint32_t)minor) ==
					    topology_by_gpu_id(&gpu->here,
							       kfd->devices[j].actual_gpu_id))
					return true;
	return false;
}

static bool is_known(const struct amdgpu *gpu, const struct criu_mapping *mapping)
{
	int minor = minor_of_path(mapping->path);

	for (size_t i = 0; i < gpu->n_kfds; i++)
		if (is_of_kfd(gpu, gpu->kfds[i], mapping, minor))
			return true;
	for (size_t i = 0; i < gpu->n_renders; i++)
		for (uint32_t j = 0; j < gpu->renders[i]->n; j++)
			if (gpu->renders[i]->minor == (uint32_t)minor &&
			    gpu->renders[i]->offsets[j] &&
			    contains(gpu->renders[i]->offsets[j], gpu->renders[i]->handles[j].size,
				     mapping))
				return true;
	return false;
}

static bool is_of_dmabuf(const struct amdgpu *gpu, const struct criu_mapping *mapping,
			 const struct object *object)
{
	uint64_t at, node = 0, size = 0;

	for (size_t i = 0; i < gpu->n_kfds; i++)
		if (gpu->kfds[i]->file->id == object->creator && gpu->kfds[i]->is_read) {
			node = gpu->kfds[i]->bos[object->index].offset;
			size = gpu->kfds[i]->bos[object->index].size;
		}
	for (size_t i = 0; i < gpu->n_renders; i++)
		if (gpu->renders[i]->file->id == object->creator) {
			node = gpu->renders[i]->offsets[object->index];
			size = gpu->renders[i]->handles[object->index].size;
		}
	return offset_in_dmabuf(mapping->offset, mapping->length, node, size, &at);
}

/* Other mappings than of render nodes have their files: dump_begin() has seen to that. */
static bool is_good(const struct amdgpu *gpu, const struct criu_mapping *mapping)
{
	if (minor_of_path(mapping->path) >= 0)
		return is_known(gpu, mapping);
	for (size_t i = 0; i < gpu->n_dmabufs; i++)
		if (gpu->dmabufs[i]->file == mapping->file)
			return is_of_dmabuf(gpu, mapping, gpu->dmabufs[i]->object);
	return true;
}

static int check_mappings(struct criu_call *call)
{
	for (size_t i = 0; i < call->n_tasks; i++)
		for (size_t j = 0; j < call->tasks[i]->n_mappings; j++) {
			const struct criu_mapping *mapping = call->tasks[i]->mappings[j];

			if (is_good(call->context, mapping))
				continue;
			return criu_error(
				call, -ENOTSUP,
				"pid %d: mapping %#llx of %s: no file of the tree has its buffer",
				call->tasks[i]->pid, (unsigned long long)mapping->start,
				mapping->path);
		}
	return 0;
}

/* ---- contents ---- */

struct contents {
	struct copy_lane *lanes;
	size_t n_lanes;
	int *files;
	size_t n_files;
};

static void contents_release(struct contents *contents)
{
	copy_release(contents->lanes, contents->n_lanes);
	for (size_t i = 0; i < contents->n_files; i++)
		close(contents->files[i]);
	free(contents->files);
}

static int add_pages(struct criu_call *call, struct contents *contents, const char *name,
		     uint64_t size)
{
	int *files = realloc(contents->files, (contents->n_files + 1) * sizeof(*files));
	int fd;

	if (!files)
		return -ENOMEM;
	contents->files = files;
	fd = image_create_pages(call, name, size);
	if (fd >= 0)
		files[contents->n_files++] = fd;
	return fd;
}

static int add_kfd_gpu(struct criu_call *call, struct contents *contents, const struct kfd *kfd,
		       const struct kfd_device *device)
{
	const struct amdgpu *gpu = call->context;
	const struct topology_node *where = topology_by_gpu_id(&gpu->here, device->actual_gpu_id);
	uint32_t minor = (uint32_t)where->properties[PROPERTY_DRM_RENDER_MINOR];
	uint64_t total = 0, pos = IMAGE_HEAD;
	bool is_new = true;
	struct node *node;
	char name[64];
	int fd;

	for (uint32_t i = 0; i < kfd->info.num_bos; i++)
		if (kfd->bos[i].gpu_id == device->user_gpu_id && kfd->objects[i])
			total += kfd->bos[i].size;
	if (!total)
		return 0;
	snprintf(name, sizeof(name), "amdgpu-pages-%u-%04x.img", kfd->file->id,
		 device->user_gpu_id);
	fd = add_pages(call, contents, name, total);
	node = fd < 0 ? NULL : own_node(call, minor);
	if (!node)
		return fd < 0 ? fd : -EIO;
	for (uint32_t i = 0; i < kfd->info.num_bos; i++) {
		const struct kfd_bo *bo = &kfd->bos[i];
		struct copy_item *item;

		if (bo->gpu_id != device->user_gpu_id || !kfd->objects[i])
			continue;
		item = copy_add(&contents->lanes, &contents->n_lanes, node->fd, minor, is_new);
		if (!item)
			return -ENOMEM;
		*item = (struct copy_item){kfd->handles[i], bo->offset, bo->size, fd, pos};
		pos += bo->size;
		is_new = false;
	}
	return 0;
}

static int add_render(struct criu_call *call, struct contents *contents,
		      const struct render *render)
{
	bool is_new = true;

	for (uint32_t i = 0; i < render->n; i++) {
		const struct drm_handle *handle = &render->handles[i];
		struct node *node = own_node(call, render->minor);
		struct copy_item *item;
		char name[80];
		int fd;

		if (!is_creator(render->objects[i], render->file, i))
			continue;
		if (handle->domains & DRM_DOMAIN_SPECIAL)
			return criu_error(
				call, -ENOTSUP,
				"pid %d fd %d: handle %u is of memory on the chip (domains %#llx)",
				render->file->task->pid, render->file->fd, handle->handle,
				(unsigned long long)handle->domains);
		snprintf(name, sizeof(name), "amdgpu-drm-pages-%u-%u-%04x.img", render->file->id,
			 render->minor, i);
		fd = add_pages(call, contents, name, handle->size);
		if (fd < 0 || !node)
			return fd < 0 ? fd : -EIO;
		item = copy_add(&contents->lanes, &contents->n_lanes, node->fd, render->minor,
				is_new);
		if (!item)
			return -ENOMEM;
		*item = (struct copy_item){render->own_handles[i], render->offsets[i], handle->size,
					   fd, IMAGE_HEAD};
		is_new = false;
	}
	return 0;
}

static int write_contents(struct criu_call *call)
{
	_cleanup_(contents_release) struct contents contents = {0};
	struct amdgpu *gpu = call->context;
	int err = 0;

	for (size_t i = 0; i < gpu->n_kfds; i++)
		for (uint32_t j = 0;
		     gpu->kfds[i]->is_read && j < gpu->kfds[i]->info.num_devices && !err; j++)
			err = add_kfd_gpu(call, &contents, gpu->kfds[i], &gpu->kfds[i]->devices[j]);
	for (size_t i = 0; i < gpu->n_renders && !err; i++)
		err = add_render(call, &contents, gpu->renders[i]);
	return err ? err : copy_run(call, contents.lanes, contents.n_lanes, false);
}

/* ---- messages ---- */

/* The nodes that the process sees, with the ids that it uses. */
static int topology_of(const struct amdgpu *gpu, const struct kfd *kfd, struct topology *ret)
{
	for (size_t i = 0; i < gpu->here.n_nodes; i++) {
		const struct topology_node *from = &gpu->here.nodes[i];
		struct topology_node *node;
		uint32_t user_id = 0;

		for (uint32_t j = 0; j < kfd->info.num_devices; j++)
			if (topology_by_gpu_id(&gpu->here, kfd->devices[j].actual_gpu_id) == from)
				user_id = kfd->devices[j].user_gpu_id;
		if (topology_is_gpu(from) && !user_id)
			continue;
		node = topology_add_node(ret);
		if (!node)
			return -ENOMEM;
		memcpy(node->properties, from->properties, sizeof(node->properties));
		node->properties[PROPERTY_GPU_ID] = user_id;
		for (size_t j = 0; j < from->n_links; j++)
			if (topology_add_link(node, from->links[j].type, from->links[j].to) < 0)
				return -ENOMEM;
	}
	return 0;
}

static int fill_bos(const struct kfd *kfd, CriuKfd *image)
{
	KfdBoEntry *entries = calloc(kfd->info.num_bos + 1ULL, sizeof(*entries));

	image->bo_entries = calloc(kfd->info.num_bos + 1ULL, sizeof(*image->bo_entries));
	if (!entries || !image->bo_entries) {
		free(entries);
		return -ENOMEM;
	}
	image->bo_entries[0] = entries;
	for (uint32_t i = 0; i < kfd->info.num_bos; i++) {
		const struct kfd_bo *bo = &kfd->bos[i];
		KfdBoEntry *entry = image->bo_entries[i] = &entries[i];

		kfd_bo_entry__init(entry);
		entry->addr = bo->addr;
		entry->size = bo->size;
		entry->offset = bo->offset;
		entry->alloc_flags = bo->alloc_flags;
		entry->gpu_id = bo->gpu_id;
		entry->handle = kfd->handles[i];
	}
	image->n_bo_entries = kfd->info.num_bos;
	image->num_of_bos = kfd->info.num_bos;
	return 0;
}

static void free_image(CriuKfd *image)
{
	if (image->bo_entries)
		free(image->bo_entries[0]);
	free(image->bo_entries);
	for (size_t i = 0; i < image->n_device_entries; i++) {
		for (size_t j = 0; j < image->device_entries[i]->n_iolinks; j++)
			free(image->device_entries[i]->iolinks[j]);
		free(image->device_entries[i]->iolinks);
		free(image->device_entries[i]);
	}
	free(image->device_entries);
}

static int write_kfd(struct criu_call *call, const struct kfd *kfd)
{
	const struct amdgpu *gpu = call->context;
	_cleanup_(free_image) CriuKfd image = CRIU_KFD__INIT;
	_cleanup_(topology_release) struct topology topology = {0};
	char name[64];
	int err = topology_of(gpu, kfd, &topology);

	if (!err)
		err = topology_to_saved(&topology, &image);
	if (!err)
		err = fill_bos(kfd, &image);
	if (!err)
		err = shm_read(call, &image.shared_mem_size, &image.shared_mem_magic);
	if (err)
		return err;
	image.pid = kfd->pid;
	image.num_of_objects = kfd->info.num_objects;
	image.priv_data.data = kfd->private_data;
	image.priv_data.len = kfd->info.priv_data_size;
	snprintf(name, sizeof(name), "amdgpu-kfd-%u.img", kfd->file->id);
	err = image_write_message(call, name, &image.base);
	if (!err)
		err = put_vms(call, kfd);
	return err ? err : put_uses(call, kfd->file, kfd->objects, kfd->info.num_bos);
}

static const struct kfd *kfd_of_task(const struct amdgpu *gpu, const struct criu_task *task)
{
	for (size_t i = 0; i < gpu->n_kfds; i++)
		if (gpu->kfds[i]->is_read && gpu->kfds[i]->file->task == task)
			return gpu->kfds[i];
	return NULL;
}

static int fill_handle(const struct render *render, uint32_t i, DrmBoEntry *entry)
{
	const struct drm_handle *handle = &render->handles[i];
	uint32_t n = render->n_mappings[i];
	DrmVmEntry *mappings = calloc(n + 1ULL, sizeof(*mappings));

	drm_bo_entry__init(entry);
	entry->vm_entries = calloc(n + 1ULL, sizeof(*entry->vm_entries));
	if (!mappings || !entry->vm_entries) {
		free(mappings);
		return -ENOMEM;
	}
	for (uint32_t j = 0; j < n; j++) {
		const struct drm_mapping *mapping = &render->mappings[i][j];

		entry->vm_entries[j] = &mappings[j];
		drm_vm_entry__init(&mappings[j]);
		mappings[j].addr = mapping->address;
		mappings[j].size = mapping->size;
		mappings[j].offset = mapping->offset;
		mappings[j].flags = mapping->flags;
		entry->addr = mapping->address;
	}
	entry->vm_entries[n] = mappings;
	entry->n_vm_entries = entry->num_of_vms = n;
	entry->size = handle->size;
	entry->offset = render->offsets[i];
	entry->alloc_flags = handle->alloc_flags;
	entry->alignment = handle->alignment;
	entry->preferred_domains = (uint32_t)handle->domains;
	entry->handle = handle->handle;
	entry->is_import = !is_creator(render->objects[i], render->file, i);
	return 0;
}

static int write_render(struct criu_call *call, const struct render *render)
{
	const struct kfd *kfd = kfd_of_task(call->context, render->file->task);
	_cleanup_free_ DrmBoEntry *entries = calloc(render->n + 1ULL, sizeof(*entries));
	_cleanup_free_ DrmBoEntry **list = calloc(render->n + 1ULL, sizeof(*list));
	CriuRenderNode image = CRIU_RENDER_NODE__INIT;
	int err = entries && list ? 0 : -ENOMEM;
	uint32_t n = 0;
	char name[64];

	for (; !err && n < render->n; n++) {
		list[n] = &entries[n];
		err = fill_handle(render, n, &entries[n]);
	}
	image.gpu_id = user_gpu_id(call->context, kfd, render->minor);
	image.id = render->file->id;
	image.drm_render_minor = render->minor;
	image.num_of_bos = image.n_bo_entries = n;
	image.bo_entries = list;
	snprintf(name, sizeof(name), "amdgpu-renderD-%u.img", render->file->id);
	if (!err)
		err = image_write_message(call, name, &image.base);
	for (uint32_t i = 0; i < n; i++) {
		if (entries[i].vm_entries)
			free(entries[i].vm_entries[entries[i].n_vm_entries]);
		free(entries[i].vm_entries);
	}
	return err ? err : put_uses(call, render->file, render->objects, render->n);
}

static int write_dmabuf(struct criu_call *call, const struct dmabuf *dmabuf)
{
	const struct object *object = dmabuf->object;
	const struct use use = {0, object->number, object->creator, object->index, 0};
	CriuDmabufNode image = CRIU_DMABUF_NODE__INIT;
	char name[64], key[32];
	int err;

	image.gem_handle = object->number;
	snprintf(name, sizeof(name), "amdgpu-dmabuf_%u.img", dmabuf->file->id);
	err = image_write_message(call, name, &image.base);
	if (err)
		return err;
	snprintf(key, sizeof(key), "objects-%u", dmabuf->file->id);
	return criu_data_put(call, key, &use, sizeof(use));
}

static int put_topology(struct criu_call *call)
{
	const struct amdgpu *gpu = call->context;
	_cleanup_(free_image) CriuKfd image = CRIU_KFD__INIT;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	int err = topology_to_saved(&gpu->here, &image);

	if (err)
		return err;
	size = criu_kfd__get_packed_size(&image);
	bytes = malloc(size + 1);
	if (!bytes)
		return -ENOMEM;
	criu_kfd__pack(&image, bytes);
	return criu_data_put(call, "topology", bytes, size);
}

int dump_write(struct criu_call *call)
{
	struct amdgpu *gpu = call->context;
	int err = find_creators(call);

	if (!err)
		err = check_mappings(call);
	if (!err)
		err = write_contents(call);
	if (!err)
		err = put_topology(call);
	for (size_t i = 0; i < gpu->n_kfds && !err; i++)
		err = gpu->kfds[i]->is_read ? write_kfd(call, gpu->kfds[i])
					    : put_second(call, gpu->kfds[i]);
	for (size_t i = 0; i < gpu->n_renders && !err; i++)
		err = write_render(call, gpu->renders[i]);
	for (size_t i = 0; i < gpu->n_dmabufs && !err; i++)
		err = write_dmabuf(call, gpu->dmabufs[i]);
	return err;
}
