// SPDX-License-Identifier: GPL-2.0-only
/*
 * The plugin for processes that compute on AMD GPUs: /dev/kfd, render nodes of AMD's GPUs,
 * dma-bufs. Saved are the state that kfd has of a process, buffers of render nodes with their
 * handles, who shares which, and contents. Not saved: buffers that are memory on the chip or made
 * of a process's memory through a render node, and what other drivers know of a buffer. Needs:
 * Linux with KFD 1.8 (5.19), and CAP_CHECKPOINT_RESTORE.
 *
 * Nodes are told by their driver, and by the paths of the options, so that an emulator may serve
 * them. Documentation/AMDGPU.md, criu-amdgpu-plugin(1); tests: test/test_amdgpu*.py,
 * test/unit/amdgpu.
 */
#include "amdgpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- what is ours ---- */

static const struct criu_match kfd_matches[] = {CRIU_DRIVER("kfd", 0, 0), CRIU_PATH("*/kfd")};
static const struct criu_match render_matches[] = {CRIU_DRIVER("drm", 128, 255),
						   CRIU_PATH("*/renderD[0-9]*")};
static const struct criu_match dmabuf_matches[] = {CRIU_LINK("/dmabuf:"),
						   CRIU_PATH("*/dmabuf/[0-9]*")};

static bool is_in_folder(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return n && strncmp(path, folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static int claims_kfd(struct criu_call *call, const struct criu_candidate *candidate)
{
	return S_ISCHR(candidate->mode) ||
			       strcmp(candidate->path, criu_option_string(call, "kfd")) == 0
		       ? CRIU_HANDLED
		       : CRIU_NOT_MINE;
}

/* Other vendors' GPUs have render nodes, too: the topology has AMD's. */
static int claims_render(struct criu_call *call, const struct criu_candidate *candidate)
{
	const struct amdgpu *gpu = call->context;
	int at = minor_of_path(candidate->path);

	if (at < 0 || !gpu || !topology_by_minor(&gpu->here, (uint32_t)at))
		return CRIU_NOT_MINE;
	/* Of a node under another name we would look at the wrong GPU. */
	if (S_ISCHR(candidate->mode))
		return minor(candidate->rdev) == (unsigned int)at ? CRIU_HANDLED : CRIU_NOT_MINE;
	return is_in_folder(candidate->path, criu_option_string(call, "dri")) ? CRIU_HANDLED
									      : CRIU_NOT_MINE;
}

/* The kernel says which subsystem has exported it. */
static bool is_of_drm(const struct criu_candidate *candidate)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], line[256];
	bool is_drm = candidate->is_mapping;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", candidate->host_pid, candidate->fd);
	file = candidate->is_mapping ? NULL : fopen(path, "re");
	while (file && !is_drm && fgets(line, sizeof(line), file))
		is_drm = strcmp(line, "exp_name:\tdrm\n") == 0;
	return is_drm;
}

static int claims_dmabuf(struct criu_call *call, const struct criu_candidate *candidate)
{
	bool is_ours = strncmp(candidate->path, "/dmabuf:", 8) == 0
			       ? is_of_drm(candidate)
			       : is_in_folder(candidate->path, criu_option_string(call, "dmabuf"));

	return is_ours ? CRIU_HANDLED : CRIU_NOT_MINE;
}

static const struct criu_class classes[N_CLASSES] = {
	[CLASS_KFD] = {.name = "amdgpu.kfd",
		       .matches = kfd_matches,
		       .n_matches = ARRAY_SIZE(kfd_matches),
		       .claims = claims_kfd},
	[CLASS_RENDER] = {.name = "amdgpu.render",
			  .matches = render_matches,
			  .n_matches = ARRAY_SIZE(render_matches),
			  .claims = claims_render},
	[CLASS_DMABUF] = {.name = "amdgpu.dmabuf",
			  .matches = dmabuf_matches,
			  .n_matches = ARRAY_SIZE(dmabuf_matches),
			  .claims = claims_dmabuf},
};

/* clang-format off */
static const struct criu_rule rules[] = {
	{.before = "amdgpu.kfd", .after = "amdgpu.render",
	 .when = CRIU_DUMP | CRIU_RESTORE, .scope = CRIU_SCOPE_TREE},
	{.before = "amdgpu.kfd", .after = "amdgpu.dmabuf",
	 .when = CRIU_DUMP | CRIU_RESTORE, .scope = CRIU_SCOPE_TREE},
	{.before = "amdgpu.render", .after = "amdgpu.dmabuf",
	 .when = CRIU_DUMP | CRIU_RESTORE, .scope = CRIU_SCOPE_TREE},
};

#define CHECK(name_, environment_, help_) \
	{.name = (name_), .type = CRIU_OPTION_BOOL, .standard = "yes", .help = (help_), .environment = (environment_)}

static const struct criu_option options[] = {
	{.name = "kfd", .type = CRIU_OPTION_STRING, .standard = "/dev/kfd",
	 .help = "the node of the compute driver"},
	{.name = "dri", .type = CRIU_OPTION_STRING, .standard = "/dev/dri",
	 .help = "the folder of the render nodes"},
	{.name = "topology", .type = CRIU_OPTION_STRING, .standard = "/sys/class/kfd/kfd/topology",
	 .help = "the folder that describes the GPUs"},
	{.name = "shm", .type = CRIU_OPTION_STRING, .standard = "/dev/shm",
	 .help = "the folder of the runtime's shared memory"},
	{.name = "dmabuf", .type = CRIU_OPTION_STRING, .standard = "",
	 .help = "for emulators: the folder of files that stand for dma-bufs"},
	{.name = "copy", .type = CRIU_OPTION_STRING, .standard = "auto",
	 .help = "contents of buffers go by the GPU's engine (sdma), by mapping them (map), or as it can be (auto)"},
	{.name = "copy-threads", .type = CRIU_OPTION_INT, .standard = "0",
	 .help = "how many buffers are copied at the same time at most; 0: one of each GPU and process, up to 16"},
	{.name = "max-buffer-size", .type = CRIU_OPTION_INT, .standard = "0",
	 .help = "memory for contents on their way, of all threads together; 0: 256M",
	 .environment = "KFD_MAX_BUFFER_SIZE"},
	CHECK("fw-version-check", "KFD_FW_VER_CHECK", "a GPU's firmware must not be older than it was"),
	CHECK("sdma-fw-version-check", "KFD_SDMA_FW_VER_CHECK", "nor that of its copy engine"),
	CHECK("caches-count-check", "KFD_CACHES_COUNT_CHECK", "it must have as many caches"),
	CHECK("num-gws-check", "KFD_NUM_GWS_CHECK", "it must have as much global wave sync"),
	CHECK("vram-size-check", "KFD_VRAM_SIZE_CHECK", "it must have as much memory"),
	CHECK("numa-check", "KFD_NUMA_CHECK", "GPUs of one CPU must be of one CPU again"),
	CHECK("capability-check", "KFD_CAPABILITY_CHECK", "it must have the same capabilities"),
};
/* clang-format on */

/* ---- state ---- */

static void amdgpu_free(struct amdgpu *gpu)
{
	if (!gpu)
		return;
	dump_release(gpu);
	topology_release(&gpu->here);
	topology_release(&gpu->then);
	free(gpu->pairs);
	free(gpu);
}

static bool can_checkpoint(void)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t can = CAP_CLEAR, is_admin = CAP_CLEAR;

	if (caps) {
		cap_get_flag(caps, CAP_CHECKPOINT_RESTORE, CAP_EFFECTIVE, &can);
		cap_get_flag(caps, CAP_SYS_ADMIN, CAP_EFFECTIVE, &is_admin);
		cap_free(caps);
	}
	return can == CAP_SET || is_admin == CAP_SET;
}

/* A host without the driver's topology, or without a GPU in it, has nothing for us. */
static int probe(struct criu_call *call)
{
	const char *way = criu_option_string(call, "copy");
	struct amdgpu *gpu = calloc(1, sizeof(*gpu));
	char why[TOPOLOGY_WHY] = "";
	int err;

	if (!gpu)
		return -ENOMEM;
	err = topology_read(criu_option_string(call, "topology"), &gpu->here, why);
	if (err || !topology_n_gpus(&gpu->here) ||
	    access(criu_option_string(call, "kfd"), F_OK) < 0) {
		amdgpu_free(gpu);
		if (err && err != -ENOENT)
			criu_message(call, CRIU_LEVEL_WARNING, "%s", why);
		return CRIU_ABSENT;
	}
	call->context = gpu;
	if (strcmp(way, "auto") != 0 && strcmp(way, "sdma") != 0 && strcmp(way, "map") != 0)
		return criu_error(call, -EINVAL, "copy: `%s' is none of auto, sdma, map", way);
	if (!can_checkpoint())
		criu_message(call, CRIU_LEVEL_WARNING,
			     "without CAP_CHECKPOINT_RESTORE the driver will refuse");
	return CRIU_ACTIVE;
}

static int adopt(struct criu_call *call, uint32_t id, char *path, size_t size,
		 const struct criu_class **class_of)
{
	int class = saved_adopt(call, id, path, size);

	if (class < 0)
		return CRIU_NOT_MINE;
	*class_of = &classes[class];
	return CRIU_HANDLED;
}

static void end(struct criu_call *call)
{
	if (call->operation == CRIU_RESTORE)
		saved_release(call);
	amdgpu_free(call->context);
	call->context = NULL;
}

/* As probe() says, but for options; loading us is most of what a host without GPUs would notice. */
CRIU_PLUGIN_ABSENT_WITHOUT("/dev/kfd");

CRIU_PLUGIN_EXPORT const struct criu_plugin CRIU_PLUGIN = {
	.abi = CRIU_PLUGIN_ABI,
	.size = sizeof(struct criu_plugin),
	.name = "amdgpu",
	.version = "1.0",
	.about = "processes that compute on AMD GPUs",
	.classes = classes,
	.n_classes = ARRAY_SIZE(classes),
	.rules = rules,
	.n_rules = ARRAY_SIZE(rules),
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.timeout_ms = 600000,
	.probe = probe,
	.pre_dump = {.begin = dump_begin, .task = dump_pause_task},
	.dump_file = dump_file,
	.post_dump = {.task = dump_unpause_task},
	.restore_begin = restore_begin,
	.restore_file = restore_file,
	.update_mapping = restore_mapping,
	.resume_late = resume_task,
	.recover = dump_recover,
	.exit = end,
	.inventory = "amdgpu_plugin",
	.adopt = adopt,
};
