// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing an image: magics and entries go through a buffer and are digested as they leave it. The
 * file is made by the first byte. After a write failed the file is torn, so every later call on the
 * image fails the same way.
 */
#include "images/lib/image-priv.h"

#include <errno.h>
#include <string.h>

#include "compel/base/bits.h"
#include "images/lib/crc32c.h"

int image_create(struct image_dir *dir, enum image_kind kind, uint64_t number,
		 struct image **ret_image)
{
	_cleanup_free_ struct image *img = calloc(1, sizeof(*img));

	if (!img)
		return -ENOMEM;
	img->dir = dir;
	img->kind = kind;
	img->info = image_info(kind);
	img->is_writer = true;
	img->fd = -1;
	if (!img->info || image_name(kind, number, img->name) < 0)
		return image_dir_refuse(dir, -EINVAL, "image kind %d: cannot be created", kind);
	if (!dir->is_writer)
		return image_fail(img, -EROFS, "create");
	pthread_mutex_init(&img->lock, NULL);
	pthread_mutex_lock(&dir->lock);
	dir->n_open++;
	pthread_mutex_unlock(&dir->lock);
	*ret_image = TAKE_PTR(img);
	return 0;
}

static int write_out(struct image *img, const uint8_t *data, size_t length)
{
	img->crc = crc32c(img->crc, data, length);
	while (length) {
		ssize_t n = write(img->fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			img->err = -errno;
			return image_fail(img, img->err, "write");
		}
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

int image_flush(struct image *img)
{
	int err;

	if (!img->end)
		return img->err;
	err = write_out(img, img->buffer, img->end);
	img->end = 0;
	return err;
}

/* Appends, with the lock held and the file there. */
static int append(struct image *img, const void *data, size_t length)
{
	int err = 0;

	if (length > IMAGE_BUFFER - img->end)
		err = image_flush(img);
	if (err < 0)
		return err;
	img->offset += length;
	if (length > IMAGE_BUFFER)
		return write_out(img, data, length);
	memcpy(img->buffer + img->end, data, length);
	img->end += length;
	return 0;
}

/* Notes the file at once, so that an abort finds it however far it got. */
static int note(struct image *img)
{
	struct digest digest = {0};

	strcpy(digest.name, img->name);
	return image_dir_note(img->dir, &digest, false);
}

int image_start(struct image *img)
{
	uint32_t magics[2];
	size_t n = 0;
	int err;

	if (img->err || img->fd >= 0)
		return img->err;
	err = image_dir_begin(img->dir);
	if (err < 0)
		return err;
	img->buffer = malloc(IMAGE_BUFFER);
	if (!img->buffer)
		return image_fail(img, -ENOMEM, "create");
	err = note(img);
	img->fd = err < 0 ? err : image_dir_open_file(img->dir, img->name, true);
	if (img->fd < 0) {
		img->err = img->fd;
		return image_fail(img, img->err, "create");
	}

	if (img->info->framing == IMAGE_FRAMING_COMMON)
		magics[n++] = IMAGE_MAGIC_COMMON;
	if (img->info->framing == IMAGE_FRAMING_SERVICE)
		magics[n++] = IMAGE_MAGIC_SERVICE;
	if (img->info->entry && img->info->framing != IMAGE_FRAMING_BARE)
		magics[n++] = img->info->magic;
	return n ? append(img, magics, n * sizeof(*magics)) : 0;
}

static int append_entry(struct image *img, const ProtobufCMessage *message, size_t size)
{
	_cleanup_free_ uint8_t *packed = NULL;
	uint32_t header = (uint32_t)size;
	uint64_t bare = size;
	int err;

	img->entry_offset = img->offset;
	if (img->info->framing == IMAGE_FRAMING_BARE)
		err = append(img, &bare, sizeof(bare));
	else
		err = append(img, &header, sizeof(header));
	if (err < 0)
		return err;
	img->n_entries++;
	/* Straight into the buffer where it fits. */
	if (size > IMAGE_BUFFER - img->end)
		err = image_flush(img);
	if (err < 0)
		return err;
	if (size <= IMAGE_BUFFER) {
		protobuf_c_message_pack(message, img->buffer + img->end);
		img->end += size;
		img->offset += size;
		return 0;
	}
	packed = malloc(size);
	if (!packed)
		return image_fail(img, img->err = -ENOMEM, "pack an entry of %zu bytes", size);
	protobuf_c_message_pack(message, packed);
	return append(img, packed, size);
}

/* What would make an image that cannot be read again is a mistake of the caller: -EINVAL. */
static int check_entry(struct image *img, const ProtobufCMessage *message, size_t *ret_size)
{
	struct message_fault fault;

	if (!img->is_writer)
		return image_dir_refuse(img->dir, -EINVAL, "%s: is open for reading", img->name);
	if (message->descriptor != img->info->entry && message->descriptor != img->info->rest)
		return image_dir_refuse(img->dir, -EINVAL, "%s: %s is no entry of it", img->name,
					message->descriptor->name);
	if (message_check_unpacked(message, &fault) < 0)
		return image_dir_refuse(img->dir, -EINVAL, "%s: field %s: %s", img->name,
					fault.field, fault.reason);
	*ret_size = protobuf_c_message_get_packed_size(message);
	if (*ret_size > IMAGE_ENTRY_MAX)
		return image_dir_refuse(img->dir, -EFBIG, "%s: an entry of %zu bytes is too large",
					img->name, *ret_size);
	return 0;
}

int image_write(struct image *img, const ProtobufCMessage *message)
{
	size_t size;
	int err = check_entry(img, message, &size);

	if (err < 0)
		return err;
	pthread_mutex_lock(&img->lock);
	err = image_start(img);
	if (err >= 0)
		err = append_entry(img, message, size);
	pthread_mutex_unlock(&img->lock);
	return err;
}

int image_write_entry(struct image *img, const ProtobufCMessage *message, const void *payload,
		      size_t length)
{
	static const uint8_t zeros[8];
	uint64_t announced, padding;
	size_t size;
	int err = check_entry(img, message, &size);

	if (err < 0)
		return err;
	err = image_payload_length(img->kind, message, &announced, &padding);
	if (err < 0 || (announced != length && announced != IMAGE_TO_EOF))
		return image_dir_refuse(img->dir, -EINVAL,
					"%s: the entry does not announce %zu bytes of payload",
					img->name, length);
	pthread_mutex_lock(&img->lock);
	err = image_start(img);
	if (err >= 0)
		err = append_entry(img, message, size);
	if (err >= 0)
		err = append(img, payload, length);
	if (err >= 0)
		err = append(img, zeros, (size_t)padding);
	pthread_mutex_unlock(&img->lock);
	return err;
}

int image_write_payload(struct image *img, const void *data, size_t length)
{
	int err;

	if (!img->is_writer)
		return image_dir_refuse(img->dir, -EINVAL, "%s: is open for reading", img->name);
	if (!length)
		return 0;
	pthread_mutex_lock(&img->lock);
	err = image_start(img);
	if (err >= 0)
		err = append(img, data, length);
	pthread_mutex_unlock(&img->lock);
	return err;
}

/* Reads from fd into the buffer; the number of bytes, 0 at the end. */
static ssize_t append_from(struct image *img, int fd, uint64_t length)
{
	ssize_t n;
	int err = 0;

	if (img->end == IMAGE_BUFFER)
		err = image_flush(img);
	if (err < 0)
		return err;
	do
		n = read(fd, img->buffer + img->end,
			 MIN(length, (uint64_t)(IMAGE_BUFFER - img->end)));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return image_fail(img, -errno, "read what belongs into it");
	img->end += (size_t)n;
	img->offset += (uint64_t)n;
	return n;
}

int image_copy_from(struct image *img, int fd, uint64_t length, uint64_t *ret_copied)
{
	uint64_t copied = 0;
	int err;

	if (!img->is_writer)
		return image_dir_refuse(img->dir, -EINVAL, "%s: is open for reading", img->name);
	pthread_mutex_lock(&img->lock);
	err = image_start(img);
	while (err >= 0 && copied < length) {
		ssize_t n = append_from(img, fd, length - copied);

		if (n == 0 && length != IMAGE_TO_EOF)
			err = image_dir_refuse(img->dir, -ENODATA,
					       "%s: what belongs into it ends after %llu bytes",
					       img->name, (unsigned long long)copied);
		if (n < 0)
			err = (int)n;
		if (n <= 0)
			break;
		copied += (uint64_t)n;
	}
	pthread_mutex_unlock(&img->lock);
	if (err >= 0 && ret_copied)
		*ret_copied = copied;
	return err;
}

int image_write_one(struct image_dir *dir, enum image_kind kind, uint64_t number,
		    const ProtobufCMessage *message)
{
	_cleanup_image_ struct image *img = NULL;
	int err = image_create(dir, kind, number, &img);

	if (err >= 0)
		err = image_write(img, message);
	return err < 0 ? err : image_close(TAKE_PTR(img));
}

/* The digest of a file now complete replaces the note that it exists. */
static int finish(struct image *img)
{
	int err = image_flush(img);
	struct digest digest = {.size = img->offset, .has_crc = true, .crc = img->crc};

	if (err < 0 || !image_dir_has_digests(img->dir))
		return err;
	strcpy(digest.name, img->name);
	if (img->kind == IMAGE_PAGES)
		err = image_pages_finish(img, &digest);
	if (err >= 0)
		err = image_dir_note(img->dir, &digest,
				     !img->is_shared_fd || img->kind == IMAGE_PAGES);
	if (err < 0) {
		digest_release(&digest);
		return image_fail(img, err, "note its checksum");
	}
	return 0;
}

int image_close(struct image *img)
{
	int err = 0;

	if (!img)
		return 0;
	if (img->is_writer) {
		if (img->fd >= 0)
			err = finish(img);
		pthread_mutex_lock(&img->dir->lock);
		img->dir->n_open--;
		pthread_mutex_unlock(&img->dir->lock);
	}
	close_at(&img->fd);
	free(img->buffer);
	free(img->chunks.list);
	pthread_mutex_destroy(&img->lock);
	free(img);
	return err;
}
