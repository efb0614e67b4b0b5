// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver says of an open file. Of kfd: devices, buffers, and opaque data with queues,
 * events and ranges. Of a render node: the handles of the file, and where each buffer is mapped for
 * the GPU. For each buffer with contents the driver exports a dma-buf, whose inode tells which
 * buffer it is in the whole tree; it is imported into a render node of our own, whose handle keeps
 * it alive and lets us copy it.
 */
#include "amdgpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct node *own_node(struct criu_call *call, uint32_t minor)
{
	struct amdgpu *gpu = call->context;
	struct node *nodes;
	char path[4096];
	int fd;

	for (size_t i = 0; i < gpu->n_nodes; i++)
		if (gpu->nodes[i].minor == minor)
			return &gpu->nodes[i];
	render_path(call, minor, path, sizeof(path));
	nodes = realloc(gpu->nodes, (gpu->n_nodes + 1) * sizeof(*nodes));
	if (!nodes)
		return NULL;
	gpu->nodes = nodes;
	fd = driver.open(path);
	if (fd < 0) {
		criu_error(call, fd, "open %s", path);
		return NULL;
	}
	nodes[gpu->n_nodes] = (struct node){minor, fd};
	return &nodes[gpu->n_nodes++];
}

/* The object of that dma-buf; NULL: no memory or no inode. */
static struct object *object_of(struct amdgpu *gpu, int dmabuf)
{
	struct object **objects, *object;
	struct stat st;

	if (fstat(dmabuf, &st) < 0)
		return NULL;
	/* Newest first: files that share buffers tend to list them in the same sequence. */
	for (size_t i = gpu->n_objects; i > 0; i--) {
		object = gpu->objects[i - 1];
		if (object->dev == st.st_dev && object->ino == st.st_ino)
			return object;
	}
	if ((gpu->n_objects & (gpu->n_objects - 1)) == 0) {
		objects = realloc(gpu->objects,
				  (gpu->n_objects ? gpu->n_objects * 2 : 1) * sizeof(*objects));
		if (!objects)
			return NULL;
		gpu->objects = objects;
	}
	object = calloc(1, sizeof(*object));
	if (!object)
		return NULL;
	*object = (struct object){.dev = st.st_dev, .ino = st.st_ino};
	object->number = (uint32_t)gpu->n_objects + 1;
	gpu->objects[gpu->n_objects++] = object;
	return object;
}

/* Learns the object and our handle of the dma-buf, which it closes. */
static int learn(struct criu_call *call, const struct node *node, int dmabuf,
		 struct object **ret_object, uint32_t *ret_handle)
{
	_cleanup_close_ int fd = dmabuf;
	int err;

	if (fd < 0)
		return criu_error(call, fd, "have the dma-buf of a buffer");
	*ret_object = object_of(call->context, fd);
	if (!*ret_object)
		return criu_error(call, -ENOMEM, "tell whose buffer a dma-buf is");
	(*ret_object)->n_users++;
	err = drm_import(call, node->fd, fd, ret_handle);
	return err ? criu_error(call, err, "import a buffer into renderD%u", node->minor) : 0;
}

/* ---- kfd ---- */

/* The real GPU behind the id that the process uses. */
static const struct topology_node *gpu_of_user_id(const struct amdgpu *gpu, const struct kfd *kfd,
						  uint32_t user_id)
{
	for (uint32_t i = 0; i < kfd->info.num_devices; i++)
		if (kfd->devices[i].user_gpu_id == user_id)
			return topology_by_gpu_id(&gpu->here, kfd->devices[i].actual_gpu_id);
	return NULL;
}

uint32_t user_gpu_id(const struct amdgpu *gpu, const struct kfd *kfd, uint32_t minor)
{
	const struct topology_node *node = topology_by_minor(&gpu->here, minor);
	uint32_t real = node ? (uint32_t)node->properties[PROPERTY_GPU_ID] : 0;

	for (uint32_t i = 0; kfd && kfd->is_read && i < kfd->info.num_devices; i++)
		if (kfd->devices[i].actual_gpu_id == real)
			return kfd->devices[i].user_gpu_id;
	return real;
}

static int checkpoint(struct criu_call *call, struct kfd *kfd)
{
	struct kfd_criu *info = &kfd->info;
	int err;

	/* The driver wants a pointer of each, also where there is nothing. */
	kfd->devices = calloc(info->num_devices + 1, sizeof(*kfd->devices));
	kfd->bos = calloc(info->num_bos + 1ULL, sizeof(*kfd->bos));
	kfd->handles = calloc(info->num_bos + 1ULL, sizeof(*kfd->handles));
	kfd->objects = calloc(info->num_bos + 1ULL, sizeof(*kfd->objects));
	kfd->private_data = calloc(1, info->priv_data_size + 1);
	if (!kfd->devices || !kfd->bos || !kfd->handles || !kfd->objects || !kfd->private_data)
		return criu_error(call, -ENOMEM, "memory for %u buffers", info->num_bos);
	for (uint32_t i = 0; i < info->num_bos; i++)
		kfd->bos[i].dmabuf_fd = KFD_NO_FD;
	info->devices = (uintptr_t)kfd->devices;
	info->bos = (uintptr_t)kfd->bos;
	info->priv_data = (uintptr_t)kfd->private_data;
	err = kfd_criu_op(call, kfd->fd, KFD_CHECKPOINT, info);
	return err ? criu_error(call, err, "read the state of the process") : 0;
}

static int check_devices(struct criu_call *call, const struct kfd *kfd)
{
	const struct amdgpu *gpu = call->context;

	for (uint32_t i = 0; i < kfd->info.num_devices; i++)
		if (!topology_by_gpu_id(&gpu->here, kfd->devices[i].actual_gpu_id))
			return criu_error(call, -ENODEV, "GPU %#x is not in the topology",
					  kfd->devices[i].actual_gpu_id);
	return 0;
}

static int read_bo(struct criu_call *call, struct kfd *kfd, uint32_t i)
{
	const struct kfd_bo *bo = &kfd->bos[i];
	const struct topology_node *where = gpu_of_user_id(call->context, kfd, bo->gpu_id);
	struct node *node;

	kfd->handles[i] = KFD_NO_FD;
	if (!where) {
		dmabuf_drop(call, bo->dmabuf_fd);
		return criu_error(call, -ENODEV,
				  "buffer %u is of GPU %#x, which the process has not", i,
				  bo->gpu_id);
	}
	if (bo->dmabuf_fd == KFD_NO_FD) {
		if (bo->alloc_flags & KFD_BO_HAS_CONTENTS)
			return criu_error(call, -EIO, "buffer %u has contents and no dma-buf", i);
		return 0;
	}
	node = own_node(call, (uint32_t)where->properties[PROPERTY_DRM_RENDER_MINOR]);
	if (!node) {
		dmabuf_drop(call, bo->dmabuf_fd);
		return -EIO;
	}
	return learn(call, node, dmabuf_open(call, bo->dmabuf_fd), &kfd->objects[i],
		     &kfd->handles[i]);
}

int dump_read_kfd(struct criu_call *call, struct kfd *kfd)
{
	int err = checkpoint(call, kfd);
	uint32_t i = 0;

	if (err)
		return err;
	kfd->is_read = true;
	err = check_devices(call, kfd);
	for (; !err && i < kfd->info.num_bos; i++) {
		err = read_bo(call, kfd, i);
		if (!err && criu_is_cancelled(call))
			err = -ECANCELED;
	}
	/* The kernel has given us a descriptor for each. */
	for (; err && i < kfd->info.num_bos; i++)
		dmabuf_drop(call, kfd->bos[i].dmabuf_fd);
	return err;
}

/* ---- render nodes ---- */

/* There may be more of them than asked for: nothing runs, so the second time it is right. */
static int list_handles(struct criu_call *call, struct render *render, int fd)
{
	struct drm_list arg = {0};
	int err;

	for (;;) {
		uint32_t room = arg.n_entries;

		free(render->handles);
		render->handles = calloc(room + 1ULL, sizeof(*render->handles));
		if (!render->handles)
			return criu_error(call, -ENOMEM, "memory for %u handles", room);
		arg.entries = (uintptr_t)render->handles;
		err = driver.ioctl(call, fd, DRM_IOC_LIST, &arg);
		if (err == -EINVAL || err == -ENOTTY) {
			criu_message(call, CRIU_LEVEL_WARNING,
				     "the kernel cannot list handles: taken as if there were none");
			return 0;
		}
		if (err)
			return criu_error(call, err, "list the handles");
		if (arg.n_entries <= room)
			break;
	}
	render->n = arg.n_entries;
	return 0;
}

static int list_mappings(struct criu_call *call, struct render *render, int fd, uint32_t i)
{
	struct drm_op arg = {.handle = render->handles[i].handle, .op = DRM_OP_MAPPINGS};

	for (;;) {
		uint32_t room = arg.n_entries;
		int err;

		free(render->mappings[i]);
		render->mappings[i] = calloc(room + 1ULL, sizeof(**render->mappings));
		if (!render->mappings[i])
			return criu_error(call, -ENOMEM, "memory for %u mappings", room);
		arg.value = (uintptr_t)render->mappings[i];
		err = driver.ioctl(call, fd, DRM_IOC_OP, &arg);
		if (err)
			return criu_error(call, err, "list the mappings of handle %u", arg.handle);
		if (arg.n_entries <= room)
			break;
	}
	render->n_mappings[i] = arg.n_entries;
	return 0;
}

static int read_handle(struct criu_call *call, struct render *render, const struct node *node,
		       int fd, uint32_t i)
{
	const struct drm_handle *handle = &render->handles[i];
	int err = list_mappings(call, render, fd, i), dmabuf;

	if (err)
		return err;
	dmabuf = drm_export(call, fd, handle->handle);
	if (dmabuf == -EPERM)
		return criu_error(
			call, -ENOTSUP,
			"handle %u is memory of the process (userptr): cannot be made again",
			handle->handle);
	err = learn(call, node, dmabuf, &render->objects[i], &render->own_handles[i]);
	if (err)
		return err;
	err = drm_offset(call, fd, handle->handle, &render->offsets[i]);
	/* What the CPU cannot reach has no offset, and is mapped nowhere. */
	if (err == -EPERM)
		render->offsets[i] = err = 0;
	if (err)
		return criu_error(call, err, "have the offset of handle %u", handle->handle);
	return 0;
}

static int by_handle(const void *a, const void *b)
{
	const struct drm_handle *x = a, *y = b;

	return x->handle < y->handle ? -1 : x->handle > y->handle;
}

int dump_read_render(struct criu_call *call, struct render *render, int fd)
{
	struct node *node;
	int err, minor = minor_of_path(render->file->path);

	if (minor < 0)
		return criu_error(call, -EINVAL, "has no name of a render node");
	render->minor = (uint32_t)minor;
	node = own_node(call, render->minor);
	err = node ? list_handles(call, render, fd) : -EIO;
	if (err)
		return err;
	qsort(render->handles, render->n, sizeof(*render->handles), by_handle);
	render->mappings = calloc(render->n + 1ULL, sizeof(*render->mappings));
	render->n_mappings = calloc(render->n + 1ULL, sizeof(*render->n_mappings));
	render->offsets = calloc(render->n + 1ULL, sizeof(*render->offsets));
	render->own_handles = calloc(render->n + 1ULL, sizeof(*render->own_handles));
	render->objects = calloc(render->n + 1ULL, sizeof(struct object *));
	if (!render->mappings || !render->n_mappings || !render->offsets || !render->own_handles ||
	    !render->objects)
		return criu_error(call, -ENOMEM, "memory for %u handles", render->n);
	for (uint32_t i = 0; !err && i < render->n; i++) {
		err = read_handle(call, render, node, fd, i);
		if (!err && criu_is_cancelled(call))
			err = -ECANCELED;
	}
	return err;
}

/* ---- dma-bufs ---- */

int dump_read_dmabuf(struct criu_call *call, struct dmabuf *dmabuf, int fd)
{
	dmabuf->object = object_of(call->context, fd);
	if (!dmabuf->object)
		return criu_error(call, -ENOMEM, "tell whose buffer it is");
	dmabuf->object->n_users++;
	return 0;
}
