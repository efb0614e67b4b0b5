/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads an image of any kind to its end, by what images.def says of it, and writes it anew if asked
 * to. */
#ifndef TEST_UNIT_IMAGES_WALK_H
#define TEST_UNIT_IMAGES_WALK_H

#include <errno.h>
#include <stdlib.h>

#include "images/all.pb-c.h"
#include "images/lib/image.h"

static inline int walk_payload(struct image *img, enum image_kind kind,
			       const ProtobufCMessage *message, struct image *out)
{
	uint64_t length, padding, copied = 0;
	uint8_t buffer[4096];
	int err = image_payload_length(kind, message, &length, &padding);

	if (err < 0)
		return err;
	if (length != IMAGE_TO_EOF)
		length += padding;
	while (copied < length) {
		size_t want = length - copied < sizeof(buffer) ? length - copied : sizeof(buffer);
		ssize_t n = image_read_some(img, buffer, want);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return length == IMAGE_TO_EOF
				       ? 0
				       : image_refuse(img, -EBADMSG, "payload is torn");
		if (out)
			err = image_write_payload(out, buffer, (size_t)n);
		if (err < 0)
			return err;
		copied += (uint64_t)n;
	}
	return 0;
}

static inline int walk_entry(struct image *img, enum image_kind kind,
			     const ProtobufCMessageDescriptor *type, struct image *out)
{
	ProtobufCMessage *message;
	uint32_t n_messages = 0;
	int err = image_read_as(img, type, &message);

	if (err <= 0)
		return err;
	if (out)
		err = image_write(out, message);
	if (err >= 0)
		err = walk_payload(img, kind, message, out);
	if (type == &ipc_msg_entry__descriptor)
		n_messages = ((IpcMsgEntry *)message)->qnum;
	image_message_free(message);
	for (; n_messages && err >= 0; n_messages--) {
		err = walk_entry(img, kind, &ipc_msg__descriptor, out);
		if (err == 0)
			return image_refuse(img, -EBADMSG, "fewer messages follow than it says");
	}
	return err < 0 ? err : 1;
}

/* 0, or the -errno with which the image was refused. */
static inline int walk_image(struct image *img, enum image_kind kind, struct image *out)
{
	const struct image_info *info = image_info(kind);
	uint64_t n = 0;
	int err;

	if (!info->entry) {
		uint8_t buffer[4096];
		ssize_t got;

		while ((got = image_read_some(img, buffer, sizeof(buffer))) > 0)
			if (out && (err = image_write_payload(out, buffer, (size_t)got)) < 0)
				return err;
		return (int)got;
	}
	do {
		bool is_rest = n++ && info->rest && kind != IMAGE_IPCNS_MSG;

		err = walk_entry(img, kind, is_rest ? info->rest : info->entry, out);
	} while (err > 0);
	return err;
}

#endif
