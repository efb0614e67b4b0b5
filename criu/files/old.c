// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images of releases before files.img: one image a kind of file, each a sequence of what is a
 * member of file_entry today. They are read where files.img is missing, and wrapped.
 */
#include <stdlib.h>

#include "cr.h"
#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/fdinfo.pb-c.h"

static const struct {
	enum image_kind kind;
	FdTypes type;
} old_images[] = {
	{IMAGE_REG_FILES, FD_TYPES__REG},
	{IMAGE_EXT_FILES, FD_TYPES__EXT},
	{IMAGE_NS_FILES, FD_TYPES__NS},
	{IMAGE_EVENTFD_FILE, FD_TYPES__EVENTFD},
	{IMAGE_EVENTPOLL_FILE, FD_TYPES__EVENTPOLL},
	{IMAGE_SIGNALFD, FD_TYPES__SIGNALFD},
	{IMAGE_TIMERFD, FD_TYPES__TIMERFD},
	{IMAGE_INOTIFY_FILE, FD_TYPES__INOTIFY},
	{IMAGE_FANOTIFY_FILE, FD_TYPES__FANOTIFY},
	{IMAGE_PIPES, FD_TYPES__PIPE},
	{IMAGE_FIFO, FD_TYPES__FIFO},
	{IMAGE_UNIXSK, FD_TYPES__UNIXSK},
	{IMAGE_INETSK, FD_TYPES__INETSK},
	{IMAGE_PACKETSK, FD_TYPES__PACKETSK},
	{IMAGE_NETLINK_SK, FD_TYPES__NETLINKSK},
	{IMAGE_TTY_FILES, FD_TYPES__TTY},
	{IMAGE_TUNFILE, FD_TYPES__TUNF},
	{IMAGE_BPFMAP_FILE, FD_TYPES__BPFMAP},
	{IMAGE_PIDFD, FD_TYPES__PIDFD},
};

/* The member of file_entry that takes a message of this type, and its id (each has one). */
static void wrap(FileEntry *entry, ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *id;

	for (unsigned i = 0; i < file_entry__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &file_entry__descriptor.fields[i];

		if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
		    field->descriptor == message->descriptor)
			*(ProtobufCMessage **)((char *)entry + field->offset) = message;
	}
	id = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "id");
	if (id)
		entry->id = *(uint32_t *)((char *)message + id->offset);
}

static int load_image(struct cr *cr, enum image_kind kind, FdTypes type)
{
	_cleanup_image_ struct image *img = NULL;
	ProtobufCMessage *message;
	int err;

	err = image_open(cr->images, kind, 0, &img);
	while (!err && (err = image_read(img, &message)) > 0) {
		FileEntry *entry = xmalloc(sizeof(*entry));

		file_entry__init(entry);
		entry->type = type;
		wrap(entry, message);
		err = file_load_entry(cr, entry);
		if (err)
			return err;
	}
	return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

int files_load_old(struct cr *cr)
{
	for (size_t i = 0; i < ARRAY_SIZE(old_images); i++) {
		int err = load_image(cr, old_images[i].kind, old_images[i].type);

		if (err)
			return err;
	}
	return 0;
}
