// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin without a descriptor, of the interface before v0.2: only the symbols cr_plugin_*, with
 * the arguments they had then (init and fini none, restore_file no flag for another try). Character
 * devices whose path CRIU_LEGACY_MATCH names are its own. Log: CRIU_V02_LOG, plugin=legacy.
 */
#include "v02.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

extern int criu_get_image_dir(void);

static int is_ours(int fd, char path[1024])
{
	const char *match = getenv("CRIU_LEGACY_MATCH");
	char name[64];
	ssize_t size;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	size = readlink(name, path, 1023);
	path[size < 0 ? 0 : size] = 0;
	return match && strcmp(path, match) == 0;
}

int cr_plugin_init(void)
{
	v02_line("legacy", "init", "-");
	return 0;
}

void cr_plugin_fini(void)
{
	v02_line("legacy", "exit", "-");
}

int cr_plugin_dump_file(int fd, int id)
{
	char path[1024], name[64];
	int ours = is_ours(fd, path), image;

	v02_line("legacy", "DUMP_EXT_FILE", "file=%d path=%s", id, path);
	if (!ours)
		return -ENOTSUP;
	snprintf(name, sizeof(name), "legacy-file-%d.img", id);
	image = openat(criu_get_image_dir(), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (image < 0)
		return -errno;
	if (write(image, path, sizeof(path)) != sizeof(path)) {
		close(image);
		return -EIO;
	}
	close(image);
	return 0;
}

int cr_plugin_restore_file(int id)
{
	char path[1024], name[64];
	ssize_t size;
	int image, fd;

	v02_line("legacy", "RESTORE_EXT_FILE", "file=%d", id);
	snprintf(name, sizeof(name), "legacy-file-%d.img", id);
	image = openat(criu_get_image_dir(), name, O_RDONLY | O_CLOEXEC);
	if (image < 0)
		return -ENOTSUP;
	size = read(image, path, sizeof(path));
	close(image);
	if (size != sizeof(path))
		return -EIO;
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int cr_plugin_handle_device_vma(int fd, const struct stat *st)
{
	char path[1024];
	int ours = is_ours(fd, path);

	v02_line("legacy", "HANDLE_DEVICE_VMA", "path=%s", path);
	return ours ? 0 : -ENOTSUP;
}

int cr_plugin_update_vma_map(const char *path, uint64_t addr, uint64_t old_pgoff,
			     uint64_t *new_pgoff, int *plugin_fd)
{
	v02_line("legacy", "UPDATE_VMA_MAP", "path=%s start=%llu", path, (unsigned long long)addr);
	*new_pgoff = old_pgoff;
	return 1;
}

int cr_plugin_resume_devices_late(int pid)
{
	v02_line("legacy", "RESUME_DEVICES_LATE", "host=%d", pid);
	return 0;
}

int cr_plugin_pause_devices(int pid)
{
	v02_line("legacy", "PAUSE_DEVICES", "host=%d", pid);
	return 0;
}

int cr_plugin_checkpoint_devices(int pid)
{
	v02_line("legacy", "CHECKPOINT_DEVICES", "host=%d", pid);
	return 0;
}

int cr_plugin_post_forking(void)
{
	v02_line("legacy", "POST_FORKING", "-");
	return 0;
}

int cr_plugin_restore_init(void)
{
	v02_line("legacy", "RESTORE_INIT", "-");
	return 0;
}

int cr_plugin_dump_devices_late(int id)
{
	v02_line("legacy", "DUMP_DEVICES_LATE", "host=%d", id);
	return 0;
}
