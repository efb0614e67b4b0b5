// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work for the DMA engine: contexts, lists of buffers, submissions, and waiting for their fences.
 * The only packets are NOP and linear copy, as the engines of GFX9 and later have them: the count
 * is one less than the number of bytes (amdgpu/sdma_v4_0.c, sdma_v4_0_emit_copy_buffer()).
 * Addresses are those of the open file. Copies are done when the ioctl returns, without the lock,
 * so that those of several threads run at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drm.h"
#include "emu.h"

enum {
	OP_NOP,
	OP_COPY,
	CHUNKS_MAX = 16,
	IB_MAX = 1 << 20,
	HANDLES_MAX = 1 << 20,
	BOUNCE = 1 << 18
};

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

/* ---- lists of buffers ---- */

void list_free(struct list *list)
{
	free(list->numbers);
	*list = (struct list){0};
}

/* amdgpu_bo_list.c, amdgpu_bo_list_create(): by handles of the open file. */
static int list_read(struct call *call, const struct drm_amdgpu_bo_list_in *in, struct list *list)
{
	if (in->bo_number > HANDLES_MAX ||
	    in->bo_info_size < sizeof(struct drm_amdgpu_bo_list_entry))
		return -EINVAL;
	list->numbers = calloc(in->bo_number + 1, sizeof(uint32_t));
	if (!list->numbers)
		return -ENOMEM;
	for (uint32_t i = 0; i < in->bo_number; i++) {
		uint64_t raddr = in->bo_info_ptr + i * (uint64_t)in->bo_info_size;
		struct drm_amdgpu_bo_list_entry entry;

		if (copy_from_caller(call, raddr, &entry, sizeof(entry)) < 0)
			return -EFAULT;
		if (entry.bo_handle >= call->file->n_gems ||
		    !call->file->gems[entry.bo_handle].object)
			return -ENOENT;
		list->numbers[list->n++] = call->file->gems[entry.bo_handle].object->number;
	}
	return 0;
}

/* amdgpu_bo_list.c, amdgpu_bo_list_ioctl(): numbers are from 1, and not given again here. */
int run_bo_list(struct call *call)
{
	union drm_amdgpu_bo_list *arg = (void *)call->data;
	struct drm_amdgpu_bo_list_in in = arg->in;
	struct file *file = call->file;
	struct list list = {0}, *lists;
	int ret;

	call->is_quiet = true;
	memset(arg, 0, sizeof(*arg));
	if (in.operation != AMDGPU_BO_LIST_OP_CREATE &&
	    (!in.list_handle || in.list_handle > file->n_lists))
		return -ENOENT;
	if (in.operation == AMDGPU_BO_LIST_OP_DESTROY) {
		list_free(&file->lists[in.list_handle - 1]);
		return 0;
	}
	ret = list_read(call, &in, &list);
	if (ret == 0 && in.operation == AMDGPU_BO_LIST_OP_CREATE) {
		lists = realloc(file->lists, (file->n_lists + 1) * sizeof(list));
		if (!lists)
			abort();
		file->lists = lists;
		lists[file->n_lists] = (struct list){0};
		in.list_handle = ++file->n_lists;
	}
	if (ret < 0) {
		list_free(&list);
		return ret;
	}
	list_free(&file->lists[in.list_handle - 1]);
	file->lists[in.list_handle - 1] = list;
	arg->out.list_handle = in.list_handle;
	return 0;
}

/* ---- submissions ---- */

/* One linear copy; both ends are held. */
struct copy {
	struct place to, from;
	uint64_t size;
};

struct work {
	struct list resident;
	struct copy *copies;
	size_t n;
};

/* amdgpu_cs.c, amdgpu_cs_parser_bos(): only what is in the list is where the engine can reach it.
 * What kfd has mapped stays there. */
static bool is_resident(const struct work *work, const struct mapping *mapping)
{
	bool is_there = mapping->is_compute;

	for (uint32_t i = 0; i < work->resident.n; i++)
		is_there |= work->resident.numbers[i] == mapping->object->number;
	return is_there;
}

/* A driver would have the engine fault, and reset it. */
static int find(struct call *call, const struct work *work, uint64_t va, uint64_t size,
		bool is_write, struct place *ret_place)
{
	const struct mapping *mapping = vm_find(&call->file->vm, va, size);
	uint64_t need = is_write ? AMDGPU_VM_PAGE_WRITEABLE : AMDGPU_VM_PAGE_READABLE;

	if (!mapping || !(mapping->flags & need)) {
		call->wrong = "vm-fault";
		return -EFAULT;
	}
	if (!is_resident(work, mapping)) {
		call->wrong = "not-resident";
		return -EFAULT;
	}
	*ret_place = (struct place){mapping->object, mapping->offset + va - mapping->va};
	return 0;
}

static int add_copy(struct call *call, struct work *work, const uint32_t *words)
{
	uint64_t from = words[3] | (uint64_t)words[4] << 32;
	uint64_t to = words[5] | (uint64_t)words[6] << 32;
	struct copy copy = {.size = (words[1] & 0x3fffff) + 1ULL}, *copies;

	if (find(call, work, from, copy.size, false, &copy.from) < 0 ||
	    find(call, work, to, copy.size, true, &copy.to) < 0)
		return -EFAULT;
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
	if (find(call, work, ib->va_start, ib->ib_bytes, false, &place) < 0)
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

typedef int chunk_run(struct call *call, struct work *work, uint64_t raddr, uint32_t size);

/* AMDGPU_CHUNK_ID_BO_HANDLES: a list for this once. */
static int take_list(struct call *call, struct work *work, uint64_t raddr, uint32_t size)
{
	struct drm_amdgpu_bo_list_in in;

	if (size < sizeof(in) || copy_from_caller(call, raddr, &in, sizeof(in)) < 0)
		return -EINVAL;
	list_free(&work->resident);
	return list_read(call, &in, &work->resident);
}

static int take_commands(struct call *call, struct work *work, uint64_t raddr, uint32_t size)
{
	struct drm_amdgpu_cs_chunk_ib ib;

	if (size < sizeof(ib) || copy_from_caller(call, raddr, &ib, sizeof(ib)) < 0)
		return -EINVAL;
	return parse(call, work, &ib);
}

/* Those of one kind. */
static int each_chunk(struct call *call, const struct drm_amdgpu_cs_in *in, struct work *work,
		      uint32_t id, chunk_run *run)
{
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < in->num_chunks; i++) {
		struct drm_amdgpu_cs_chunk chunk;
		uint64_t raddr;

		ret = copy_from_caller(call, in->chunks + i * 8ULL, &raddr, 8);
		if (ret == 0)
			ret = copy_from_caller(call, raddr, &chunk, sizeof(chunk));
		if (ret == 0 && chunk.chunk_id == id)
			ret = run(call, work, chunk.chunk_data, chunk.length_dw * 4);
	}
	return ret;
}

static int copy_list(struct call *call, struct work *work, uint32_t handle)
{
	const struct list *list;

	if (!handle)
		return 0;
	if (handle > call->file->n_lists || !call->file->lists[handle - 1].numbers)
		return -ENOENT;
	list = &call->file->lists[handle - 1];
	work->resident.numbers = calloc(list->n + 1, sizeof(uint32_t));
	if (!work->resident.numbers)
		return -ENOMEM;
	memcpy(work->resident.numbers, list->numbers, list->n * sizeof(uint32_t));
	work->resident.n = list->n;
	return 0;
}

static void work_free(struct emu *emu, struct work *work)
{
	for (size_t i = 0; i < work->n; i++) {
		object_put(emu, work->copies[i].from.object);
		object_put(emu, work->copies[i].to.object);
	}
	free(work->copies);
	list_free(&work->resident);
}

/* amdgpu_cs.c, amdgpu_cs_ioctl() */
int run_cs(struct call *call)
{
	union drm_amdgpu_cs *arg = (void *)call->data;
	struct drm_amdgpu_cs_in in = arg->in;
	struct work work = {0};
	bool is_stuck = fault_strike(call->emu, "cs", "renderD", "unsignalled");
	int ret;

	if (!in.ctx_id || in.ctx_id > call->file->n_contexts || !in.num_chunks ||
	    in.num_chunks > CHUNKS_MAX)
		return -EINVAL;
	ret = copy_list(call, &work, in.bo_list_handle);
	if (ret == 0)
		ret = each_chunk(call, &in, &work, AMDGPU_CHUNK_ID_BO_HANDLES, take_list);
	if (ret == 0)
		ret = each_chunk(call, &in, &work, AMDGPU_CHUNK_ID_IB, take_commands);
	if (ret == 0 && !is_stuck)
		ret = do_work(call, &work);
	work_free(call->emu, &work);
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
