// SPDX-License-Identifier: GPL-2.0-only
/*
 * See kfd-client.h. Every word of a buffer has a value of its own, which follows from the seed, so
 * that one that is lost, or another buffer's, is seen.
 */
#include "kfd-client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* How long what runs may take to be seen running. */
enum { PATIENCE_MS = 20000 };

static const char *finding(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *finding(const char *format, ...)
{
	static char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

static uint64_t word_of(uint64_t seed, uint64_t index)
{
	uint64_t x = (seed << 32) + index + 1;

	x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ULL;
	return x ^ (x >> 29);
}

/* ---- opening ---- */

static bool read_property(const struct client *client, unsigned int node, const char *name,
			  unsigned long long *ret_value)
{
	char path[4200], line[256];
	bool is_id = strcmp(name, "gpu_id") == 0, is_found = false;
	size_t length = strlen(name);
	FILE *file;

	snprintf(path, sizeof(path), "%s/topology/nodes/%u/%s", client->root, node,
		 is_id ? "gpu_id" : "properties");
	file = fopen(path, "re");
	while (file && !is_found && fgets(line, sizeof(line), file)) {
		if (!is_id && (strncmp(line, name, length) != 0 || line[length] != ' '))
			continue;
		*ret_value = strtoull(line + (is_id ? 0 : length), NULL, 10);
		is_found = true;
	}
	if (file)
		fclose(file);
	return is_found;
}

int client_open_node(const struct client *client, unsigned int gpu)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/dev/dri/renderD%u", client->root, client->gpus[gpu].minor);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int acquire(struct client *client, unsigned int gpu)
{
	struct kfd_acquire_vm arg = {.gpu_id = client->gpus[gpu].id};

	client->gpus[gpu].drm = client_open_node(client, gpu);
	arg.drm_fd = (uint32_t)client->gpus[gpu].drm;
	return client->gpus[gpu].drm < 0 ? -1 : ioctl(client->kfd, KFD_IOC_ACQUIRE_VM, &arg);
}

/* The GPUs are found in the order of their render nodes, not in that of the topology. */
static void find_gpus(struct client *client)
{
	unsigned long long id, minor;

	for (unsigned int node = 0; read_property(client, node, "gpu_id", &id); node++) {
		unsigned int at = client->n_gpus;

		if (!id || at == CLIENT_GPUS_MAX ||
		    !read_property(client, node, "drm_render_minor", &minor))
			continue;
		for (; at && client->gpus[at - 1].minor > minor; at--)
			client->gpus[at] = client->gpus[at - 1];
		client->gpus[at] = (struct client_gpu){(uint32_t)id, (unsigned int)minor, -1};
		client->n_gpus++;
	}
}

int client_find(struct client *client, const char *root)
{
	memset(client, 0, sizeof(*client));
	snprintf(client->root, sizeof(client->root), "%s", root);
	client->kfd = -1;
	find_gpus(client);
	return 0;
}

int client_open(struct client *client, const char *root, unsigned int n_gpus)
{
	char path[4200];

	client_find(client, root);
	if (client->n_gpus < n_gpus) {
		errno = ENODEV;
		return -1;
	}
	client->n_gpus = n_gpus;
	snprintf(path, sizeof(path), "%s/dev/kfd", root);
	client->kfd = open(path, O_RDWR | O_CLOEXEC);
	if (client->kfd < 0)
		return -1;
	for (unsigned int i = 0; i < n_gpus; i++)
		if (acquire(client, i) < 0)
			return -1;
	return 0;
}

void client_close(struct client *client)
{
	for (unsigned int i = 0; i < client->n_gpus; i++)
		close(client->gpus[i].drm);
	close(client->kfd);
}

void client_forget(struct client *client)
{
	client_close(client);
	client->kfd = -1;
	client->n_gpus = 0;
}

/* ---- buffers ---- */

static bool is_place(const struct client_buffer *buffer, uint64_t word)
{
	return buffer->has_places && (word == 0 || word == buffer->size / 8 - 1);
}

static void fill(const struct client_buffer *buffer)
{
	for (uint64_t i = 0; i < buffer->size / 8; i++)
		((uint64_t *)buffer->map)[i] = word_of(buffer->seed, i);
}

static int map_to(const struct client_buffer *buffer, uint32_t *ids, uint32_t n)
{
	struct kfd_map arg = {
		.handle = buffer->handle, .device_ids = (uintptr_t)ids, .n_devices = n};

	return ioctl(buffer->client->kfd, KFD_IOC_MAP, &arg);
}

int client_map_all(struct client_buffer *buffer)
{
	uint32_t ids[CLIENT_GPUS_MAX];

	for (unsigned int i = 0; i < buffer->client->n_gpus; i++)
		ids[i] = buffer->client->gpus[i].id;
	return map_to(buffer, ids, buffer->client->n_gpus);
}

static uint32_t flags_of(enum client_kind kind)
{
	static const uint32_t flags[] = {KFD_VRAM | KFD_PUBLIC, KFD_GTT,  KFD_USERPTR,
					 KFD_DOORBELL,          KFD_VRAM, KFD_MMIO};

	return flags[kind] | KFD_WRITABLE | KFD_EXECUTABLE;
}

/* Addresses of CPU and GPU are the same, so that of the GPU is taken from the CPU's. */
static void *reserve(uint64_t size, bool is_used)
{
	void *at = mmap(NULL, size, is_used ? PROT_READ | PROT_WRITE : PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int map_for_cpu(struct client_buffer *buffer, uint64_t offset)
{
	int fd = buffer->kind == CLIENT_MMIO ? buffer->client->kfd
					     : buffer->client->gpus[buffer->gpu].drm;
	void *map = mmap((void *)buffer->va, buffer->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, (off_t)offset);

	/* As the runtime does; a child could do nothing with it. */
	if (map == MAP_FAILED || madvise(map, buffer->size, MADV_DONTFORK) < 0)
		return -1;
	buffer->map = map;
	return 0;
}

/* By way of another buffer, and a copy on the GPU. */
static int move_hidden(const struct client_buffer *buffer, bool is_write, unsigned char *bytes)
{
	struct client_buffer staging;
	int drm = buffer->client->gpus[buffer->gpu].drm, ret;

	if (client_alloc(buffer->client, &staging, CLIENT_GTT, buffer->gpu, buffer->size, 0) < 0)
		return -1;
	if (is_write)
		memcpy(staging.map, bytes, buffer->size);
	ret = is_write ? client_copy(drm, buffer->va, staging.va, buffer->size)
		       : client_copy(drm, staging.va, buffer->va, buffer->size);
	if (!is_write)
		memcpy(bytes, staging.map, buffer->size);
	client_free(&staging);
	return ret;
}

static int fill_hidden(const struct client_buffer *buffer)
{
	struct client_buffer copy = *buffer;
	int ret;

	copy.map = malloc(buffer->size);
	if (!copy.map)
		return -1;
	fill(&copy);
	ret = move_hidden(buffer, true, copy.map);
	free(copy.map);
	return ret;
}

int client_alloc(struct client *client, struct client_buffer *buffer, enum client_kind kind,
		 unsigned int gpu, uint64_t size, uint64_t seed)
{
	struct kfd_alloc arg = {
		.size = size, .gpu_id = client->gpus[gpu].id, .flags = flags_of(kind)};
	void *at = reserve(size, kind == CLIENT_USERPTR);

	*buffer = (struct client_buffer){
		.client = client, .kind = kind, .gpu = gpu, .size = size, .seed = seed};
	if (!at)
		return -1;
	buffer->va = arg.va = (uintptr_t)at;
	if (kind == CLIENT_USERPTR) {
		buffer->map = at;
		arg.mmap_offset = (uintptr_t)at;
		fill(buffer);
	}
	if (ioctl(client->kfd, KFD_IOC_ALLOC, &arg) < 0)
		return -1;
	buffer->handle = arg.handle;
	if (map_to(buffer, &client->gpus[gpu].id, 1) < 0)
		return -1;
	if (kind == CLIENT_HIDDEN)
		return fill_hidden(buffer);
	if (kind != CLIENT_VRAM && kind != CLIENT_GTT && kind != CLIENT_MMIO)
		return 0;
	if (map_for_cpu(buffer, arg.mmap_offset) < 0)
		return -1;
	if (kind != CLIENT_MMIO)
		fill(buffer);
	return 0;
}

int client_free(struct client_buffer *buffer)
{
	struct client *client = buffer->client;
	uint32_t ids[CLIENT_GPUS_MAX];
	struct kfd_map arg = {.handle = buffer->handle, .device_ids = (uintptr_t)ids};

	/* It may be mapped to one of them, or to all. */
	for (unsigned int i = 0; i < client->n_gpus; i++) {
		ids[0] = client->gpus[i].id;
		arg.n_devices = 1;
		arg.n_success = 0;
		ioctl(client->kfd, KFD_IOC_UNMAP, &arg);
	}
	if (ioctl(client->kfd, KFD_IOC_FREE, &buffer->handle) < 0)
		return -1;
	return munmap((void *)buffer->va, buffer->size);
}

/* The registers are those of a GPU that is here now, which need not be the one that was. */
static const char *check_registers(const struct client_buffer *buffer)
{
	uint32_t id = *(volatile uint32_t *)buffer->map;
	struct client here;

	client_find(&here, buffer->client->root);
	for (unsigned int i = 0; i < here.n_gpus; i++)
		if (here.gpus[i].id == id)
			return NULL;
	return finding("registers of GPU %u: they are of GPU %u",
		       buffer->client->gpus[buffer->gpu].id, id);
}

static const char *check_words(const struct client_buffer *buffer, const unsigned char *bytes)
{
	for (uint64_t i = 0; i < buffer->size / 8; i++) {
		uint64_t word = ((const uint64_t *)bytes)[i];

		if (!is_place(buffer, i) && word != word_of(buffer->seed, i))
			return finding("buffer of seed %llu, kind %d: word %llu of %llu is %#llx",
				       (unsigned long long)buffer->seed, buffer->kind,
				       (unsigned long long)i, (unsigned long long)buffer->size / 8,
				       (unsigned long long)word);
	}
	return NULL;
}

const char *client_check(const struct client_buffer *buffer)
{
	const char *text = NULL;
	unsigned char *bytes;

	if (buffer->kind == CLIENT_DOORBELL)
		return NULL;
	if (buffer->kind == CLIENT_MMIO)
		return check_registers(buffer);
	if (buffer->map)
		return check_words(buffer, buffer->map);
	bytes = malloc(buffer->size);
	if (!bytes || move_hidden(buffer, false, bytes) < 0)
		text = finding("hidden buffer of seed %llu: %s", (unsigned long long)buffer->seed,
			       strerror(errno));
	else
		text = check_words(buffer, bytes);
	free(bytes);
	return text;
}

/* ---- dma-bufs ---- */

int client_dmabuf(const struct client *client, uint32_t number)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/dev/dmabuf/%u", client->root, number);
	return open(path, O_RDWR | O_CLOEXEC);
}

int client_export(const struct client_buffer *buffer)
{
	struct kfd_export_dmabuf arg = {.handle = buffer->handle};

	if (ioctl(buffer->client->kfd, KFD_IOC_EXPORT_DMABUF, &arg) < 0)
		return -1;
	return client_dmabuf(buffer->client, arg.dmabuf_fd);
}

/* The mmap offset is had from the render node, as the runtime has it. */
static int offset_of(int drm, int dmabuf, uint64_t *ret_offset)
{
	struct drm_prime_handle prime = {.fd = dmabuf};
	union drm_amdgpu_gem_mmap arg = {0};
	struct drm_gem_close gone = {0};

	if (ioctl(drm, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime) < 0)
		return -1;
	arg.in.handle = prime.handle;
	if (ioctl(drm, DRM_IOCTL_AMDGPU_GEM_MMAP, &arg) < 0)
		return -1;
	*ret_offset = arg.out.addr_ptr;
	gone.handle = prime.handle;
	return ioctl(drm, DRM_IOCTL_GEM_CLOSE, &gone);
}

int client_import(struct client *client, struct client_buffer *buffer, unsigned int gpu, int dmabuf,
		  uint64_t size, uint64_t seed)
{
	struct kfd_import_dmabuf arg = {.gpu_id = client->gpus[gpu].id,
					.dmabuf_fd = (uint32_t)dmabuf};
	void *at = reserve(size, false);
	uint64_t offset;

	*buffer = (struct client_buffer){
		.client = client, .kind = CLIENT_GTT, .gpu = gpu, .size = size, .seed = seed};
	if (!at)
		return -1;
	buffer->va = arg.va = (uintptr_t)at;
	if (ioctl(client->kfd, KFD_IOC_IMPORT_DMABUF, &arg) < 0)
		return -1;
	buffer->handle = arg.handle;
	if (map_to(buffer, &client->gpus[gpu].id, 1) < 0 ||
	    offset_of(client->gpus[gpu].drm, dmabuf, &offset) < 0)
		return -1;
	return map_for_cpu(buffer, offset);
}

/* ---- queues ---- */

int client_run(struct client *client, struct client_queue *queue, unsigned int gpu,
	       struct client_buffer *const *buffers, unsigned int n)
{
	struct kfd_create_queue arg = {.gpu_id = client->gpus[gpu].id,
				       .ring_size = CLIENT_PAGE,
				       .type = KFD_QUEUE_COMPUTE,
				       .percentage = 100,
				       .priority = 7};
	struct program *program;

	*queue = (struct client_queue){.client = client, .first = buffers[0]};
	if (client_alloc(client, &queue->ring, CLIENT_GTT, gpu, CLIENT_PAGE, 0) < 0 ||
	    client_alloc(client, &queue->read_pointer, CLIENT_GTT, gpu, CLIENT_PAGE, 0) < 0 ||
	    client_alloc(client, &queue->write_pointer, CLIENT_GTT, gpu, CLIENT_PAGE, 0) < 0)
		return -1;
	program = (struct program *)queue->ring.map;
	memset(program, 0, sizeof(*program));
	for (unsigned int i = 0; i < n && program->n_places + 2 <= PROGRAM_PLACES_MAX; i++) {
		uint64_t last = buffers[i]->size - 8;

		buffers[i]->has_places = true;
		memset(buffers[i]->map, 0, 8);
		memset(buffers[i]->map + last, 0xff, 8);
		program->places[program->n_places++] = buffers[i]->va;
		program->places[program->n_places++] = buffers[i]->va + last;
	}
	program->magic = PROGRAM_MAGIC;
	*(uint64_t *)queue->read_pointer.map = 0;
	*(uint64_t *)queue->write_pointer.map = 0;
	arg.ring_address = queue->ring.va;
	arg.read_pointer = queue->read_pointer.va;
	arg.write_pointer = queue->write_pointer.va;
	if (ioctl(client->kfd, KFD_IOC_CREATE_QUEUE, &arg) < 0)
		return -1;
	queue->id = arg.queue_id;
	*(volatile uint64_t *)queue->write_pointer.map = 1;
	return 0;
}

const char *client_check_runs(struct client_queue *queue)
{
	const volatile struct program *program = (struct program *)queue->ring.map;
	const volatile uint64_t *counter = (uint64_t *)queue->first->map;

	for (int i = 0; i < PATIENCE_MS; i++) {
		struct timespec ms = {0, 1000000};
		uint64_t now = *counter;

		if (program->status)
			return finding("queue %u stopped: %s", queue->id,
				       program->status == PROGRAM_TORN ? "torn" : "fault");
		if (now < queue->counter)
			return finding("queue %u went back from %llu to %llu", queue->id,
				       (unsigned long long)queue->counter, (unsigned long long)now);
		if (now > queue->counter + 2) {
			queue->counter = now;
			return NULL;
		}
		nanosleep(&ms, NULL);
	}
	return finding("queue %u does not run: counter %llu", queue->id,
		       (unsigned long long)queue->counter);
}
