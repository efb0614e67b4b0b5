// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the recording plugin does with the fake device outside of its hooks: processes are locked
 * and paused by way of the device's node "control"; and what a dump that died has left is undone.
 */
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

const char *node_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

const char *file_key(const struct criu_file *file, char key[64])
{
	snprintf(key, 64, "file.%u", file->id);
	return key;
}

const char *image_name(const struct criu_call *call, const struct criu_file *file, char name[64])
{
	snprintf(name, 64, "%s-buffer-%u.img", call->plugin->name, file->id);
	return name;
}

static int control_open(const char *device)
{
	char path[1100];
	int fd;

	snprintf(path, sizeof(path), "%s/control", device);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

uint32_t owner_of_plugin(const struct criu_call *call)
{
	const unsigned char *name = (const unsigned char *)call->plugin->name;

	return (uint32_t)name[0] << 8 | name[1];
}

static int control_ioctl(const char *device, unsigned long what, pid_t pid, uint32_t owner)
{
	struct fakedev_process arg = {(uint32_t)pid, owner};
	int fd = control_open(device), ret;

	if (fd < 0)
		return fd;
	ret = ioctl(fd, what, &arg) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

int device_process(struct criu_call *call, unsigned long what, pid_t pid)
{
	const struct recorder *recorder = recorder_of(call);
	int ret;

	if (!recorder || !*recorder->device)
		return 0;
	ret = control_ioctl(recorder->device, what, pid, owner_of_plugin(call));
	if (ret == 0 || (what == FAKEDEV_RESUME && ret == -EALREADY))
		return 0;
	/* A process that is gone is in no state any more. */
	if (ret == -EALREADY && !start_of(pid))
		return 0;
	return criu_error(call, ret, "ioctl %#lx for pid %d of %s: %s", what, pid, recorder->device,
			  strerror(-ret));
}

/* In clock ticks since boot: field 22 of /proc/PID/stat. */
uint64_t start_of(pid_t pid)
{
	char path[64], text[1024], *at;
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	size = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (size <= 0)
		return 0;
	text[size] = 0;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* Only a tracer may unpause a process; it need not be stopped for that. */
static int unpause_traced(const struct record *record)
{
	int ret;

	if (ptrace(PTRACE_SEIZE, record->pid, NULL, NULL) < 0)
		return errno == ESRCH ? 0 : -errno;
	ret = control_ioctl(record->device, FAKEDEV_UNPAUSE, record->pid, record->owner);
	/* One that is not stopped cannot be detached from; our end does it. */
	if (ptrace(PTRACE_INTERRUPT, record->pid, NULL, NULL) == 0) {
		siginfo_t info;

		waitid(P_PID, (id_t)record->pid, &info, WSTOPPED | __WALL);
		ptrace(PTRACE_DETACH, record->pid, NULL, NULL);
	}
	return ret;
}

int undo_record(const struct record *record)
{
	int ret;

	/* The process is gone, and another one may have its pid. */
	if (start_of(record->pid) != record->start)
		return 0;
	if (record->undo == IS_PAUSED)
		ret = unpause_traced(record);
	else
		ret = control_ioctl(record->device, FAKEDEV_UNLOCK, record->pid, record->owner);
	/* It has been undone already, or the device is gone and with it what was paused. */
	return ret == -EALREADY || ret == -ENOENT || ret == -ENOTCONN ? 0 : ret;
}
