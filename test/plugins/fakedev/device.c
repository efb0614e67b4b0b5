// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handles, buffers and quiet processes. A buffer is a part of the file of the node on which it was
 * made, with a gap after it, as neighbouring mappings of a file become one. What clients write into
 * a mapping stays in the page cache until the kernel writes it back; the first and the last word of
 * a buffer are the device's, whatever is written there.
 */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, GAP = 16 * PAGE };

bool node_by_name(const char *name, struct node *ret_node)
{
	unsigned int number, limit;
	char class_of = name[0];
	int end = -1;

	if (!strchr("abc", class_of) || name[1] < '0' || name[1] > '9')
		return false;
	if (sscanf(name + 1, "%4u%n", &number, &end) != 1 || name[1 + end] ||
	    (name[1] == '0' && name[2]))
		return false;
	limit = class_of == 'c' ? MAX_C_NODES : NODES_OF_CLASS;
	if (number >= limit)
		return false;
	*ret_node = (struct node){.class_of = class_of,
				  .number = number,
				  .ino = (uint64_t)(class_of - 'a' + 1) * 0x10000 + number};
	snprintf(ret_node->name, sizeof(ret_node->name), "%c%u", class_of, number);
	return true;
}

bool node_by_ino(uint64_t ino, struct node *ret_node)
{
	char name[16];

	if (ino < 0x10000 || ino >= 0x40000)
		return false;
	snprintf(name, sizeof(name), "%c%u", 'a' + (int)(ino / 0x10000) - 1,
		 (unsigned int)(ino % 0x10000));
	return node_by_name(name, ret_node);
}

long status_field(pid_t tid, const char *name)
{
	char path[64], line[256];
	size_t len = strlen(name);
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			value = strtol(line + len + 1, NULL, 10);
			break;
		}
	fclose(file);
	return value;
}

uint64_t process_start(pid_t pid)
{
	char path[64], line[1024] = "", *at;
	unsigned long long start = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	at = strrchr(line, ')');
	/* The name of the program is field 2, the time of its start field 22. */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		start = strtoull(at + 1, NULL, 10);
	return start;
}

struct handle *handle_open(struct device *device, const struct node *node, pid_t opener)
{
	struct handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->node = *node;
	handle->opener = opener;
	handle->opener_start = process_start(opener);
	handle->id = ++device->last_handle;
	handle->next = device->handles;
	device->handles = handle;
	return handle;
}

void handle_close(struct device *device, struct handle *handle)
{
	struct handle **at = &device->handles;

	while (*at != handle)
		at = &(*at)->next;
	*at = handle->next;
	buffer_put(device, handle->buffer);
	buffer_put(device, handle->imported);
	free(handle);
}

struct buffer *buffer_new(struct device *device, uint64_t ino, uint64_t size)
{
	struct buffer *buffer = calloc(1, sizeof(*buffer));

	if (!buffer)
		return NULL;
	buffer->data = calloc(1, size);
	if (!buffer->data) {
		free(buffer);
		return NULL;
	}
	buffer->refs = 1;
	buffer->ino = ino;
	buffer->size = size;
	buffer->offset = device->last_offset + GAP;
	device->last_offset = buffer->offset + size;
	buffer->next = device->buffers;
	device->buffers = buffer;
	return buffer;
}

void buffer_put(struct device *device, struct buffer *buffer)
{
	struct buffer **at = &device->buffers;

	if (!buffer || --buffer->refs)
		return;
	while (*at != buffer)
		at = &(*at)->next;
	*at = buffer->next;
	free(buffer->data);
	free(buffer);
}

struct buffer *buffer_by_export(struct device *device, uint32_t number)
{
	struct buffer *buffer = device->buffers;

	while (buffer && (!number || buffer->exported != number))
		buffer = buffer->next;
	return buffer;
}

struct buffer *buffer_at(struct device *device, uint64_t ino, uint64_t offset)
{
	struct buffer *buffer = device->buffers;

	while (buffer && (buffer->ino != ino || offset < buffer->offset ||
			  offset - buffer->offset >= buffer->size))
		buffer = buffer->next;
	return buffer;
}

/* The device's own words are what it wrote last. */
static void put_stamps(struct buffer *buffer)
{
	memcpy(buffer->data, &buffer->stamp, sizeof(buffer->stamp));
	memcpy(buffer->data + buffer->size - sizeof(buffer->stamp), &buffer->stamp,
	       sizeof(buffer->stamp));
}

/* How much of [offset, offset + size) is in the same buffer, or the same gap. */
static size_t span_of(struct device *device, uint64_t ino, const struct buffer *buffer,
		      uint64_t offset, size_t size)
{
	size_t span = 1;

	if (buffer) {
		uint64_t left = buffer->offset + buffer->size - offset;

		return left < size ? left : size;
	}
	/* Buffers and requests begin at pages. */
	span = PAGE - offset % PAGE;
	while (span < size && !buffer_at(device, ino, offset + span))
		span += PAGE;
	return span < size ? span : size;
}

void node_read(struct device *device, uint64_t ino, uint64_t offset, void *data, size_t size)
{
	for (size_t done = 0, span; done < size; done += span) {
		struct buffer *buffer = buffer_at(device, ino, offset + done);
		unsigned char *to = (unsigned char *)data + done;

		span = span_of(device, ino, buffer, offset + done, size - done);
		if (buffer) {
			put_stamps(buffer);
			memcpy(to, buffer->data + (offset + done - buffer->offset), span);
		} else {
			memset(to, 0, span);
		}
	}
}

void node_write(struct device *device, uint64_t ino, uint64_t offset, const void *data, size_t size)
{
	for (size_t done = 0, span; done < size; done += span) {
		struct buffer *buffer = buffer_at(device, ino, offset + done);

		span = span_of(device, ino, buffer, offset + done, size - done);
		if (buffer)
			memcpy(buffer->data + (offset + done - buffer->offset),
			       (const unsigned char *)data + done, span);
	}
}

/* Pids are given again: who has the pid now is another process if it began at another time. */
struct quiet *quiet_of(struct device *device, const struct fakedev_process *process, bool create)
{
	struct quiet **at = &device->quiet, *quiet;
	pid_t pid = (pid_t)process->pid;
	uint64_t start = process_start(pid);

	while ((quiet = *at)) {
		if (process_start(quiet->pid) != quiet->start) {
			*at = quiet->next;
			free(quiet);
			continue;
		}
		if (quiet->pid == pid && quiet->owner == process->owner)
			return quiet;
		at = &quiet->next;
	}
	if (!create || !start)
		return NULL;
	quiet = calloc(1, sizeof(*quiet));
	if (quiet) {
		quiet->pid = pid;
		quiet->start = start;
		quiet->owner = process->owner;
		quiet->next = device->quiet;
		device->quiet = quiet;
	}
	return quiet;
}

static uint32_t quiet_state(struct device *device, pid_t pid, uint64_t start)
{
	uint32_t state = 0;

	for (struct quiet *quiet = device->quiet; quiet; quiet = quiet->next)
		if (quiet->pid == pid && quiet->start == start)
			state |= quiet->state;
	return state;
}

uint32_t handle_state(struct device *device, const struct handle *handle)
{
	return quiet_state(device, handle->opener, handle->opener_start) |
	       (handle->is_halted ? FAKEDEV_HALTED : 0) |
	       (handle->is_running ? FAKEDEV_RUNNING : 0);
}

struct stamp {
	struct stamp *next;
	uint64_t ino, offset, size, value;
};

/*
 * The kernel may ask for a page before it takes what is stored in it, so that is done without the
 * lock.
 */
void device_tick(struct device *device)
{
	struct stamp *stamps = NULL, *stamp;

	pthread_mutex_lock(&device->lock);
	for (struct handle *handle = device->handles; handle; handle = handle->next) {
		struct buffer *buffer = handle->buffer;

		if (handle_state(device, handle) != FAKEDEV_RUNNING)
			continue;
		handle->counter++;
		if (!buffer)
			continue;
		buffer->stamp = handle->counter;
		stamp = malloc(sizeof(*stamp));
		if (!stamp)
			abort();
		*stamp = (struct stamp){stamps, buffer->ino, buffer->offset, buffer->size,
					buffer->stamp};
		stamps = stamp;
	}
	device->is_ticking = true;
	pthread_mutex_unlock(&device->lock);
	while ((stamp = stamps)) {
		stamps = stamp->next;
		device->store(device->context, stamp->ino, stamp->offset, &stamp->value, 8);
		device->store(device->context, stamp->ino, stamp->offset + stamp->size - 8,
			      &stamp->value, 8);
		free(stamp);
	}
	pthread_mutex_lock(&device->lock);
	device->is_ticking = false;
	pthread_cond_broadcast(&device->changed);
	pthread_mutex_unlock(&device->lock);
}

void device_settle(struct device *device)
{
	while (device->is_ticking)
		pthread_cond_wait(&device->changed, &device->lock);
}
