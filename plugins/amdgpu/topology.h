/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The GPUs and CPUs of a host as /sys/class/kfd/kfd/topology describes them, and the question which
 * GPU of one host can take the place of which of another. Knows nothing of criu: reads a folder,
 * computes, and says why not. Compared are the properties in topology-properties.def, links between
 * GPUs by XGMI, and, unless that is switched off, which GPUs hang on the same CPU.
 */
#ifndef AMDGPU_TOPOLOGY_H
#define AMDGPU_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What may be left out of the comparison: bits of struct topology_wish. */
enum topology_check {
	CHECK_ALWAYS = 0,
	CHECK_FW_VERSION = 1 << 0,
	CHECK_SDMA_FW_VERSION = 1 << 1,
	CHECK_CACHES_COUNT = 1 << 2,
	CHECK_NUM_GWS = 1 << 3,
	CHECK_VRAM_SIZE = 1 << 4,
	CHECK_NUMA = 1 << 5,
	CHECK_CAPABILITY = 1 << 6,
	CHECK_ALL = (1 << 7) - 1,
};

enum topology_property {
#define PROPERTY(id, name, rule, check) PROPERTY_##id,
#include "topology-properties.def"
#undef PROPERTY
	N_PROPERTIES
};

enum topology_link_type { LINK_PCIE = 2, LINK_XGMI = 11 };

struct topology_link {
	uint32_t type;
	uint32_t to; /* node_id */
};

struct topology_node {
	uint64_t properties[N_PROPERTIES];
	struct topology_link *links;
	size_t n_links;
};

struct topology {
	struct topology_node *nodes; /* by ascending node_id */
	size_t n_nodes;
};

struct topology_pair {
	const struct topology_node *from, *to;
};

#define TOPOLOGY_WHY 256

/* "simd_count": as the kernel and the images call it. */
const char *topology_property_name(enum topology_property property);
bool topology_is_gpu(const struct topology_node *node);
size_t topology_n_gpus(const struct topology *topology);
/* NULL if there is none. */
const struct topology_node *topology_by_gpu_id(const struct topology *topology, uint32_t gpu_id);
const struct topology_node *topology_by_minor(const struct topology *topology, uint32_t minor);
const struct topology_node *topology_by_node_id(const struct topology *topology, uint32_t node_id);

/* Room for one more node, all zero; NULL: no memory. */
struct topology_node *topology_add_node(struct topology *topology);
/* 0 or -ENOMEM. */
int topology_add_link(struct topology_node *node, uint32_t type, uint32_t to);
void topology_release(struct topology *topology);

/*
 * Reads the folder that has nodes/. Nodes that cannot be looked at are left out, as a cgroup may
 * hide them. 0, -ENOENT where there is no such folder, or -errno and *why (TOPOLOGY_WHY bytes).
 */
int topology_read(const char *folder, struct topology *ret, char *why);

/* The number of groups of GPUs that are joined by XGMI both ways. */
size_t topology_n_hives(const struct topology *topology);

/*
 * Finds for each GPU of `from` one of `to` that can take its place; checks is of enum
 * topology_check. pairs has room for all GPUs of `from`. 0, or -ENODEV and *why (TOPOLOGY_WHY
 * bytes), which names the first property that does not fit.
 */
int topology_match(const struct topology *from, const struct topology *to, uint32_t checks,
		   struct topology_pair *pairs, char *why);

#endif
