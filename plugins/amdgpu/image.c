// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of the plugin in the image directory: eight bytes, little endian, that say how much
 * follows, then a message or contents of buffers. Damage is found here: the core compares each file
 * with its digest when it is opened (criu_image_open), and what is said of sizes must be so.
 */
#include "amdgpu.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A message describes at most some million buffers. */
#define MESSAGE_MAX (1ULL << 30)

static int write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

static int read_all(int fd, void *data, size_t size)
{
	char *at = data;

	while (size) {
		ssize_t n = read(fd, at, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ENODATA;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

static int create(struct criu_call *call, const char *name, uint64_t size)
{
	_cleanup_close_ int fd = criu_image_open(call, name);
	const uint64_t head = htole64(size);
	int err = fd < 0 ? fd : write_all(fd, &head, sizeof(head));

	return err ? criu_error(call, err, "%s: create", name) : TAKE_FD(fd);
}

int image_write_message(struct criu_call *call, const char *name, const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *bytes = malloc(size + 1);
	_cleanup_close_ int fd = -1;
	int err;

	if (!bytes)
		return criu_error(call, -ENOMEM, "%s", name);
	fd = create(call, name, size);
	if (fd < 0)
		return fd;
	protobuf_c_message_pack(message, bytes);
	err = write_all(fd, bytes, size);
	return err ? criu_error(call, err, "%s: write", name) : 0;
}

/* Opens it and reads the head. */
static int open_image(struct criu_call *call, const char *name, uint64_t *ret_head,
		      uint64_t *ret_size)
{
	_cleanup_close_ int fd = criu_image_open(call, name);
	struct stat st;
	int err = fd < 0 ? fd : read_all(fd, ret_head, sizeof(*ret_head));

	if (!err && fstat(fd, &st) < 0)
		err = -errno;
	if (err == -ENODATA)
		return criu_error(call, -EBADMSG, "%s: it is cut off in its head", name);
	if (err)
		return criu_error(call, err, "%s: open", name);
	*ret_head = le64toh(*ret_head);
	*ret_size = (uint64_t)st.st_size - IMAGE_HEAD;
	return TAKE_FD(fd);
}

void *image_read_message(struct criu_call *call, const char *name,
			 const ProtobufCMessageDescriptor *descriptor, int *err)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	ProtobufCMessage *message;
	uint64_t head, size;
	_cleanup_close_ int fd = open_image(call, name, &head, &size);

	*err = fd < 0 ? fd : 0;
	if (fd < 0)
		return NULL;
	if (head != size || size > MESSAGE_MAX) {
		*err = criu_error(call, -EBADMSG,
				  "%s: has %llu bytes of message, its head says %llu", name,
				  (unsigned long long)size, (unsigned long long)head);
		return NULL;
	}
	bytes = malloc(size + 1);
	*err = bytes ? read_all(fd, bytes, size) : -ENOMEM;
	if (*err) {
		criu_error(call, *err, "%s: read", name);
		return NULL;
	}
	message = protobuf_c_message_unpack(descriptor, NULL, size, bytes);
	if (!message)
		*err = criu_error(call, -EBADMSG, "%s: is no %s", name, descriptor->name);
	return message;
}

int image_create_pages(struct criu_call *call, const char *name, uint64_t size)
{
	_cleanup_close_ int fd = create(call, name, size);

	if (fd >= 0 && ftruncate(fd, (off_t)(IMAGE_HEAD + size)) < 0)
		return criu_error(call, -errno, "%s: make %llu bytes long", name,
				  (unsigned long long)size);
	return fd < 0 ? fd : TAKE_FD(fd);
}

int image_open_pages(struct criu_call *call, const char *name, uint64_t size, bool is_strict)
{
	uint64_t head, rest;
	_cleanup_close_ int fd = open_image(call, name, &head, &rest);

	if (fd < 0)
		return fd;
	/* CRIU's head of the contents of single buffers means nothing. */
	if (rest != size || (is_strict && head != size))
		return criu_error(
			call, -EBADMSG,
			"%s: has %llu bytes of contents, its head says %llu, its buffers %llu",
			name, (unsigned long long)rest, (unsigned long long)head,
			(unsigned long long)size);
	return TAKE_FD(fd);
}
