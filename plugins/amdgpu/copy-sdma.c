// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies by the GPU's DMA engine: memory of ours is pinned and given an address on the GPU
 * (GEM_USERPTR), so is the buffer, and packets that copy from one to the other are submitted and
 * waited for. The node is one that we opened, its address space is empty and ours alone. Reaches
 * buffers that the CPU cannot map, and is many times faster for memory of the GPU.
 *
 * A packet "copy linear" has seven words: what (1), how many bytes, 0, from (low, high), to (low,
 * high). Engines from family AI on want the number of bytes less one.
 */
#include "copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_WORDS = 7, PACKET_BYTES_MAX = 1 << 20, COPY_LINEAR = 1 };
enum { COMMANDS_SIZE = 64 << 10, WORDS_MAX = COMMANDS_SIZE / 4, ALIGN = 8 };
#define AREA (2ULL << 20)
/* Lanes of one node share its addresses. */
#define LANE_AREA (1ULL << 39)
/* As much as one set of commands can name. */
#define STAGING_MAX ((uint64_t)PACKET_BYTES_MAX * (WORDS_MAX / PACKET_WORDS - 1))
#define SLICE_NS    100000000ULL
/* An engine that has done nothing for that long hangs. */
#define SLICES_MAX 300

struct sdma {
	int node;
	uint32_t family, context;
	uint32_t ring_mask;
	uint32_t *words; /* of the commands */
	uint32_t words_handle;
	char *staging;
	uint32_t staging_handle;
	size_t staging_size;
	uint64_t words_va, staging_va, buffer_va;
};

static int query(int node, uint32_t what, uint32_t type, void *result, size_t size)
{
	struct drm_info info = {
		.result = (uintptr_t)result, .size = (uint32_t)size, .query = what, .type = type};

	return driver.ioctl(NULL, node, DRM_IOC_INFO, &info);
}

static int map_va(int node, uint32_t handle, uint32_t operation, uint64_t va, uint64_t size)
{
	struct drm_va arg = {.handle = handle,
			     .operation = operation,
			     .flags = DRM_VA_READ | DRM_VA_WRITE | DRM_VA_EXECUTE,
			     .address = va,
			     .size = size};

	return driver.ioctl(NULL, node, DRM_IOC_VA, &arg);
}

static int new_context(struct sdma *sdma)
{
	union drm_context arg = {.in = {.op = DRM_CONTEXT_NEW}};
	int err = driver.ioctl(NULL, sdma->node, DRM_IOC_CONTEXT, &arg);

	if (!err)
		sdma->context = arg.out.id;
	return err;
}

static int new_commands(struct sdma *sdma)
{
	union drm_create create = {
		.in = {.size = COMMANDS_SIZE, .alignment = 4096, .domains = DRM_DOMAIN_GTT}};
	int err = driver.ioctl(NULL, sdma->node, DRM_IOC_CREATE, &create);
	uint64_t offset;

	if (err)
		return err;
	sdma->words_handle = create.out.handle;
	err = drm_offset(NULL, sdma->node, sdma->words_handle, &offset);
	if (!err)
		err = map_va(sdma->node, sdma->words_handle, DRM_VA_MAP, sdma->words_va,
			     COMMANDS_SIZE);
	if (err)
		return err;
	sdma->words = driver.map(sdma->node, offset, COMMANDS_SIZE, true);
	return sdma->words ? 0 : -errno;
}

static int new_staging(struct sdma *sdma)
{
	struct drm_userptr arg = {.size = sdma->staging_size, .flags = DRM_USERPTR_FLAGS};
	int err;

	sdma->staging = mmap(NULL, sdma->staging_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (sdma->staging == MAP_FAILED) {
		sdma->staging = NULL;
		return -errno;
	}
	arg.address = (uintptr_t)sdma->staging;
	err = driver.ioctl(NULL, sdma->node, DRM_IOC_USERPTR, &arg);
	if (err)
		return err;
	sdma->staging_handle = arg.handle;
	return map_va(sdma->node, arg.handle, DRM_VA_MAP, sdma->staging_va, sdma->staging_size);
}

/* The largest buffer, if the limit allows. */
static size_t staging_size(const struct copier *copier, const struct copy_lane *lane)
{
	uint64_t size = 4096, limit = copier->limit < STAGING_MAX ? copier->limit : STAGING_MAX;

	for (size_t i = 0; i < lane->n_items; i++)
		if (lane->items[i].size > size)
			size = lane->items[i].size;
	size = (size + 4095) / 4096 * 4096;
	return size < limit ? size : limit;
}

static int setup(struct sdma *sdma, uint64_t slot)
{
	struct drm_info_device device = {0};
	struct drm_info_ip ip = {0};
	uint64_t base;
	int err = query(sdma->node, DRM_INFO_DEVICE, 0, &device, sizeof(device));

	if (!err)
		err = query(sdma->node, DRM_INFO_IP, DRM_IP_DMA, &ip, sizeof(ip));
	if (!err && !(ip.rings & 1))
		err = -ENODEV;
	if (err)
		return err;
	sdma->family = device.family;
	base = (device.va_begin + AREA - 1) / AREA * AREA + AREA + slot * LANE_AREA;
	if (base + LANE_AREA > device.va_end)
		return -ENOSPC;
	sdma->words_va = base;
	sdma->staging_va = base + AREA;
	sdma->buffer_va = sdma->staging_va + (sdma->staging_size + AREA - 1) / AREA * AREA;
	err = new_context(sdma);
	if (!err)
		err = new_commands(sdma);
	return err ? err : new_staging(sdma);
}

int sdma_new(const struct copier *copier, const struct copy_lane *lane, struct sdma **ret)
{
	struct sdma *sdma = calloc(1, sizeof(*sdma));
	int err;

	if (!sdma)
		return -ENOMEM;
	sdma->node = lane->node;
	sdma->staging_size = staging_size(copier, lane);
	err = setup(sdma, (uint64_t)(lane - copier->lanes));
	if (err)
		sdma_free(sdma);
	else
		*ret = sdma;
	return err;
}

void sdma_free(struct sdma *sdma)
{
	union drm_context arg;

	if (!sdma)
		return;
	if (sdma->context) {
		arg.in.op = DRM_CONTEXT_FREE;
		arg.in.flags = 0;
		arg.in.id = sdma->context;
		arg.in.priority = 0;
		driver.ioctl(NULL, sdma->node, DRM_IOC_CONTEXT, &arg);
	}
	if (sdma->words)
		munmap(sdma->words, COMMANDS_SIZE);
	if (sdma->words_handle) {
		map_va(sdma->node, sdma->words_handle, DRM_VA_UNMAP, sdma->words_va, COMMANDS_SIZE);
		drm_close_handle(NULL, sdma->node, sdma->words_handle);
	}
	if (sdma->staging_handle) {
		map_va(sdma->node, sdma->staging_handle, DRM_VA_UNMAP, sdma->staging_va,
		       sdma->staging_size);
		drm_close_handle(NULL, sdma->node, sdma->staging_handle);
	}
	if (sdma->staging)
		munmap(sdma->staging, sdma->staging_size);
	free(sdma);
}

/* ---- one set of packets ---- */

static uint32_t fill_commands(struct sdma *sdma, uint64_t from, uint64_t to, uint64_t size)
{
	uint32_t n = 0;

	while (size) {
		uint32_t bytes = size < PACKET_BYTES_MAX ? (uint32_t)size : PACKET_BYTES_MAX;
		const uint32_t packet[PACKET_WORDS] = {COPY_LINEAR,
						       sdma->family >= DRM_FAMILY_AI ? bytes - 1
										     : bytes,
						       0,
						       (uint32_t)from,
						       (uint32_t)(from >> 32),
						       (uint32_t)to,
						       (uint32_t)(to >> 32)};

		memcpy(sdma->words + n, packet, sizeof(packet));
		n += PACKET_WORDS;
		from += bytes;
		to += bytes;
		size -= bytes;
	}
	while (n % ALIGN)
		sdma->words[n++] = 0;
	return n;
}

static int submit(struct sdma *sdma, uint32_t handle, uint32_t n_words, uint64_t *ret_fence)
{
	struct drm_buffer entries[] = {
		{sdma->words_handle, 0}, {sdma->staging_handle, 0}, {handle, 0}};
	struct drm_buffers buffers = {~0U, ~0U, ARRAY_SIZE(entries), sizeof(*entries),
				      (uintptr_t)entries};
	struct drm_commands commands = {
		.address = sdma->words_va, .n_bytes = n_words * 4, .ip_type = DRM_IP_DMA};
	struct drm_chunk chunks[] = {
		{DRM_CHUNK_BUFFERS, sizeof(buffers) / 4, (uintptr_t)&buffers},
		{DRM_CHUNK_COMMANDS, sizeof(commands) / 4, (uintptr_t)&commands}};
	uint64_t list[] = {(uintptr_t)&chunks[0], (uintptr_t)&chunks[1]};
	union drm_submit arg = {.in = {.context = sdma->context,
				       .n_chunks = ARRAY_SIZE(chunks),
				       .chunks = (uintptr_t)list}};
	int err = driver.ioctl(NULL, sdma->node, DRM_IOC_SUBMIT, &arg);

	if (!err)
		*ret_fence = arg.fence;
	return err;
}

static int wait_fence(struct copier *copier, struct sdma *sdma, uint64_t fence)
{
	for (int i = 0; i < SLICES_MAX; i++) {
		union drm_wait arg = {
			.in = {.fence = fence, .ip_type = DRM_IP_DMA, .context = sdma->context}};
		struct timespec now;
		int err;

		clock_gettime(CLOCK_MONOTONIC, &now);
		arg.in.until_ns =
			(uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec + SLICE_NS;
		err = driver.ioctl(NULL, sdma->node, DRM_IOC_WAIT, &arg);
		if (err || !arg.is_busy)
			return err;
		if (copier_is_stopping(copier))
			return -ECANCELED;
	}
	return -ETIMEDOUT;
}

static int copy_by_engine(struct copier *copier, struct sdma *sdma, uint32_t handle, uint64_t from,
			  uint64_t to, size_t size)
{
	uint64_t fence;
	int err = submit(sdma, handle, fill_commands(sdma, from, to, size), &fence);

	return err ? err : wait_fence(copier, sdma, fence);
}

/* ---- buffers ---- */

static int move_file(const struct copier *copier, const struct copy_item *item, char *data,
		     uint64_t done, size_t size)
{
	while (size) {
		off_t pos = (off_t)(item->pos + done);
		ssize_t n = copier->is_restore ? pread(item->file, data, size, pos)
					       : pwrite(item->file, data, size, pos);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ENODATA;
		if (n > 0) {
			data += n;
			done += (size_t)n;
			size -= (size_t)n;
		}
	}
	return 0;
}

static int copy_part(struct copier *copier, const struct copy_lane *lane, struct sdma *sdma,
		     const struct copy_item *item, uint64_t done, size_t size)
{
	uint64_t pos = item->pos + done, buffer = sdma->buffer_va + done;
	int err = copier->is_restore ? move_file(copier, item, sdma->staging, done, size) : 0;

	if (err)
		return copier_fail(copier, err, "read the image", lane->minor, pos);
	if (copier->is_restore)
		err = copy_by_engine(copier, sdma, item->handle, sdma->staging_va, buffer, size);
	else
		err = copy_by_engine(copier, sdma, item->handle, buffer, sdma->staging_va, size);
	if (err)
		return copier_fail(copier, err, "copy by the GPU's engine", lane->minor, pos);
	err = copier->is_restore ? 0 : move_file(copier, item, sdma->staging, done, size);
	return err ? copier_fail(copier, err, "write the image", lane->minor, pos) : 0;
}

static int copy_item(struct copier *copier, const struct copy_lane *lane, struct sdma *sdma,
		     const struct copy_item *item)
{
	uint64_t size = (item->size + 4095) / 4096 * 4096;
	int err = map_va(sdma->node, item->handle, DRM_VA_MAP, sdma->buffer_va, size);

	if (err)
		return copier_fail(copier, err, "give the buffer an address", lane->minor,
				   item->pos);
	for (uint64_t done = 0; !err && done < item->size;) {
		uint64_t left = item->size - done;
		size_t part = left < sdma->staging_size ? left : sdma->staging_size;

		err = copier_is_stopping(copier) ? -ECANCELED
						 : copy_part(copier, lane, sdma, item, done, part);
		done += part;
	}
	/* Of the whole of it, whatever the size of the memory between. */
	if (map_va(sdma->node, item->handle, DRM_VA_UNMAP, sdma->buffer_va, size) && !err)
		err = copier_fail(copier, -EIO, "take the buffer's address back", lane->minor,
				  item->pos);
	return err;
}

int copy_by_sdma(struct copier *copier, const struct copy_lane *lane, struct sdma *sdma)
{
	int err = 0;

	for (size_t i = 0; !err && i < lane->n_items; i++)
		err = copy_item(copier, lane, sdma, &lane->items[i]);
	return err;
}
