// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work for the DMA engine: contexts, lists of buffers (which are not needed, as everything is
 * resident), submissions, and waiting for their fences. The only packets are NOP and linear copy,
 * as the engines of GFX9 and later have them: the count is one less than the number of bytes
 * (amdgpu/sdma_v4_0.c, sdma_v4_0_emit_copy_buffer()). Addresses are those of the open file. Copies
 * are done when the ioctl returns, without the lock, so that those of several threads run at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drm.h"
#include "emu.h"

enum { OP_NOP, OP_COPY, CHUNKS_MAX = 16, IB_MAX = 1 << 20, BOUNCE = 1 << 18 };

int run_context(struct call *call)
{
	union drm_amdgpu_ctx *arg = (void *)call->data;
	struct drm_amdgpu_ctx_in in = arg->in;

	call->is_quiet = true;
	memset(arg, 0, sizeof(*arg));
	if (in.op == AMDGPU_CTX_OP_ALLOC_CTX)
		arg->out.alloc.ctx_id = ++call->file->n_contexts;
	else if (in.op == AMDGPU_CTX_OP_FREE_CTX || in.op == AMDGPU_CTX_OP_QUERY_STATE ||
		 in.op == AMDGPU_CTX_OP_QUERY_STATE2)
		return in.ctx_id && in.ctx_id <= call->file->n_contexts ? 0 : -EINVAL;
	else
		return -EINVAL;
	return 0;
}

int run_bo_list(struct call *call)
{
	union drm_amdgpu_bo_list *arg = (void *)call->data;
	struct drm_amdgpu_bo_list_in in = arg->in;

	call->is_quiet = true;
	for (uint32_t i = 0; in.operation != AMDGPU_BO_LIST_OP_DESTROY && i < in.bo_number; i++) {
		struct drm_amdgpu_bo_list_entry entry;

		if (copy_from_caller(call, in.bo_info_ptr + i * (uint64_t)in.bo_info_size, &entry,
				     sizeof(entry)) < 0)
			return -EFAULT;
		if (entry.bo_handle >= call->file->n_gems ||
		    !call->file->gems[entry.bo_handle].object)
			return -ENOENT;
	}
	memset(arg, 0, sizeof(*arg));
	if (in.operation == AMDGPU_BO_LIST_OP_CREATE)
		arg->out.list_handle = ++call->file->n_lists;
	return 0;
}

/* One linear copy; both ends are held. */
struct copy {
	struct place to, from;
	uint64_t size;
};

struct work {
	struct copy *copies;
	size_t n;
};

static bool find(const struct vm *vm, uint64_t va, uint64_t size, struct place *ret_place)
{
	const struct mapping *mapping = vm_find(vm, va, size);

	if (!mapping)
		return false;
	*ret_place = (struct place){mapping->object, mapping->offset + va - mapping->va};
	return true;
}

static int add_copy(struct call *call, struct work *work, const uint32_t *words)
{
	const struct vm *vm = &call->file->vm;
	uint64_t from = words[3] | (uint64_t)words[4] << 32;
	uint64_t to = words[5] | (uint64_t)words[6] << 32;
	struct copy copy = {.size = (words[1] & 0x3fffff) + 1ULL}, *copies;

	/* A driver would have the engine fault, and reset it. */
	if (!find(vm, from, copy.size, &copy.from) || !find(vm, to, copy.size, &copy.to)) {
		call->wrong = "vm-fault";
		return -EFAULT;
	}
	if (object_is_busy(call, copy.from.object) || object_is_busy(call, copy.to.object))
		call->wrong = "busy";
	copies = realloc(work->copies, (work->n + 1) * sizeof(copy));
	if (!copies)
		return -ENOMEM;
	object_get(copy.from.object);
	object_get(copy.to.object);
	work->copies = copies;
	work->copies[work->n++] = copy;
	return 0;
}

static int parse(struct call *call, struct work *work, const struct drm_amdgpu_cs_chunk_ib *ib)
{
	struct place place;
	uint32_t *words, n = ib->ib_bytes / 4;
	int ret = 0;

	if (ib->ip_type != AMDGPU_HW_IP_DMA || ib->ib_bytes > IB_MAX || n % 8)
		return -EINVAL;
	if (!find(&call->file->vm, ib->va_start, ib->ib_bytes, &place))
		return -EINVAL;
	words = malloc(ib->ib_bytes + 4);
	if (!words || object_read(place.object, place.offset, words, ib->ib_bytes) < 0)
		ret = -EFAULT;
	for (uint32_t i = 0; ret == 0 && i < n;) {
		if ((words[i] & 0xff) == OP_NOP) {
			i += 1 + (words[i] >> 16 & 0x3fff);
		} else if ((words[i] & 0xffff) == OP_COPY && i + 7 <= n) {
			ret = add_copy(call, work, words + i);
			i += 7;
		} else {
			call->wrong = "unknown-packet";
			ret = -EINVAL;
		}
	}
	free(words);
	return ret;
}

static int copy_bytes(const struct copy *copy, char *bounce)
{
	int ret = 0;

	for (uint64_t at = 0; ret == 0 && at < copy->size; at += BOUNCE) {
		uint64_t size = copy->size - at < BOUNCE ? copy->size - at : BOUNCE;

		ret = object_read(copy->from.object, copy->from.offset + at, bounce, size);
		if (ret == 0)
			ret = object_write(copy->to.object, copy->to.offset + at, bounce, size);
	}
	return ret;
}

static int do_work(struct call *call, struct work *work)
{
	char *bounce = malloc(BOUNCE);
	uint64_t bytes = 0;
	int ret = bounce ? 0 : -ENOMEM;

	pthread_mutex_unlock(&call->emu->lock);
	for (size_t i = 0; ret == 0 && i < work->n; i++) {
		ret = copy_bytes(&work->copies[i], bounce);
		bytes += work->copies[i].size;
	}
	pthread_mutex_lock(&call->emu->lock);
	call_note(call, " copies=%zu bytes=%llu", work->n, (unsigned long long)bytes);
	if (work->n)
		call_note(call, " from=%u to=%u", work->copies[0].from.object->number,
			  work->copies[0].to.object->number);
	free(bounce);
	return ret;
}

/* amdgpu_cs.c, amdgpu_cs_ioctl() */
int run_cs(struct call *call)
{
	union drm_amdgpu_cs *arg = (void *)call->data;
	struct drm_amdgpu_cs_in in = arg->in;
	struct work work = {NULL, 0};
	bool is_stuck = fault_strike(call->emu, "cs", "renderD", "unsignalled");
	int ret = 0;

	if (!in.ctx_id || in.ctx_id > call->file->n_contexts || !in.num_chunks ||
	    in.num_chunks > CHUNKS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; ret == 0 && i < in.num_chunks; i++) {
		struct drm_amdgpu_cs_chunk chunk;
		struct drm_amdgpu_cs_chunk_ib ib;
		uint64_t raddr;

		ret = copy_from_caller(call, in.chunks + i * 8ULL, &raddr, 8);
		if (ret == 0)
			ret = copy_from_caller(call, raddr, &chunk, sizeof(chunk));
		if (ret < 0 || chunk.chunk_id != AMDGPU_CHUNK_ID_IB)
			continue;
		ret = chunk.length_dw * 4 < sizeof(ib)
			      ? -EINVAL
			      : copy_from_caller(call, chunk.chunk_data, &ib, sizeof(ib));
		if (ret == 0)
			ret = parse(call, &work, &ib);
	}
	if (ret == 0 && !is_stuck)
		ret = do_work(call, &work);
	for (size_t i = 0; i < work.n; i++) {
		object_put(call->emu, work.copies[i].from.object);
		object_put(call->emu, work.copies[i].to.object);
	}
	free(work.copies);
	if (ret < 0)
		return ret;
	memset(arg, 0, sizeof(*arg));
	arg->out.handle = ++call->file->n_fences;
	if (is_stuck)
		call->file->stuck_fence = call->file->n_fences;
	call_note(call, " fence=%llu%s", (unsigned long long)call->file->n_fences,
		  is_stuck ? " fault=unsignalled" : "");
	return 0;
}

static bool is_past(uint64_t ns)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec >= ns;
}

/* amdgpu_cs_wait_ioctl(): status 1 if it is not signaled in time. "clear" resets the engine. */
int run_wait_cs(struct call *call)
{
	union drm_amdgpu_wait_cs *arg = (void *)call->data;
	struct drm_amdgpu_wait_cs_in in = arg->in;
	const struct timespec ms = {0, 2000000};
	uint64_t status = 0;
	int ret = 0;

	if (!in.ctx_id || in.ctx_id > call->file->n_contexts || in.handle > call->file->n_fences)
		return -EINVAL;
	call->is_quiet = true;
	while (ret == 0 && status == 0 && in.handle && call->file->stuck_fence == in.handle) {
		if (is_past(in.timeout))
			status = 1;
		else if (call->emu->is_interrupted(call))
			ret = -EINTR;
		else if (!call->emu->faults)
			ret = -ECANCELED;
		pthread_mutex_unlock(&call->emu->lock);
		nanosleep(&ms, NULL);
		pthread_mutex_lock(&call->emu->lock);
	}
	call_note(call, " fence=%llu status=%llu", (unsigned long long)in.handle,
		  (unsigned long long)status);
	memset(arg, 0, sizeof(*arg));
	arg->out.status = status;
	return ret;
}
