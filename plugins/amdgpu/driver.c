// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls of the driver. An ioctl that a signal interrupts is made again, until the call of the
 * plugin is cancelled. Where the option "dmabuf" names a folder, dma-bufs are files in it, as an
 * emulator cannot put descriptors into its caller: the numbers that the driver answers with are
 * their names.
 */
#include "amdgpu.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int open_node(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int call_ioctl(struct criu_call *call, int fd, unsigned long request, void *arg)
{
	while (ioctl(fd, request, arg) < 0) {
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
		if (call && criu_is_cancelled(call))
			return -ECANCELED;
	}
	return 0;
}

/* Populated at once, so that who copies does not come back for each page. */
static void *map_node(int fd, uint64_t offset, size_t size, bool is_for_write)
{
	void *at = mmap(NULL, size, is_for_write ? PROT_READ | PROT_WRITE : PROT_READ,
			MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);

	return at == MAP_FAILED ? NULL : at;
}

const struct driver driver = {.open = open_node, .ioctl = call_ioctl, .map = map_node};

/* ---- kfd ---- */

int kfd_check_version(struct criu_call *call, int fd)
{
	struct kfd_version version = {0};
	int err = driver.ioctl(call, fd, KFD_IOC_GET_VERSION, &version);

	if (err)
		return criu_error(call, err, "ask the driver for its version");
	if (version.major == KFD_MAJOR && version.minor >= KFD_MINOR_MIN)
		return 0;
	return criu_error(
		call, -ENOTSUP,
		"the driver has version %u.%u: checkpoint and restore needs %u.%u or later",
		version.major, version.minor, KFD_MAJOR, KFD_MINOR_MIN);
}

int kfd_criu_op(struct criu_call *call, int fd, enum kfd_criu_op op, struct kfd_criu *arg)
{
	arg->op = op;
	return driver.ioctl(call, fd, KFD_IOC_CRIU, arg);
}

/* ---- dma-bufs ---- */

static bool has_folder(struct criu_call *call)
{
	return *criu_option_string(call, "dmabuf") != 0;
}

int dmabuf_open(struct criu_call *call, uint32_t answered)
{
	char path[4096];

	if (!has_folder(call))
		return (int)answered;
	snprintf(path, sizeof(path), "%s/%u", criu_option_string(call, "dmabuf"), answered);
	return driver.open(path);
}

void dmabuf_drop(struct criu_call *call, uint32_t answered)
{
	if (!has_folder(call) && answered != KFD_NO_FD)
		close((int)answered);
}

int drm_export(struct criu_call *call, int fd, uint32_t handle)
{
	struct drm_prime arg = {.handle = handle, .flags = DRM_PRIME_FLAGS, .fd = -1};
	int err = driver.ioctl(call, fd, DRM_IOC_EXPORT, &arg);

	return err ? err : dmabuf_open(call, (uint32_t)arg.fd);
}

int drm_import(struct criu_call *call, int fd, int dmabuf, uint32_t *ret_handle)
{
	struct drm_prime arg = {.fd = dmabuf};
	int err = driver.ioctl(call, fd, DRM_IOC_IMPORT, &arg);

	if (!err)
		*ret_handle = arg.handle;
	return err;
}

int drm_close_handle(struct criu_call *call, int fd, uint32_t handle)
{
	struct drm_close arg = {.handle = handle};

	return driver.ioctl(call, fd, DRM_IOC_CLOSE, &arg);
}

int drm_offset(struct criu_call *call, int fd, uint32_t handle, uint64_t *ret_offset)
{
	union drm_mmap arg = {.in = {.handle = handle}};
	int err = driver.ioctl(call, fd, DRM_IOC_MMAP, &arg);

	if (!err)
		*ret_offset = arg.offset;
	return err;
}

/* ---- names ---- */

void render_path(struct criu_call *call, uint32_t minor, char *path, size_t size)
{
	snprintf(path, size, "%s/renderD%u", criu_option_string(call, "dri"), minor);
}

int minor_of_path(const char *path)
{
	const char *name = strrchr(path, '/');
	char *end;
	unsigned long minor;

	if (!name || strncmp(name, "/renderD", 8) != 0 || name[8] < '0' || name[8] > '9')
		return -1;
	minor = strtoul(name + 8, &end, 10);
	return *end || minor > 0xfffff ? -1 : (int)minor;
}

/* Field 22 of /proc/PID/stat tells a pid that was given again; 0: no such process. */
uint64_t process_start_time(pid_t pid)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], line[1024], *at = NULL;
	uint64_t time = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (file && fgets(line, sizeof(line), file))
		at = strrchr(line, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at && sscanf(at, "%" SCNu64, &time) != 1)
		time = 0;
	return time;
}
