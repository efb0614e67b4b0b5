// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which GPUs there are, from the options, and the tree that says so in the manner of
 * /sys/class/kfd/kfd/topology: a node for each CPU, then one for each GPU, properties, one bank of
 * memory, caches, and links. Each GPU has a PCIe link to a CPU and back; those of one hive have
 * XGMI links to each other. It is a folder of plain files, outside the file system of the nodes.
 */
#include "emu.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINK_PCIE = 2, LINK_XGMI = 11, HEAP_SYSTEM = 0, HEAP_PUBLIC = 1 };

enum option_of_gpus { IDS = 'i', MINORS = 'm', VRAM = 'v', HIVES = 'h' };

static const char usage[] =
	"usage: kfd-emu [--gpus N] [--cpus N] [--ids ID,ID...] [--minors N,N...] [--vram "
	"SIZE,SIZE...]\n"
	"               [--hives N,N...] [--set GPU:PROPERTY=VALUE]... [--no-link A-B]... ROOT\n";

static unsigned long long number_with_suffix(const char *text, char **ret_end)
{
	unsigned long long number = strtoull(text, ret_end, 0);
	const char *suffix = **ret_end ? strchr("KMG", **ret_end) : NULL;

	if (suffix) {
		number <<= 10 * (suffix - "KMG" + 1);
		++*ret_end;
	}
	return number;
}

/* One value for each GPU; the last one given is for all that follow. */
static int parse_list(struct emu *emu, int option, const char *text)
{
	for (unsigned int i = 0; i < emu->n_gpus; i++) {
		struct gpu *gpu = &emu->gpus[i];
		char *end;
		unsigned long long value = number_with_suffix(text, &end);

		if (end == text || (*end && *end != ','))
			return -EINVAL;
		if (option == IDS)
			gpu->id = (uint32_t)value;
		else if (option == MINORS)
			gpu->minor = (unsigned int)value;
		else if (option == VRAM)
			gpu->vram_size = value;
		else
			gpu->hive = value;
		if (*end)
			text = end + 1;
	}
	return 0;
}

static int make_gpus(struct emu *emu, unsigned int n)
{
	emu->n_gpus = n;
	emu->gpus = calloc(n ? n : 1, sizeof(struct gpu));
	if (!emu->gpus || n > KFD_MAX_GPUS)
		return -1;
	for (unsigned int i = 0; i < n; i++) {
		struct gpu *gpu = &emu->gpus[i];

		gpu->index = i;
		gpu->minor = EMU_RENDER_MINOR + i;
		gpu->id = (0x3a51 + i * 0x2f1b) & 0xffff;
		gpu->vram_size = 16ULL << 30;
		/* Offsets of two GPUs, or of two runs, are not the same. */
		gpu->next_offset = (1ULL << 32) + ((uint64_t)getpid() << 24) + ((uint64_t)i << 43);
		gpu->memory = memfd_create("kfd-emu", MFD_CLOEXEC);
		if (gpu->memory < 0 || ftruncate(gpu->memory, (off_t)EMU_MEMORY_SIZE) < 0)
			return -1;
	}
	return 0;
}

static int parse_set(struct emu *emu, const char *text)
{
	struct setting *setting;

	if (emu->n_settings == EMU_SETTINGS_MAX)
		return -1;
	setting = &emu->settings[emu->n_settings++];
	return sscanf(text, "%u:%39[^=]=%llu", &setting->gpu, setting->name, &setting->value) == 3
		       ? 0
		       : -1;
}

int emu_configure(struct emu *emu, int argc, char **argv, const char **ret_root)
{
	static const struct option options[] = {
		{"gpus", 1, NULL, 'g'},      {"cpus", 1, NULL, 'c'},    {"ids", 1, NULL, IDS},
		{"minors", 1, NULL, MINORS}, {"vram", 1, NULL, VRAM},   {"hives", 1, NULL, HIVES},
		{"set", 1, NULL, 's'},       {"no-link", 1, NULL, 'n'}, {NULL, 0, NULL, 0}};
	unsigned int n = 1;
	int option, ret = 0;

	emu->n_cpus = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (option == 'g')
			n = (unsigned int)atoi(optarg);
	ret = make_gpus(emu, n);
	optind = 1;
	while (ret == 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'c')
			emu->n_cpus = (unsigned int)atoi(optarg);
		else if (option == 's')
			ret = parse_set(emu, optarg);
		else if (option == 'n' && emu->n_cuts < EMU_SETTINGS_MAX)
			emu->cuts[emu->n_cuts++] = optarg;
		else if (option == '?')
			ret = -1;
		else if (option != 'g')
			ret = parse_list(emu, option, optarg);
	}
	if (ret < 0 || optind + 1 != argc) {
		fputs(usage, stderr);
		return -1;
	}
	*ret_root = argv[optind];
	return 0;
}

/* ---- the tree ---- */

static FILE *open_file(const char *folder, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* With all folders on the way. */
static FILE *open_file(const char *folder, const char *format, ...)
{
	char path[4400];
	size_t at = (size_t)snprintf(path, sizeof(path), "%s/", folder);
	va_list args;

	va_start(args, format);
	vsnprintf(path + at, sizeof(path) - at, format, args);
	va_end(args);
	for (char *slash = path + at - 1; slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	return fopen(path, "we");
}

static void put_number(const char *folder, unsigned int node, const char *name,
		       unsigned long number)
{
	FILE *file = open_file(folder, "nodes/%u/%s", node, name);

	if (file) {
		fprintf(file, "%lu\n", number);
		fclose(file);
	}
}

static bool is_linked(const struct emu *emu, unsigned int from, unsigned int to,
		      unsigned int *ret_type)
{
	const struct gpu *a = from < emu->n_cpus ? NULL : &emu->gpus[from - emu->n_cpus];
	const struct gpu *b = to < emu->n_cpus ? NULL : &emu->gpus[to - emu->n_cpus];
	char name[24];

	snprintf(name, sizeof(name), "%u-%u", from, to);
	for (unsigned int i = 0; i < emu->n_cuts; i++)
		if (strcmp(emu->cuts[i], name) == 0)
			return false;
	*ret_type = a && b ? LINK_XGMI : LINK_PCIE;
	if (a && b)
		return a != b && a->hive && a->hive == b->hive;
	if (a)
		return to == a->index % emu->n_cpus;
	return b && from == b->index % emu->n_cpus;
}

/* How many there are. */
static unsigned int write_links(const struct emu *emu, const char *folder, unsigned int node)
{
	unsigned int n = 0, type;

	for (unsigned int to = 0; to < emu->n_cpus + emu->n_gpus; to++) {
		FILE *file;

		if (!is_linked(emu, node, to, &type))
			continue;
		file = open_file(folder, "nodes/%u/io_links/%u/properties", node, n++);
		if (!file)
			continue;
		fprintf(file,
			"type %u\nversion_major 0\nversion_minor 0\nnode_from %u\nnode_to %u\n"
			"weight %u\nmin_latency 0\nmax_latency 0\nmin_bandwidth 312\n"
			"max_bandwidth 16000\nrecommended_transfer_size 0\n"
			"recommended_sdma_engine_id_mask 0\nflags %u\n",
			type, node, to, type == LINK_XGMI ? 15 : 20, type == LINK_XGMI ? 13 : 1);
		fclose(file);
	}
	return n;
}

static void write_bank(const char *folder, unsigned int node, unsigned int heap,
		       unsigned long long size)
{
	FILE *file = open_file(folder, "nodes/%u/mem_banks/0/properties", node);

	if (file) {
		fprintf(file,
			"heap_type %u\nsize_in_bytes %llu\nflags 0\nwidth 4096\nmem_clk_max 1600\n",
			heap, size);
		fclose(file);
	}
}

struct property {
	const char *name;
	unsigned long long value;
};

static void write_properties(const struct emu *emu, const char *folder, unsigned int node,
			     const struct property *properties)
{
	FILE *file = open_file(folder, "nodes/%u/properties", node);

	for (; file && properties->name; properties++) {
		unsigned long long value = properties->value;

		for (unsigned int i = 0; i < emu->n_settings; i++)
			if (emu->settings[i].gpu + emu->n_cpus == node &&
			    strcmp(emu->settings[i].name, properties->name) == 0)
				value = emu->settings[i].value;
		fprintf(file, "%s %llu\n", properties->name, value);
	}
	if (file)
		fclose(file);
}

static void write_gpu(const struct emu *emu, const char *folder, const struct gpu *gpu)
{
	unsigned int node = emu->n_cpus + gpu->index;
	const struct property properties[] = {{"cpu_cores_count", 0},
					      {"simd_count", 416},
					      {"mem_banks_count", 1},
					      {"caches_count", 2},
					      {"io_links_count", write_links(emu, folder, node)},
					      {"p2p_links_count", 0},
					      {"cpu_core_id_base", 0},
					      {"simd_id_base", 2147487744ULL + gpu->index * 8},
					      {"max_waves_per_simd", 8},
					      {"lds_size_in_kb", 64},
					      {"gds_size_in_kb", 0},
					      {"num_gws", 64},
					      {"wave_front_size", 64},
					      {"array_count", 8},
					      {"simd_arrays_per_engine", 1},
					      {"cu_per_simd_array", 16},
					      {"simd_per_cu", 4},
					      {"max_slots_scratch_cu", 32},
					      {"gfx_target_version", 90010},
					      {"vendor_id", 4098},
					      {"device_id", 29708},
					      {"location_id", 256 * (gpu->index + 1)},
					      {"domain", 0},
					      {"drm_render_minor", gpu->minor},
					      {"hive_id", gpu->hive},
					      {"num_sdma_engines", 2},
					      {"num_sdma_xgmi_engines", 3},
					      {"num_sdma_queues_per_engine", 8},
					      {"num_cp_queues", 24},
					      {"max_engine_clk_fcompute", 1700},
					      {"local_mem_size", gpu->vram_size},
					      {"fw_version", 76},
					      {"capability", 740456608},
					      {"debug_prop", 1495},
					      {"sdma_fw_version", 8},
					      {"unique_id", 0x1000ULL + gpu->id},
					      {"num_xcc", 1},
					      {"max_engine_clk_ccompute", 3450},
					      {NULL, 0}};

	write_properties(emu, folder, node, properties);
	write_bank(folder, node, HEAP_PUBLIC, gpu->vram_size);
	put_number(folder, node, "gpu_id", gpu->id);
	for (unsigned int i = 0; i < 2; i++) {
		FILE *cache = open_file(folder, "nodes/%u/caches/%u/properties", node, i);

		if (cache) {
			fprintf(cache, "level %u\nsize %u\ntype 5\n", i + 1, i ? 8192 : 16);
			fclose(cache);
		}
	}
}

static void write_cpu(const struct emu *emu, const char *folder, unsigned int node)
{
	const struct property properties[] = {{"cpu_cores_count", 32},
					      {"simd_count", 0},
					      {"mem_banks_count", 1},
					      {"caches_count", 0},
					      {"io_links_count", write_links(emu, folder, node)},
					      {"p2p_links_count", 0},
					      {"cpu_core_id_base", 32 * node},
					      {"simd_id_base", 0},
					      {"max_waves_per_simd", 0},
					      {"vendor_id", 0},
					      {"device_id", 0},
					      {"drm_render_minor", 0},
					      {"hive_id", 0},
					      {NULL, 0}};

	write_properties(emu, folder, node, properties);
	write_bank(folder, node, HEAP_SYSTEM, 256ULL << 30);
	put_number(folder, node, "gpu_id", 0);
}

int topology_write(const struct emu *emu, const char *folder)
{
	FILE *file = open_file(folder, "generation_id");

	if (!file)
		return -errno;
	fprintf(file, "2\n");
	fclose(file);
	file = open_file(folder, "system_properties");
	if (!file)
		return -errno;
	fprintf(file, "platform_oem 0\nplatform_id 0\nplatform_rev 0\n");
	fclose(file);
	for (unsigned int i = 0; i < emu->n_cpus; i++)
		write_cpu(emu, folder, i);
	for (unsigned int i = 0; i < emu->n_gpus; i++)
		write_gpu(emu, folder, &emu->gpus[i]);
	for (unsigned int i = 0; i < emu->n_cpus + emu->n_gpus; i++) {
		file = open_file(folder, "nodes/%u/name", i);
		if (file) {
			fprintf(file, "%s\n", i < emu->n_cpus ? "" : "aldebaran");
			fclose(file);
		}
	}
	return 0;
}
