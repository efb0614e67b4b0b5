// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the tree of nodes: nodes/N/gpu_id, nodes/N/properties, nodes/N/mem_banks/B/properties and
 * nodes/N/io_links/L/properties, files with a name and a number in each line. What the memory of a
 * GPU is comes from its first bank of public or private memory. Of the links, PCIe and XGMI count.
 */
#include "topology.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compel/base/cleanup.h"

enum { HEAP_PUBLIC = 1, HEAP_PRIVATE = 2 };
/* More than any machine has; what is larger is not a topology. */
enum { NODES_MAX = 1024, LINKS_MAX = 4096 };

static const char *const names[N_PROPERTIES] = {
#define PROPERTY(id, name, rule, check) [PROPERTY_##id] = (name),
#include "topology-properties.def"
#undef PROPERTY
};

const char *topology_property_name(enum topology_property property)
{
	return names[property];
}

bool topology_is_gpu(const struct topology_node *node)
{
	return node->properties[PROPERTY_GPU_ID] != 0;
}

size_t topology_n_gpus(const struct topology *topology)
{
	size_t n = 0;

	for (size_t i = 0; i < topology->n_nodes; i++)
		n += topology_is_gpu(&topology->nodes[i]);
	return n;
}

static const struct topology_node *find(const struct topology *topology,
					enum topology_property property, uint32_t value,
					bool is_of_gpu)
{
	for (size_t i = 0; i < topology->n_nodes; i++)
		if (topology->nodes[i].properties[property] == value &&
		    (!is_of_gpu || topology_is_gpu(&topology->nodes[i])))
			return &topology->nodes[i];
	return NULL;
}

const struct topology_node *topology_by_gpu_id(const struct topology *topology, uint32_t gpu_id)
{
	return find(topology, PROPERTY_GPU_ID, gpu_id, true);
}

const struct topology_node *topology_by_minor(const struct topology *topology, uint32_t minor)
{
	return find(topology, PROPERTY_DRM_RENDER_MINOR, minor, true);
}

const struct topology_node *topology_by_node_id(const struct topology *topology, uint32_t node_id)
{
	return find(topology, PROPERTY_NODE_ID, node_id, false);
}

struct topology_node *topology_add_node(struct topology *topology)
{
	struct topology_node *nodes;

	if (topology->n_nodes >= NODES_MAX)
		return NULL;
	nodes = realloc(topology->nodes, (topology->n_nodes + 1) * sizeof(*nodes));
	if (!nodes)
		return NULL;
	topology->nodes = nodes;
	memset(&nodes[topology->n_nodes], 0, sizeof(*nodes));
	return &nodes[topology->n_nodes++];
}

int topology_add_link(struct topology_node *node, uint32_t type, uint32_t to)
{
	struct topology_link *links;

	if (node->n_links >= LINKS_MAX)
		return -ENOMEM;
	links = realloc(node->links, (node->n_links + 1) * sizeof(*links));
	if (!links)
		return -ENOMEM;
	node->links = links;
	links[node->n_links++] = (struct topology_link){type, to};
	return 0;
}

void topology_release(struct topology *topology)
{
	for (size_t i = 0; i < topology->n_nodes; i++)
		free(topology->nodes[i].links);
	free(topology->nodes);
	*topology = (struct topology){0};
}

/* ---- files ---- */

typedef int (*line_taker)(void *arg, const char *name, uint64_t value);

/* Calls take() for each line "name value". 0 or -errno. */
static int read_lines(const char *path, line_taker take, void *arg)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[256], name[64];
	uint64_t value;
	int err = 0;

	if (!file)
		return -errno;
	while (!err && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %" SCNu64, name, &value) == 2)
			err = take(arg, name, value);
	return err ? err : ferror(file) ? -EIO : 0;
}

static int take_property(void *arg, const char *name, uint64_t value)
{
	struct topology_node *node = arg;

	for (int i = 0; i < N_PROPERTIES; i++)
		if (strcmp(names[i], name) == 0)
			node->properties[i] = value;
	return 0;
}

struct bank {
	uint64_t heap, size;
};

static int take_bank(void *arg, const char *name, uint64_t value)
{
	struct bank *bank = arg;

	if (strcmp(name, "heap_type") == 0)
		bank->heap = value;
	else if (strcmp(name, "size_in_bytes") == 0)
		bank->size = value;
	return 0;
}

static int take_link(void *arg, const char *name, uint64_t value)
{
	struct topology_link *link = arg;

	if (strcmp(name, "type") == 0)
		link->type = (uint32_t)value;
	else if (strcmp(name, "node_to") == 0)
		link->to = (uint32_t)value;
	return 0;
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
	unsigned long x = strtoul((*a)->d_name, NULL, 10), y = strtoul((*b)->d_name, NULL, 10);

	return x < y ? -1 : x > y;
}

static int is_number(const struct dirent *entry)
{
	return *entry->d_name && strspn(entry->d_name, "0123456789") == strlen(entry->d_name);
}

/* The numbered entries of a folder in ascending order; the caller frees with free_entries(). */
struct entries {
	struct dirent **list;
	int n;
};

static void free_entries(struct entries *entries)
{
	for (int i = 0; i < entries->n; i++)
		free(entries->list[i]);
	free(entries->list);
}

static int list_entries(const char *path, struct entries *ret)
{
	ret->n = scandir(path, &ret->list, is_number, by_number);
	return ret->n < 0 ? -errno : 0;
}

static int read_banks(const char *folder, struct topology_node *node)
{
	_cleanup_(free_entries) struct entries entries = {0};
	char path[4200];
	int err;

	snprintf(path, sizeof(path), "%s/mem_banks", folder);
	err = list_entries(path, &entries);
	for (int i = 0; !err && i < entries.n; i++) {
		struct bank bank = {0};

		snprintf(path, sizeof(path), "%s/mem_banks/%.32s/properties", folder,
			 entries.list[i]->d_name);
		err = read_lines(path, take_bank, &bank);
		if (err || (bank.heap != HEAP_PUBLIC && bank.heap != HEAP_PRIVATE))
			continue;
		node->properties[PROPERTY_VRAM_SIZE] = bank.size;
		node->properties[PROPERTY_VRAM_PUBLIC] = bank.heap == HEAP_PUBLIC;
		break;
	}
	return err;
}

static int read_links(const char *folder, struct topology_node *node)
{
	_cleanup_(free_entries) struct entries entries = {0};
	char path[4200];
	int err;

	snprintf(path, sizeof(path), "%s/io_links", folder);
	err = list_entries(path, &entries);
	if (err == -ENOENT)
		return 0;
	for (int i = 0; !err && i < entries.n; i++) {
		struct topology_link link = {0};

		snprintf(path, sizeof(path), "%s/io_links/%.32s/properties", folder,
			 entries.list[i]->d_name);
		err = read_lines(path, take_link, &link);
		if (!err && (link.type == LINK_PCIE || link.type == LINK_XGMI))
			err = topology_add_link(node, link.type, link.to);
	}
	return err;
}

static int read_gpu_id(const char *folder, struct topology_node *node)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[4200];

	snprintf(path, sizeof(path), "%s/gpu_id", folder);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	return fscanf(file, "%" SCNu64, &node->properties[PROPERTY_GPU_ID]) == 1 ? 0 : -EBADMSG;
}

static int read_node(struct topology *topology, const char *folder, uint32_t number)
{
	struct topology_node *node = topology_add_node(topology);
	char path[4200];
	int err = node ? read_gpu_id(folder, node) : -ENOMEM;

	if (!err) {
		snprintf(path, sizeof(path), "%s/properties", folder);
		err = read_lines(path, take_property, node);
	}
	if (!err && topology_is_gpu(node))
		err = read_banks(folder, node);
	if (!err)
		err = read_links(folder, node);
	if (node)
		node->properties[PROPERTY_NODE_ID] = number;
	return err;
}

/* A link may lead to a node that is hidden: there is no such link for who cannot see it. */
static void drop_links_to_nowhere(struct topology *topology)
{
	for (size_t i = 0; i < topology->n_nodes; i++) {
		struct topology_node *node = &topology->nodes[i];
		size_t n = 0;

		for (size_t j = 0; j < node->n_links; j++)
			if (topology_by_node_id(topology, node->links[j].to))
				node->links[n++] = node->links[j];
		node->n_links = n;
	}
}

int topology_read(const char *folder, struct topology *ret, char *why)
{
	_cleanup_(free_entries) struct entries entries = {0};
	_cleanup_(topology_release) struct topology topology = {0};
	char path[4096];
	struct stat st;
	int err;

	snprintf(path, sizeof(path), "%s/nodes", folder);
	err = list_entries(path, &entries);
	for (int i = 0; !err && i < entries.n; i++) {
		const char *name = entries.list[i]->d_name;

		snprintf(path, sizeof(path), "%.3000s/nodes/%.32s", folder, name);
		if (stat(path, &st) == 0)
			err = read_node(&topology, path, (uint32_t)strtoul(name, NULL, 10));
		if (err == -EPERM || err == -EACCES) {
			/* A cgroup hides what is in the files, too. */
			free(topology.nodes[--topology.n_nodes].links);
			err = 0;
		}
		if (err == -ENOENT)
			err = -EBADMSG;
	}
	if (err) {
		snprintf(why, TOPOLOGY_WHY, "%.200s: %s", path, strerror(-err));
		return err;
	}
	drop_links_to_nowhere(&topology);
	*ret = topology;
	topology = (struct topology){0};
	return 0;
}
