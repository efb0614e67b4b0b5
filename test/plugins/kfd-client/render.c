// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a client has with a render node alone: buffers with handles of that open file, and copies on
 * the GPU, which are linear-copy packets for the DMA engine of GFX9 and later.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kfd-client.h"

enum { COPY_MAX = 1 << 21, PACKET_WORDS = 7, PACKETS_MAX = 128 };

static const uint32_t page_flags = AMDGPU_VM_PAGE_READABLE | AMDGPU_VM_PAGE_WRITEABLE |
				   AMDGPU_VM_PAGE_EXECUTABLE;

static uint64_t word_of(uint64_t seed, uint64_t index)
{
	return (seed * 0x9e3779b97f4a7c15ULL) ^ ((index + 1) * 0xd6e8feb86659fd93ULL);
}

static int map_gem(struct client_gem *gem)
{
	union drm_amdgpu_gem_mmap place = {.in = {.handle = gem->handle}};
	struct drm_amdgpu_gem_va va = {.handle = gem->handle,
				       .operation = AMDGPU_VA_OP_MAP,
				       .flags = page_flags,
				       .map_size = gem->size};
	void *map;

	if (ioctl(gem->drm, DRM_IOCTL_AMDGPU_GEM_MMAP, &place) < 0)
		return -1;
	map = mmap(NULL, gem->size, PROT_READ | PROT_WRITE, MAP_SHARED, gem->drm,
		   (off_t)place.out.addr_ptr);
	if (map == MAP_FAILED)
		return -1;
	gem->map = map;
	gem->va = va.va_address = (uintptr_t)map;
	return ioctl(gem->drm, DRM_IOCTL_AMDGPU_GEM_VA, &va);
}

int client_gem_create(struct client_gem *gem, int drm, uint64_t size, uint64_t seed,
		      uint32_t domain)
{
	union drm_amdgpu_gem_create arg = {
		.in = {.bo_size = size, .alignment = CLIENT_PAGE, .domains = domain}};

	if (ioctl(drm, DRM_IOCTL_AMDGPU_GEM_CREATE, &arg) < 0)
		return -1;
	*gem = (struct client_gem){
		.drm = drm, .handle = arg.out.handle, .size = size, .seed = seed};
	if (map_gem(gem) < 0)
		return -1;
	for (uint64_t i = 0; i < size / 8; i++)
		((uint64_t *)gem->map)[i] = word_of(seed, i);
	return 0;
}

int client_gem_import(struct client_gem *gem, int drm, int dmabuf, uint64_t size, uint64_t seed)
{
	struct drm_prime_handle arg = {.fd = dmabuf};

	if (ioctl(drm, DRM_IOCTL_PRIME_FD_TO_HANDLE, &arg) < 0)
		return -1;
	*gem = (struct client_gem){.drm = drm, .handle = arg.handle, .size = size, .seed = seed};
	return map_gem(gem);
}

int client_gem_export(const struct client *client, const struct client_gem *gem)
{
	struct drm_prime_handle arg = {.handle = gem->handle, .flags = DRM_CLOEXEC | DRM_RDWR};

	if (ioctl(gem->drm, DRM_IOCTL_PRIME_HANDLE_TO_FD, &arg) < 0)
		return -1;
	return client_dmabuf(client, (uint32_t)arg.fd);
}

const char *client_gem_check(const struct client_gem *gem)
{
	struct drm_amdgpu_gem_create_in info;
	struct drm_amdgpu_gem_op op = {.handle = gem->handle,
				       .op = AMDGPU_GEM_OP_GET_GEM_CREATE_INFO,
				       .value = (uintptr_t)&info};
	static char text[160];

	/* The handle must be what it was, and of this very file. */
	if (ioctl(gem->drm, DRM_IOCTL_AMDGPU_GEM_OP, &op) < 0 || info.bo_size != gem->size) {
		snprintf(text, sizeof(text), "fd %d: handle %u: %s", gem->drm, gem->handle,
			 strerror(errno));
		return text;
	}
	for (uint64_t i = 0; i < gem->size / 8; i++)
		if (((uint64_t *)gem->map)[i] != word_of(gem->seed, i)) {
			snprintf(text, sizeof(text), "fd %d: handle %u: word %llu of %llu is wrong",
				 gem->drm, gem->handle, (unsigned long long)i,
				 (unsigned long long)gem->size / 8);
			return text;
		}
	return NULL;
}

/* ---- copies ---- */

/* How many words; what is left is told by the arguments. */
static uint32_t write_packets(uint32_t *words, uint64_t *to, uint64_t *from, uint64_t *size)
{
	uint32_t n = 0;

	for (int i = 0; i < PACKETS_MAX && *size; i++) {
		uint64_t part = *size < COPY_MAX ? *size : COPY_MAX;
		const uint32_t packet[PACKET_WORDS] = {1,
						       (uint32_t)part - 1,
						       0,
						       (uint32_t)*from,
						       (uint32_t)(*from >> 32),
						       (uint32_t)*to,
						       (uint32_t)(*to >> 32)};

		memcpy(words + n, packet, sizeof(packet));
		n += PACKET_WORDS;
		*to += part;
		*from += part;
		*size -= part;
	}
	while (n % 8)
		words[n++] = 0;
	return n;
}

static int submit(const struct client_gem *ib, uint32_t context, uint32_t n_words)
{
	struct drm_amdgpu_cs_chunk_ib data = {
		.va_start = ib->va, .ib_bytes = n_words * 4, .ip_type = AMDGPU_HW_IP_DMA};
	/* What kfd has mapped need not be there. */
	struct drm_amdgpu_bo_list_entry entry = {.bo_handle = ib->handle};
	struct drm_amdgpu_bo_list_in list = {
		.bo_number = 1, .bo_info_size = sizeof(entry), .bo_info_ptr = (uintptr_t)&entry};
	struct drm_amdgpu_cs_chunk chunks[] = {
		{AMDGPU_CHUNK_ID_BO_HANDLES, sizeof(list) / 4, (uintptr_t)&list},
		{AMDGPU_CHUNK_ID_IB, sizeof(data) / 4, (uintptr_t)&data}};
	uint64_t pointers[] = {(uintptr_t)&chunks[0], (uintptr_t)&chunks[1]};
	union drm_amdgpu_cs cs = {
		.in = {.ctx_id = context, .num_chunks = 2, .chunks = (uintptr_t)pointers}};
	union drm_amdgpu_wait_cs wait = {0};

	if (ioctl(ib->drm, DRM_IOCTL_AMDGPU_CS, &cs) < 0)
		return -1;
	wait.in.handle = cs.out.handle;
	wait.in.timeout = ~0ULL;
	wait.in.ip_type = AMDGPU_HW_IP_DMA;
	wait.in.ctx_id = context;
	if (ioctl(ib->drm, DRM_IOCTL_AMDGPU_WAIT_CS, &wait) < 0)
		return -1;
	if (wait.out.status) {
		errno = ETIME;
		return -1;
	}
	return 0;
}

int client_copy(int drm, uint64_t to, uint64_t from, uint64_t size)
{
	union drm_amdgpu_ctx context = {.in = {.op = AMDGPU_CTX_OP_ALLOC_CTX}};
	struct drm_gem_close gone = {0};
	struct client_gem ib;
	uint32_t id;
	int ret = 0;

	if (ioctl(drm, DRM_IOCTL_AMDGPU_CTX, &context) < 0 ||
	    client_gem_create(&ib, drm, CLIENT_PAGE, 0, AMDGPU_GEM_DOMAIN_GTT) < 0)
		return -1;
	id = context.out.alloc.ctx_id;
	while (ret == 0 && size)
		ret = submit(&ib, id, write_packets((uint32_t *)ib.map, &to, &from, &size));
	munmap(ib.map, ib.size);
	gone.handle = ib.handle;
	ioctl(drm, DRM_IOCTL_GEM_CLOSE, &gone);
	context = (union drm_amdgpu_ctx){.in = {.op = AMDGPU_CTX_OP_FREE_CTX, .ctx_id = id}};
	ioctl(drm, DRM_IOCTL_AMDGPU_CTX, &context);
	return ret;
}
