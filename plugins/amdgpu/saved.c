// SPDX-License-Identifier: GPL-2.0-only
/*
 * The images, read and checked before the device is touched or any process exists: each file of the
 * tree must have its image, whole and its own, and the contents that its buffers ask for. What does
 * not fit is refused with the name of the image.
 */
#include "amdgpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is added up stays far from where it would begin again at 0. */
#define BUFFERS_MAX (1ULL << 56)

bool file_is(const struct criu_file *file, int class)
{
	static const char *const names[N_CLASSES] = {"amdgpu.kfd", "amdgpu.render",
						     "amdgpu.dmabuf"};

	return strcmp(file->class_of->name, names[class]) == 0;
}

struct criu_file *file_by_id(const struct criu_call *call, uint32_t id)
{
	for (size_t i = 0; i < call->n_tasks; i++)
		for (size_t j = 0; j < call->tasks[i]->n_files; j++)
			if (call->tasks[i]->files[j]->id == id)
				return call->tasks[i]->files[j];
	return NULL;
}

const struct use *use_of(const struct use *uses, size_t n, uint32_t index)
{
	for (size_t i = 0; i < n; i++)
		if (uses[i].index == index)
			return &uses[i];
	return NULL;
}

/* ---- topologies in messages ---- */

static void set_field(ProtobufCMessage *message, const char *name, uint64_t value)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
	char *at = (char *)message + (field ? field->offset : 0);

	if (field && field->type == PROTOBUF_C_TYPE_UINT64)
		*(uint64_t *)at = value;
	else if (field)
		*(uint32_t *)at = (uint32_t)value;
}

static uint64_t get_field(const ProtobufCMessage *message, const char *name)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
	const char *at = (const char *)message + (field ? field->offset : 0);

	if (!field)
		return 0;
	return field->type == PROTOBUF_C_TYPE_UINT64 ? *(const uint64_t *)at
						     : *(const uint32_t *)at;
}

static int node_to_saved(const struct topology_node *node, KfdDeviceEntry *entry)
{
	for (int i = 0; i < N_PROPERTIES; i++)
		set_field(&entry->base, topology_property_name((enum topology_property)i),
			  node->properties[i]);
	entry->iolinks = calloc(node->n_links + 1, sizeof(*entry->iolinks));
	for (size_t i = 0; entry->iolinks && i < node->n_links; i++) {
		DevIolink *link = malloc(sizeof(*link));

		if (!link)
			return -ENOMEM;
		dev_iolink__init(link);
		link->type = node->links[i].type;
		link->node_to_id = node->links[i].to;
		entry->iolinks[entry->n_iolinks++] = link;
	}
	return entry->iolinks ? 0 : -ENOMEM;
}

int topology_to_saved(const struct topology *topology, CriuKfd *image)
{
	image->device_entries = calloc(topology->n_nodes + 1, sizeof(*image->device_entries));
	for (size_t i = 0; image->device_entries && i < topology->n_nodes; i++) {
		KfdDeviceEntry *entry = malloc(sizeof(*entry));

		if (!entry)
			return -ENOMEM;
		kfd_device_entry__init(entry);
		image->device_entries[image->n_device_entries++] = entry;
		if (node_to_saved(&topology->nodes[i], entry) < 0)
			return -ENOMEM;
		if (topology_is_gpu(&topology->nodes[i]))
			image->num_of_gpus++;
		else
			image->num_of_cpus++;
	}
	return image->device_entries ? 0 : -ENOMEM;
}

static int saved_to_topology(const CriuKfd *image, struct topology *ret)
{
	for (size_t i = 0; i < image->n_device_entries; i++) {
		const KfdDeviceEntry *entry = image->device_entries[i];
		struct topology_node *node = topology_add_node(ret);

		if (!node)
			return -ENOMEM;
		for (int j = 0; j < N_PROPERTIES; j++)
			node->properties[j] = get_field(
				&entry->base, topology_property_name((enum topology_property)j));
		for (size_t j = 0; j < entry->n_iolinks; j++)
			if (topology_add_link(node, entry->iolinks[j]->type,
					      entry->iolinks[j]->node_to_id) < 0)
				return -ENOMEM;
	}
	return 0;
}

/* ---- who takes whose place ---- */

const struct topology_node *new_gpu(const struct amdgpu *gpu, enum topology_property property,
				    uint32_t value)
{
	for (size_t i = 0; i < gpu->n_pairs; i++)
		if (gpu->pairs[i].from->properties[property] == value)
			return gpu->pairs[i].to;
	return NULL;
}

static const KfdDeviceEntry *entry_of_user(const CriuKfd *image, uint32_t user_id)
{
	for (size_t i = 0; user_id && i < image->n_device_entries; i++)
		if (image->device_entries[i]->gpu_id == user_id)
			return image->device_entries[i];
	return NULL;
}

const struct topology_node *new_gpu_of_user(const struct amdgpu *gpu, const CriuKfd *image,
					    uint32_t user_id)
{
	const KfdDeviceEntry *entry = entry_of_user(image, user_id);

	return entry ? new_gpu(gpu, PROPERTY_NODE_ID, entry->node_id) : NULL;
}

/* ---- one image ---- */

/* An array under a key; 0 elements where there is no such key. */
static int get_array(struct criu_call *call, const char *what, uint32_t id, size_t size,
		     const void **ret, size_t *ret_n)
{
	size_t bytes = 0;
	char key[32];
	int err;

	*ret = NULL;
	*ret_n = 0;
	snprintf(key, sizeof(key), "%s-%u", what, id);
	err = criu_data_get(call, key, ret, &bytes);
	if (err == -ENOENT)
		return 0;
	if (err || bytes % size)
		return criu_error(call, -EBADMSG, "plugins: what is under %s makes no sense", key);
	*ret_n = bytes / size;
	return 0;
}

static int refuse(struct criu_call *call, const char *name, const char *why)
{
	return criu_error(call, -EBADMSG, "%s: %s", name, why);
}

static uint64_t contents_of(const CriuKfd *image, uint32_t user_id)
{
	uint64_t size = 0;

	for (size_t i = 0; i < image->n_bo_entries; i++)
		if (image->bo_entries[i]->gpu_id == user_id &&
		    (image->bo_entries[i]->alloc_flags & KFD_BO_HAS_CONTENTS))
			size += image->bo_entries[i]->size;
	return size;
}

static int check_kfd(struct criu_call *call, const struct saved_kfd *saved, const char *name)
{
	const CriuKfd *image = saved->image;
	uint64_t total = 0;
	size_t n_gpus = 0;

	if ((pid_t)image->pid != saved->file->task->pid)
		return refuse(call, name, "is of another process");
	if (image->num_of_bos != image->n_bo_entries)
		return refuse(call, name, "the number of its buffers is not what it says");
	if ((uint64_t)image->num_of_gpus + image->num_of_cpus != image->n_device_entries)
		return refuse(call, name, "the number of its devices is not what it says");
	for (size_t i = 0; i < image->n_device_entries; i++)
		n_gpus += image->device_entries[i]->gpu_id != 0;
	if (n_gpus != image->num_of_gpus || (saved->n_vms && saved->n_vms != n_gpus))
		return refuse(call, name, "the number of its GPUs is not what it says");
	for (size_t i = 0; i < image->n_bo_entries; i++) {
		if (!entry_of_user(image, image->bo_entries[i]->gpu_id))
			return refuse(call, name, "has a buffer of a GPU that it has not");
		if (image->bo_entries[i]->size > BUFFERS_MAX - total)
			return refuse(call, name, "its buffers are larger than any GPU");
		total += image->bo_entries[i]->size;
	}
	for (size_t i = 0; i < saved->n_uses; i++)
		if (saved->uses[i].index >= image->n_bo_entries)
			return refuse(call, name, "has fewer buffers than are shared");
	if (image->priv_data.len < sizeof(struct kfd_private_head))
		return refuse(call, name, "has no private data");
	return 0;
}

/* Are the contents there? They are read when they are restored. */
static int check_kfd_pages(struct criu_call *call, const struct saved_kfd *saved)
{
	for (size_t i = 0; i < saved->image->n_device_entries; i++) {
		uint32_t id = saved->image->device_entries[i]->gpu_id;
		uint64_t size = id ? contents_of(saved->image, id) : 0;
		_cleanup_close_ int fd = -1;
		char name[64];
		int err;

		if (!size)
			continue;
		err = saved_pages_name(call, saved, id, size, name, sizeof(name));
		if (err)
			return err;
		fd = image_open_pages(call, name, size, true);
		if (fd < 0)
			return fd;
	}
	return 0;
}

static int load_kfd(struct criu_call *call, struct criu_file *file)
{
	struct saved_kfd *saved = file->context = calloc(1, sizeof(*saved));
	const void *bytes;
	char name[64];
	size_t size;
	int err;

	if (!saved)
		return -ENOMEM;
	saved->file = file;
	snprintf(name, sizeof(name), "second-%u", file->id);
	saved->is_second = criu_data_get(call, name, &bytes, &size) == 0;
	if (saved->is_second)
		return 0;
	snprintf(name, sizeof(name), "amdgpu-kfd-%u.img", file->id);
	saved->image = image_read_message(call, name, &criu_kfd__descriptor, &err);
	if (!err)
		err = get_array(call, "objects", file->id, sizeof(struct use),
				(const void **)&saved->uses, &saved->n_uses);
	if (!err)
		err = get_array(call, "vms", file->id, sizeof(struct vm),
				(const void **)&saved->vms, &saved->n_vms);
	if (!err)
		err = check_kfd(call, saved, name);
	return err ? err : check_kfd_pages(call, saved);
}

static int check_render(struct criu_call *call, const struct saved_render *saved, const char *name)
{
	const CriuRenderNode *image = saved->image;
	uint32_t last = 0;

	if (image->id != saved->file->id)
		return refuse(call, name, "is of another file");
	if (image->num_of_bos != image->n_bo_entries)
		return refuse(call, name, "the number of its buffers is not what it says");
	for (size_t i = 0; i < image->n_bo_entries; i++) {
		const DrmBoEntry *bo = image->bo_entries[i];

		if (bo->num_of_vms != bo->n_vm_entries)
			return refuse(call, name,
				      "the number of a buffer's mappings is not what it says");
		if (bo->handle <= last)
			return refuse(call, name, "its handles are not in order");
		if (bo->size > BUFFERS_MAX)
			return refuse(call, name, "a buffer is larger than any GPU");
		last = bo->handle;
	}
	/* All below are made on the way there. */
	if (last > HANDLES_MAX)
		return refuse(call, name, "a handle is too high");
	for (size_t i = 0; i < saved->n_uses; i++)
		if (saved->uses[i].index >= image->n_bo_entries)
			return refuse(call, name, "has fewer buffers than are shared");
	return 0;
}

static int check_render_pages(struct criu_call *call, const struct saved_render *saved)
{
	const CriuRenderNode *image = saved->image;

	for (size_t i = 0; i < image->n_bo_entries; i++) {
		_cleanup_close_ int fd = -1;
		char name[80];

		if (image->bo_entries[i]->is_import)
			continue;
		snprintf(name, sizeof(name), "amdgpu-drm-pages-%u-%u-%04zx.img", saved->file->id,
			 image->drm_render_minor, i);
		fd = image_open_pages(call, name, image->bo_entries[i]->size, false);
		if (fd < 0)
			return fd;
	}
	return 0;
}

static int load_render(struct criu_call *call, struct criu_file *file)
{
	struct saved_render *saved = file->context = calloc(1, sizeof(*saved));
	char name[64];
	int err;

	if (!saved)
		return -ENOMEM;
	saved->file = file;
	saved->fd = -1;
	saved->waited_for = -1;
	snprintf(name, sizeof(name), "amdgpu-renderD-%u.img", file->id);
	saved->image = image_read_message(call, name, &criu_render_node__descriptor, &err);
	if (!err)
		err = get_array(call, "objects", file->id, sizeof(struct use),
				(const void **)&saved->uses, &saved->n_uses);
	if (!err)
		err = check_render(call, saved, name);
	return err ? err : check_render_pages(call, saved);
}

static int load_dmabuf(struct criu_call *call, struct criu_file *file)
{
	struct saved_dmabuf *saved = file->context = calloc(1, sizeof(*saved));
	CriuDmabufNode *image;
	const struct use *use;
	char name[64];
	size_t n;
	int err;

	if (!saved)
		return -ENOMEM;
	saved->file = file;
	snprintf(name, sizeof(name), "amdgpu-dmabuf_%u.img", file->id);
	image = image_read_message(call, name, &criu_dmabuf_node__descriptor, &err);
	if (err)
		return err;
	err = get_array(call, "objects", file->id, sizeof(*use), (const void **)&use, &n);
	if (!err && n == 1 && use->object == image->gem_handle)
		saved->use = *use;
	else if (!err && !((struct amdgpu *)call->context)->is_adopted)
		err = refuse(call, name, "is of another buffer");
	else
		saved->use.object = image->gem_handle;
	criu_dmabuf_node__free_unpacked(image, NULL);
	return err;
}

/* ---- all ---- */

static int load_file(struct criu_call *call, struct criu_file *file)
{
	struct amdgpu *gpu = call->context;
	struct saved_kfd *saved;
	int err;

	if (file_is(file, CLASS_DMABUF))
		return load_dmabuf(call, file);
	if (file_is(file, CLASS_RENDER))
		return load_render(call, file);
	err = load_kfd(call, file);
	saved = file->context;
	if (!err && !gpu->first_kfd && saved->image)
		gpu->first_kfd = saved;
	return err;
}

static int load_topology(struct criu_call *call)
{
	struct amdgpu *gpu = call->context;
	const void *bytes;
	CriuKfd *image;
	size_t size;
	int err;

	if (criu_data_get(call, "topology", &bytes, &size) < 0) {
		if (gpu->first_kfd)
			return saved_to_topology(gpu->first_kfd->image, &gpu->then);
		return refuse(call, "plugins", "has no topology of the host");
	}
	image = criu_kfd__unpack(NULL, size, bytes);
	if (!image)
		return refuse(call, "plugins", "the topology is none");
	err = saved_to_topology(image, &gpu->then);
	criu_kfd__free_unpacked(image, NULL);
	return err;
}

int saved_load(struct criu_call *call)
{
	struct amdgpu *gpu = call->context;
	const void *bytes;
	size_t size;
	int err = 0;

	/* Of our own there always is one. */
	gpu->is_adopted = criu_data_get(call, "topology", &bytes, &size) == -ENOENT;
	for (size_t i = 0; i < call->n_tasks; i++)
		for (size_t j = 0; j < call->tasks[i]->n_files && !err; j++)
			if (!call->tasks[i]->files[j]->context)
				err = load_file(call, call->tasks[i]->files[j]);
	if (!err && gpu->is_adopted)
		err = saved_guess(call);
	return err ? err : load_topology(call);
}

static void release_file(struct criu_file *file)
{
	if (file_is(file, CLASS_KFD)) {
		struct saved_kfd *saved = file->context;

		if (saved->image)
			criu_kfd__free_unpacked(saved->image, NULL);
	} else if (file_is(file, CLASS_RENDER)) {
		struct saved_render *saved = file->context;

		if (saved->image)
			criu_render_node__free_unpacked(saved->image, NULL);
	}
	free(file->context);
	file->context = NULL;
}

void saved_release(struct criu_call *call)
{
	for (size_t i = 0; i < call->n_tasks; i++) {
		for (size_t j = 0; j < call->tasks[i]->n_files; j++)
			if (call->tasks[i]->files[j]->context)
				release_file(call->tasks[i]->files[j]);
		for (size_t j = 0; j < call->tasks[i]->n_mappings; j++) {
			free(call->tasks[i]->mappings[j]->context);
			call->tasks[i]->mappings[j]->context = NULL;
		}
	}
}
