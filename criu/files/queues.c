// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is on the way in pipes, fifos and sockets: pipes-data.img, fifo-data.img, sk-queues.img. The
 * bytes are read by the tasks that put them back; but the images are read to their end before there
 * are tasks, so that what is wrong with them is found in time. Then it is also known which pipes
 * and sockets have none, for which no task needs to look.
 */
#include <errno.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "util/log.h"

#include "images/pipe-data.pb-c.h"
#include "images/sk-packet.pb-c.h"

static uint64_t key_of(enum image_kind kind, uint32_t id)
{
	return (uint64_t)kind << 32 | id;
}

/* Takes the entry. The first one of a pipe is the one that counts. */
static void keep(struct cr *cr, enum image_kind kind, ProtobufCMessage *e)
{
	uint32_t id = kind == IMAGE_SK_QUEUES ? ((SkPacketEntry *)e)->id_for
					      : ((PipeDataEntry *)e)->pipe_id;

	if (hash_get(&cr->files->queues, key_of(kind, id)))
		image_message_free(e);
	else
		hash_put(&cr->files->queues, key_of(kind, id), e);
}

/* Reads an image to its end, its digest included. */
static int load_image(struct cr *cr, enum image_kind kind)
{
	_cleanup_image_ struct image *img = NULL;
	ProtobufCMessage *e;
	int err;

	err = image_open(cr->images, kind, 0, &img);
	while (!err && (err = image_read(img, &e)) > 0) {
		uint64_t length, padding;

		err = image_payload_length(kind, e, &length, &padding);
		keep(cr, kind, e);
		if (!err)
			err = image_skip_payload(img, length + padding);
	}
	return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

int queues_load(struct cr *cr)
{
	static const enum image_kind kinds[] = {IMAGE_PIPES_DATA, IMAGE_FIFO_DATA, IMAGE_SK_QUEUES};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int err = load_image(cr, kinds[i]);

		if (err)
			return err;
	}
	return 0;
}

const void *queues_first(const struct cr *cr, int image_kind, uint32_t id)
{
	return hash_get(&cr->files->queues, key_of((enum image_kind)image_kind, id));
}
