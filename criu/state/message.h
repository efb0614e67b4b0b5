/* SPDX-License-Identifier: GPL-2.0-only */
/* Messages that are built piece by piece: each on the heap, so that image_message_free() of the
 * outermost frees all. */
#ifndef CRIU_STATE_MESSAGE_H
#define CRIU_STATE_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "util/alloc.h"

static inline void *message_new(const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *message = xcalloc(1, type->sizeof_message);

	protobuf_c_message_init(type, message);
	return message;
}

#endif
