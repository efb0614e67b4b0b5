// SPDX-License-Identifier: GPL-2.0-only
/*
 * The restore's frame: which GPU here takes the place of which one there, for the whole tree and
 * before anything is touched; where each file goes; what mappings are of; and RESUME, by the
 * coordinator, when all is in its place. Objects that several files have go from their creator to
 * the others under "object-N", as dma-bufs.
 */
#include "amdgpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t wanted_checks(struct criu_call *call)
{
	static const struct {
		const char *option;
		uint32_t check;
	} checks[] = {{"fw-version-check", CHECK_FW_VERSION},
		      {"sdma-fw-version-check", CHECK_SDMA_FW_VERSION},
		      {"caches-count-check", CHECK_CACHES_COUNT},
		      {"num-gws-check", CHECK_NUM_GWS},
		      {"vram-size-check", CHECK_VRAM_SIZE},
		      {"numa-check", CHECK_NUMA},
		      {"capability-check", CHECK_CAPABILITY}};
	uint32_t wanted = 0;

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		if (criu_option_bool(call, checks[i].option))
			wanted |= checks[i].check;
	return wanted;
}

static int match_gpus(struct criu_call *call)
{
	struct amdgpu *gpu = call->context;
	char why[TOPOLOGY_WHY];
	int err;

	gpu->pairs = calloc(gpu->then.n_nodes + 1, sizeof(*gpu->pairs));
	if (!gpu->pairs)
		return -ENOMEM;
	err = topology_match(&gpu->then, &gpu->here, wanted_checks(call), gpu->pairs, why);
	if (err)
		return criu_error(call, err, "the GPUs here do not fit: %s", why);
	gpu->n_pairs = topology_n_gpus(&gpu->then);
	for (size_t i = 0; i < gpu->n_pairs; i++)
		criu_message(call, CRIU_LEVEL_INFO, "GPU %#llx becomes GPU %#llx",
			     (unsigned long long)gpu->pairs[i].from->properties[PROPERTY_GPU_ID],
			     (unsigned long long)gpu->pairs[i].to->properties[PROPERTY_GPU_ID]);
	return 0;
}

/* Each process of the tree describes the same host. */
static int check_ids(struct criu_call *call)
{
	const struct amdgpu *gpu = call->context;

	for (size_t i = 0; i < call->n_tasks; i++)
		for (size_t j = 0; j < call->tasks[i]->n_files; j++) {
			const struct criu_file *file = call->tasks[i]->files[j];
			const struct saved_kfd *kfd = file->context;
			const struct saved_render *render = file->context;

			if (file_is(file, CLASS_RENDER) &&
			    !new_gpu(gpu, PROPERTY_DRM_RENDER_MINOR,
				     render->image->drm_render_minor))
				return criu_error(call, -EBADMSG,
						  "amdgpu-renderD-%u.img: is of renderD%u, which "
						  "is not in the topology",
						  file->id, render->image->drm_render_minor);
			if (!file_is(file, CLASS_KFD) || kfd->is_second)
				continue;
			for (size_t k = 0; k < kfd->image->n_bo_entries; k++)
				if (!new_gpu_of_user(gpu, kfd->image,
						     kfd->image->bo_entries[k]->gpu_id))
					return criu_error(call, -EBADMSG,
							  "amdgpu-kfd-%u.img: has GPU %#x, which "
							  "is not in the topology",
							  file->id,
							  kfd->image->bo_entries[k]->gpu_id);
		}
	return 0;
}

static bool has_files(const struct criu_call *call)
{
	for (size_t i = 0; i < call->n_tasks; i++)
		if (call->tasks[i]->n_files || call->tasks[i]->n_mappings)
			return true;
	return false;
}

int restore_begin(struct criu_call *call)
{
	int err;

	if (!has_files(call))
		return 0;
	err = saved_load(call);
	if (!err)
		err = match_gpus(call);
	if (!err)
		err = check_ids(call);
	return err ? err : find_origins(call);
}

/* ---- objects of several files ---- */

int share_object(struct criu_call *call, uint32_t number, int dmabuf)
{
	char key[32];

	snprintf(key, sizeof(key), "object-%u", number);
	return criu_share_put_fd(call, key, dmabuf);
}

int find_object(struct criu_call *call, uint32_t number)
{
	char key[32];

	snprintf(key, sizeof(key), "object-%u", number);
	return criu_share_get_fd(call, key);
}

/* ---- files ---- */

static int restore_second(struct criu_call *call, const struct criu_file *file, int *ret_fd)
{
	int fd = driver.open(file->path);

	if (fd < 0)
		return criu_error(call, fd, "open %s", file->path);
	*ret_fd = fd;
	return 0;
}

static int restore_dmabuf(struct criu_call *call, const struct saved_dmabuf *saved, int *ret_fd)
{
	int fd = find_object(call, saved->use.object);

	if (fd < 0)
		return criu_error(call, fd, "the buffer that it is of");
	*ret_fd = fd;
	return 0;
}

int restore_file(struct criu_call *call, struct criu_file *file, int *fd)
{
	struct saved_kfd *kfd = file->context;

	if (!file->context)
		return criu_error(call, -ENOENT, "it has no image");
	if (file_is(file, CLASS_DMABUF))
		return restore_dmabuf(call, file->context, fd);
	if (file_is(file, CLASS_RENDER))
		return restore_render(call, file->context, fd);
	return kfd->is_second ? restore_second(call, file, fd) : restore_kfd(call, kfd, fd);
}

/* ---- at the end ---- */

int resume_task(struct criu_call *call, struct criu_task *task)
{
	const char *path = criu_option_string(call, "kfd");
	struct kfd_criu arg = {.pid = (uint32_t)task->host_pid};
	_cleanup_close_ int fd = -1;
	bool has_kfd = false;
	int err;

	for (size_t i = 0; i < task->n_files; i++) {
		const struct criu_file *file = task->files[i];

		if (file->task == task && file_is(file, CLASS_KFD))
			has_kfd |= !((const struct saved_kfd *)file->context)->is_second;
	}
	if (!has_kfd)
		return 0;
	fd = driver.open(path);
	if (fd < 0)
		return criu_error(call, fd, "open %s", path);
	err = kfd_criu_op(call, fd, KFD_RESUME, &arg);
	return err ? criu_error(call, err, "let the queues of process %d go on", task->host_pid)
		   : 0;
}
