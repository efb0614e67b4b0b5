/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A client of the emulated driver, in the place of the runtime of ROCm: opens kfd and render nodes,
 * has buffers with contents that follow from a seed, and queues that run, and says later whether
 * all is still so. The address of a buffer is the same for CPU and GPU. Functions that return int
 * answer -1 with errno.
 */
#ifndef KFD_CLIENT_H
#define KFD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drm.h"
#include "kfd.h"
#include "program.h"

enum { CLIENT_GPUS_MAX = 8, CLIENT_PAGE = 4096 };

struct client_gpu {
	uint32_t id; /* as this process knows it; the real one may change */
	unsigned int minor;
	int drm; /* the render node that is its VM */
};

struct client {
	char root[4000]; /* of the emulator */
	int kfd;
	unsigned int n_gpus;
	struct client_gpu gpus[CLIENT_GPUS_MAX];
};

enum client_kind {
	CLIENT_VRAM,
	CLIENT_GTT,
	CLIENT_USERPTR,
	CLIENT_DOORBELL, /* has no contents */
	CLIENT_HIDDEN,   /* VRAM that no CPU has mapped */
	CLIENT_MMIO,     /* a page of registers, by a mapping of kfd */
};

struct client_buffer {
	struct client *client;
	enum client_kind kind;
	unsigned int gpu;
	uint64_t size, seed, va, handle;
	unsigned char *map; /* NULL: not for the CPU */
	/* Words at the start of the first page and at the end of the last one are a queue's. */
	bool has_places;
};

struct client_queue {
	struct client *client;
	struct client_buffer ring, read_pointer, write_pointer;
	uint32_t id;
	const struct client_buffer *first; /* where its counter is */
	uint64_t counter;                  /* at the last look */
};

/* Reads the topology, opens kfd and the render node of the first n GPUs. */
int client_open(struct client *client, const char *root, unsigned int n_gpus);
void client_close(struct client *client);
/* In a child that does not use it: what it has inherited are only the descriptors. */
void client_forget(struct client *client);
/* Only reads the topology. */
int client_find(struct client *client, const char *root);

int client_alloc(struct client *client, struct client_buffer *buffer, enum client_kind kind,
		 unsigned int gpu, uint64_t size, uint64_t seed);
/* For the other GPUs of the client, too. */
int client_map_all(struct client_buffer *buffer);
int client_free(struct client_buffer *buffer);
/* NULL if the contents are what client_alloc() wrote; else what is not. Good until the next call.
 */
const char *client_check(const struct client_buffer *buffer);

/* A dma-buf of the buffer, and a buffer of a dma-buf: it has the contents of that seed. */
int client_export(const struct client_buffer *buffer);
int client_import(struct client *client, struct client_buffer *buffer, unsigned int gpu, int dmabuf,
		  uint64_t size, uint64_t seed);
/* The descriptor for a number that the emulator answered with instead of one. */
int client_dmabuf(const struct client *client, uint32_t number);

/* Runs on the GPU, in all those buffers, whoever's memory they are. */
int client_run(struct client *client, struct client_queue *queue, unsigned int gpu,
	       struct client_buffer *const *buffers, unsigned int n);
/* NULL if it runs: waits for it. */
const char *client_check_runs(struct client_queue *queue);

/* ---- render nodes by themselves ---- */

struct client_gem {
	int drm; /* the client's open render node */
	uint32_t handle;
	uint64_t size, seed, va;
	unsigned char *map;
};

/* A buffer of that render node, mapped for CPU and GPU. */
int client_gem_create(struct client_gem *gem, int drm, uint64_t size, uint64_t seed,
		      uint32_t domain);
/* The same from a dma-buf. */
int client_gem_import(struct client_gem *gem, int drm, int dmabuf, uint64_t size, uint64_t seed);
/* A dma-buf of it. */
int client_gem_export(const struct client *client, const struct client_gem *gem);
const char *client_gem_check(const struct client_gem *gem);
/* Copies on the GPU between addresses of that open render node; waits for it. */
int client_copy(int drm, uint64_t to, uint64_t from, uint64_t size);

int client_open_node(const struct client *client, unsigned int gpu);

#endif
