// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the state of a process in kfd again, in that process, as only it can: a fresh open file,
 * render nodes for the GPUs that take the place of the old ones, and RESTORE, which gives each
 * buffer the address and handle it had, and a new offset. Then contents.
 *
 * RESTORE knows no buffers that belong to another process. Those are left out of what it gets, and
 * imported afterwards: the driver gives the lowest free handle, so places below the wanted one are
 * filled for the time being. What RESTORE gets instead of all buffers is cut out of its private
 * data, where each buffer has an entry of known size.
 */
#include "amdgpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is needed while it is made. */
struct making {
	struct criu_call *call;
	struct saved_kfd *saved;
	int fd;
	struct kfd_device *devices;
	uint32_t *minors; /* of the new GPUs */
	int *nodes;       /* of our own, for contents; -1: not open */
	uint32_t n_devices;
	struct kfd_bo *bos;
	uint32_t *indexes; /* of bos in the image */
	uint32_t n_bos;
	uint8_t *private_data;
	size_t private_size;
	struct copy_lane *lanes;
	size_t n_lanes;
	int *files;
	size_t n_files;
};

static void making_release(struct making *making)
{
	copy_release(making->lanes, making->n_lanes);
	for (uint32_t i = 0; making->nodes && i < making->n_devices; i++)
		if (making->nodes[i] >= 0)
			close(making->nodes[i]);
	for (size_t i = 0; i < making->n_files; i++)
		close(making->files[i]);
	if (making->fd >= 0)
		close(making->fd);
	free(making->files);
	free(making->devices);
	free(making->minors);
	free(making->nodes);
	free(making->bos);
	free(making->indexes);
	free(making->private_data);
}

/* ---- render nodes ---- */

static const struct vm *vm_of(const struct saved_kfd *saved, uint32_t user_id)
{
	for (size_t i = 0; i < saved->n_vms; i++)
		if (saved->vms[i].gpu_id == user_id)
			return &saved->vms[i];
	return NULL;
}

void new_render_path(const char *path, uint32_t minor, char *ret, size_t size)
{
	const char *slash = strrchr(path, '/');

	snprintf(ret, size, "%.*s/renderD%u", slash ? (int)(slash - path) : 0, path, minor);
}

/* Opens what the process gives to kfd. If one of its files was that, that file is being made here.
 */
static int open_vm(struct making *making, uint32_t user_id, uint32_t minor)
{
	struct criu_call *call = making->call;
	const struct vm *vm = vm_of(making->saved, user_id);
	const struct criu_file *file = vm && vm->has_file ? file_by_id(call, vm->file) : NULL;
	_cleanup_close_ int fd = -1;
	char path[4096], key[32];
	int err = 0, kept;

	if (file)
		new_render_path(file->path, minor, path, sizeof(path));
	else
		render_path(call, minor, path, sizeof(path));
	fd = driver.open(path);
	if (fd < 0)
		return criu_error(call, fd, "open %s", path);
	kept = criu_keep_fd(call, fd);
	if (kept < 0)
		return criu_error(call, kept, "keep %s", path);
	fd = kept;
	if (file) {
		snprintf(key, sizeof(key), "vm-%u", vm->file);
		err = criu_share_put_fd(call, key, fd);
	}
	if (!err || err == -EEXIST) {
		snprintf(key, sizeof(key), "map-%u-%u", making->saved->file->id, user_id);
		err = making->saved->is_wanted ? criu_share_put_fd(call, key, fd) : 0;
	}
	return err ? criu_error(call, err, "hand %s on", path) : TAKE_FD(fd);
}

static int open_devices(struct making *making)
{
	struct saved_kfd *saved = making->saved;
	const CriuKfd *image = saved->image;
	size_t n = image->num_of_gpus + 1ULL;

	making->devices = calloc(n, sizeof(*making->devices));
	making->minors = calloc(n, sizeof(*making->minors));
	making->nodes = calloc(n, sizeof(*making->nodes));
	saved->vm_fds = calloc(n, sizeof(*saved->vm_fds));
	if (!making->devices || !making->minors || !making->nodes || !saved->vm_fds)
		return -ENOMEM;
	for (size_t i = 0; i < image->n_device_entries; i++) {
		uint32_t id = image->device_entries[i]->gpu_id, at = making->n_devices;
		const struct topology_node *node =
			id ? new_gpu_of_user(making->call->context, image, id) : NULL;
		int fd;

		if (!node)
			continue;
		making->minors[at] = (uint32_t)node->properties[PROPERTY_DRM_RENDER_MINOR];
		fd = open_vm(making, id, making->minors[at]);
		if (fd < 0)
			return fd;
		making->nodes[at] = -1;
		saved->vm_fds[at] = fd;
		making->devices[at] = (struct kfd_device){
			.user_gpu_id = id,
			.actual_gpu_id = (uint32_t)node->properties[PROPERTY_GPU_ID],
			.drm_fd = (uint32_t)fd};
		making->n_devices++;
	}
	return 0;
}

/* ---- RESTORE ---- */

static bool is_imported(const struct saved_kfd *saved, uint32_t i)
{
	const struct use *use = use_of(saved->uses, saved->n_uses, i);

	return use && !use->is_creator;
}

static size_t private_offset(const struct making *making, uint32_t i)
{
	return sizeof(struct kfd_private_head) + making->n_devices * KFD_PRIVATE_DEVICE_SIZE +
	       i * sizeof(struct kfd_private_bo);
}

/* Buffers of our own, and the private data without the entries of the others. */
static int choose_bos(struct making *making)
{
	const CriuKfd *image = making->saved->image;
	uint32_t n = (uint32_t)image->n_bo_entries;
	size_t at = private_offset(making, 0);
	bool any = false;

	making->bos = calloc(n + 1ULL, sizeof(*making->bos));
	making->indexes = calloc(n + 1ULL, sizeof(*making->indexes));
	making->private_data = malloc(image->priv_data.len + 1);
	if (!making->bos || !making->indexes || !making->private_data)
		return -ENOMEM;
	memcpy(making->private_data, image->priv_data.data, image->priv_data.len);
	making->private_size = image->priv_data.len;
	for (uint32_t i = 0; i < n; i++)
		any |= is_imported(making->saved, i);
	if (any && private_offset(making, n) > making->private_size)
		return criu_error(making->call, -EBADMSG,
				  "amdgpu-kfd-%u.img: its private data is too short",
				  making->saved->file->id);
	for (uint32_t i = 0; i < n; i++) {
		const KfdBoEntry *entry = image->bo_entries[i];

		if (is_imported(making->saved, i))
			continue;
		if (any)
			memcpy(making->private_data + at,
			       image->priv_data.data + private_offset(making, i),
			       sizeof(struct kfd_private_bo));
		at += sizeof(struct kfd_private_bo);
		making->indexes[making->n_bos] = i;
		making->bos[making->n_bos++] = (struct kfd_bo){.addr = entry->addr,
							       .size = entry->size,
							       .offset = entry->offset,
							       .gpu_id = entry->gpu_id,
							       .alloc_flags = entry->alloc_flags,
							       .dmabuf_fd = KFD_NO_FD};
	}
	if (any) {
		size_t rest = image->priv_data.len - private_offset(making, n);

		memmove(making->private_data + at,
			image->priv_data.data + private_offset(making, n), rest);
		making->private_size = at + rest;
	}
	return 0;
}

static int restore_state(struct making *making)
{
	const CriuKfd *image = making->saved->image;
	struct kfd_criu arg;
	int err = choose_bos(making);

	if (err)
		return err;
	arg = (struct kfd_criu){.devices = (uintptr_t)making->devices,
				.bos = (uintptr_t)making->bos,
				.priv_data = (uintptr_t)making->private_data,
				.priv_data_size = making->private_size,
				.num_devices = making->n_devices,
				.num_bos = making->n_bos,
				.num_objects = image->num_of_objects};
	err = kfd_criu_op(making->call, making->fd, KFD_RESTORE, &arg);
	return err ? criu_error(making->call, err, "make the state of the process again") : 0;
}

/* ---- contents ---- */

static int device_index(const struct making *making, uint32_t user_id)
{
	for (uint32_t i = 0; i < making->n_devices; i++)
		if (making->devices[i].user_gpu_id == user_id)
			return (int)i;
	return -1;
}

/* A node of our own of that GPU, which ends with the making. */
static int private_node(struct making *making, uint32_t user_id, uint32_t *ret_minor)
{
	int at = device_index(making, user_id);
	char path[4096];

	if (at < 0)
		return -ENODEV;
	*ret_minor = making->minors[at];
	if (making->nodes[at] < 0) {
		render_path(making->call, making->minors[at], path, sizeof(path));
		making->nodes[at] = driver.open(path);
		if (making->nodes[at] < 0)
			return criu_error(making->call, making->nodes[at], "open %s", path);
	}
	return making->nodes[at];
}

/* Where the contents of buffer i are in the file of its GPU. */
static uint64_t contents_pos(const CriuKfd *image, uint32_t i)
{
	uint64_t pos = IMAGE_HEAD;

	for (uint32_t j = 0; j < i; j++)
		if (image->bo_entries[j]->gpu_id == image->bo_entries[i]->gpu_id &&
		    (image->bo_entries[j]->alloc_flags & KFD_BO_HAS_CONTENTS))
			pos += image->bo_entries[j]->size;
	return pos;
}

static uint64_t contents_size(const CriuKfd *image, uint32_t gpu_id)
{
	uint64_t size = 0;

	for (size_t i = 0; i < image->n_bo_entries; i++)
		if (image->bo_entries[i]->gpu_id == gpu_id &&
		    (image->bo_entries[i]->alloc_flags & KFD_BO_HAS_CONTENTS))
			size += image->bo_entries[i]->size;
	return size;
}

static int open_pages(struct making *making, uint32_t gpu_id)
{
	int *files = realloc(making->files, (making->n_files + 1) * sizeof(*files));
	uint64_t size = contents_size(making->saved->image, gpu_id);
	char name[64];
	int fd;

	if (!files)
		return -ENOMEM;
	making->files = files;
	fd = saved_pages_name(making->call, making->saved, gpu_id, size, name, sizeof(name));
	if (!fd)
		fd = image_open_pages(making->call, name, size, true);
	if (fd >= 0)
		files[making->n_files++] = fd;
	return fd;
}

/* Takes the dma-buf that the driver answered with: hands it on, and remembers what to copy to it.
 */
static int take_bo(struct making *making, uint32_t at, int file, uint64_t pos, bool is_new)
{
	struct criu_call *call = making->call;
	const struct kfd_bo *bo = &making->bos[at];
	const struct use *use =
		use_of(making->saved->uses, making->saved->n_uses, making->indexes[at]);
	_cleanup_close_ int dmabuf = dmabuf_open(call, bo->dmabuf_fd);
	uint32_t handle, minor;
	struct copy_item *item;
	int node = private_node(making, bo->gpu_id, &minor), err;

	if (dmabuf < 0 || node < 0)
		return criu_error(call, dmabuf < 0 ? dmabuf : node, "have the dma-buf of a buffer");
	err = drm_import(call, node, dmabuf, &handle);
	if (err)
		return criu_error(call, err, "import a buffer into renderD%u", minor);
	item = copy_add(&making->lanes, &making->n_lanes, node, minor, is_new);
	if (!item)
		return -ENOMEM;
	*item = (struct copy_item){handle, bo->restored_offset, bo->size, file, pos};
	if (!use)
		return 0;
	/* The core keeps what was put until it is fetched, by its number in this process. */
	err = criu_keep_fd(call, dmabuf);
	if (err >= 0) {
		dmabuf = err;
		err = share_object(call, use->object, dmabuf);
	}
	if (err)
		return criu_error(call, err, "hand a buffer on");
	dmabuf = -1;
	return 0;
}

static int take_gpu(struct making *making, uint32_t device)
{
	const CriuKfd *image = making->saved->image;
	uint32_t id = making->devices[device].user_gpu_id;
	bool is_new = true;
	int file = -1, err = 0;

	for (uint32_t i = 0; i < making->n_bos && !err; i++) {
		if (making->bos[i].gpu_id != id || making->bos[i].dmabuf_fd == KFD_NO_FD)
			continue;
		if (file < 0)
			file = open_pages(making, id);
		if (file < 0)
			return file;
		err = take_bo(making, i, file, contents_pos(image, making->indexes[i]), is_new);
		making->bos[i].dmabuf_fd = KFD_NO_FD;
		is_new = false;
	}
	return err;
}

static int restore_contents(struct making *making)
{
	int err = 0;

	for (uint32_t i = 0; i < making->n_devices && !err; i++)
		err = take_gpu(making, i);
	for (uint32_t i = 0; err && i < making->n_bos; i++)
		dmabuf_drop(making->call, making->bos[i].dmabuf_fd);
	return err ? err : copy_run(making->call, making->lanes, making->n_lanes, true);
}

/* ---- buffers of others ---- */

struct filler {
	uint64_t handle;
	struct filler *next;
};

static void free_fillers(struct making *making, struct filler *fillers)
{
	while (fillers) {
		struct filler *next = fillers->next;

		(void)driver.ioctl(making->call, making->fd, KFD_IOC_FREE, &fillers->handle);
		free(fillers);
		fillers = next;
	}
}

/* Imports until the handle is the one that is wanted. */
static int import_at(struct making *making, int dmabuf, uint32_t gpu_id, uint64_t va,
		     uint32_t wanted, uint64_t *ret_handle)
{
	struct filler *fillers = NULL;
	int err = 0;

	for (;;) {
		struct kfd_import arg = {.va = va, .gpu_id = gpu_id, .dmabuf_fd = (uint32_t)dmabuf};
		struct filler *filler;

		err = driver.ioctl(making->call, making->fd, KFD_IOC_IMPORT, &arg);
		if (err || (uint32_t)arg.handle == wanted) {
			*ret_handle = arg.handle;
			break;
		}
		filler = malloc(sizeof(*filler));
		err = !filler ? -ENOMEM : (uint32_t)arg.handle > wanted ? -EEXIST : 0;
		if (filler) {
			*filler = (struct filler){arg.handle, fillers};
			fillers = filler;
		}
		if (err)
			break;
	}
	free_fillers(making, fillers);
	return err;
}

static int map_import(struct making *making, uint64_t handle, const struct kfd_private_bo *secret)
{
	uint32_t ids[KFD_MAX_GPUS];
	struct kfd_map arg = {.handle = handle, .device_ids = (uintptr_t)ids};

	/* A copy: in the image it need not be aligned. */
	while (arg.n_devices < KFD_MAX_GPUS && secret->mapped_gpu_ids[arg.n_devices]) {
		ids[arg.n_devices] = secret->mapped_gpu_ids[arg.n_devices];
		arg.n_devices++;
	}
	return arg.n_devices ? driver.ioctl(making->call, making->fd, KFD_IOC_MAP, &arg) : 0;
}

static int import_bo(struct making *making, uint32_t i, const struct use *use)
{
	struct criu_call *call = making->call;
	const KfdBoEntry *entry = making->saved->image->bo_entries[i];
	_cleanup_close_ int dmabuf = find_object(call, use->object);
	struct kfd_private_bo secret;
	uint32_t own_handle, minor;
	uint64_t handle;
	int node = private_node(making, entry->gpu_id, &minor), err;

	if (dmabuf < 0)
		return criu_error(call, dmabuf, "have buffer %u, which another process makes", i);
	if (node < 0)
		return node;
	memcpy(&secret, making->saved->image->priv_data.data + private_offset(making, i),
	       sizeof(secret));
	err = import_at(making, dmabuf, entry->gpu_id, entry->addr, secret.handle, &handle);
	if (!err)
		err = map_import(making, handle, &secret);
	if (!err)
		err = drm_import(call, node, dmabuf, &own_handle);
	if (!err)
		err = drm_offset(call, node, own_handle, &making->saved->places[i].new);
	return err ? criu_error(call, err, "import buffer %u (handle %u)", i, secret.handle) : 0;
}

static int import_bos(struct making *making)
{
	struct saved_kfd *saved = making->saved;
	int err = 0;

	for (uint32_t i = 0; i < saved->image->n_bo_entries && !err; i++) {
		const struct use *use = use_of(saved->uses, saved->n_uses, i);

		if (use && !use->is_creator)
			err = import_bo(making, i, use);
	}
	return err;
}

/* ---- all ---- */

static int note_places(struct making *making)
{
	struct saved_kfd *saved = making->saved;
	const CriuKfd *image = saved->image;

	saved->places = calloc(image->n_bo_entries + 1, sizeof(*saved->places));
	if (!saved->places)
		return -ENOMEM;
	for (size_t i = 0; i < image->n_bo_entries; i++)
		saved->places[i] =
			(struct place){image->bo_entries[i]->offset, image->bo_entries[i]->size, 0};
	for (uint32_t i = 0; i < making->n_bos; i++)
		saved->places[making->indexes[i]].new = making->bos[i].restored_offset;
	return 0;
}

int restore_kfd(struct criu_call *call, struct saved_kfd *saved, int *ret_fd)
{
	_cleanup_(making_release) struct making making = {.call = call, .saved = saved};
	int err;

	making.fd = driver.open(saved->file->path);
	if (making.fd < 0)
		return criu_error(call, making.fd, "open %s", saved->file->path);
	err = kfd_check_version(call, making.fd);
	if (!err)
		err = open_devices(&making);
	if (!err)
		err = restore_state(&making);
	if (!err)
		err = note_places(&making);
	if (!err)
		err = restore_contents(&making);
	if (!err)
		err = import_bos(&making);
	if (!err && saved->is_wanted)
		err = share_places(call, saved->file, saved->places, saved->image->n_bo_entries);
	if (!err)
		err = shm_restore(call, saved->image->shared_mem_size,
				  saved->image->shared_mem_magic);
	if (!err)
		*ret_fd = TAKE_FD(making.fd);
	return err;
}
