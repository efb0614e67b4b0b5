// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading an image, front to back; it may be a pipe. Nothing in it is believed: magic, sizes and
 * messages are checked before they are used, and what is refused is named by file, entry, byte and
 * field.
 */
#include "images/lib/image-priv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "compel/base/bits.h"

bool image_is_missing(const struct image *img)
{
	return img->is_missing;
}

const char *image_file_name(const struct image *img)
{
	return img->name;
}

uint64_t image_offset(struct image *img)
{
	return img->offset;
}

uint64_t image_n_entries(struct image *img)
{
	return img->n_entries;
}

void image_message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

static ssize_t fill(struct image *img)
{
	ssize_t n;

	do
		n = read(img->fd, img->buffer, IMAGE_BUFFER);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return image_fail(img, -errno, "read at byte %" PRIu64, img->offset);
	img->at = 0;
	img->end = (size_t)n;
	return n;
}

/* Passes over bytes the reader has taken. */
static void consume(struct image *img, size_t length)
{
	img->at += length;
	img->offset += length;
}

ssize_t image_read_some(struct image *img, void *buffer, size_t length)
{
	size_t n;

	if (img->is_writer)
		return image_dir_refuse(img->dir, -EINVAL, "%s: is open for writing", img->name);
	if (img->is_missing || !length)
		return 0;
	if (img->at == img->end) {
		ssize_t err = fill(img);

		if (err <= 0)
			return err;
	}
	n = MIN(length, img->end - img->at);
	memcpy(buffer, img->buffer + img->at, n);
	consume(img, n);
	return (ssize_t)n;
}

/* Reads length bytes or up to the end; how many there were. */
static ssize_t read_up_to(struct image *img, void *buffer, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = image_read_some(img, (uint8_t *)buffer + done, length - done);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int check_magic(struct image *img)
{
	uint32_t magic, leading = 0;
	ssize_t n;

	if (img->info->framing == IMAGE_FRAMING_COMMON)
		leading = IMAGE_MAGIC_COMMON;
	if (img->info->framing == IMAGE_FRAMING_SERVICE)
		leading = IMAGE_MAGIC_SERVICE;
	n = read_up_to(img, &magic, sizeof(magic));
	/* Version 1.0 of the format had no leading magics; the kinds' own differ from them. */
	if (n == sizeof(magic) && leading && magic == leading)
		n = read_up_to(img, &magic, sizeof(magic));
	if (n < 0)
		return (int)n;
	if (n != sizeof(magic))
		return image_dir_refuse(img->dir, -EBADMSG, "%s: ends before its magic", img->name);
	if (magic != img->info->magic)
		return image_dir_refuse(img->dir, -EBADMSG,
					"%s: its magic is %#x, that of %s images is %#x", img->name,
					magic, img->info->id, img->info->magic);
	return 0;
}

/* Compares with the digest: all of the file now, of pages only the size. */
static int verify(struct image *img)
{
	int err;

	if (img->kind == IMAGE_DIGESTS)
		return 0;
	err = digests_load(img->dir);
	if (err < 0)
		return err;
	img->digest = digests_find(img->dir, img->name);
	if (!img->digest)
		return 0;
	if (img->is_missing)
		return image_dir_refuse(img->dir, -EBADMSG,
					"%s: is missing, though the dump wrote it", img->name);
	return digest_verify_fd(img->dir, img->digest, img->fd);
}

static int open_reader(struct image *img)
{
	struct stat st;
	int err;

	img->fd = image_dir_open_file(img->dir, img->name, false);
	img->is_missing = img->fd == -ENOENT;
	if (img->fd < 0 && !img->is_missing)
		return image_fail(img, img->fd, "open");
	err = verify(img);
	if (err < 0 || img->is_missing)
		return err;
	if (fstat(img->fd, &st) < 0)
		return image_fail(img, -errno, "stat");
	img->file_size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : UINT64_MAX;
	img->buffer = malloc(IMAGE_BUFFER);
	if (!img->buffer)
		return image_fail(img, -ENOMEM, "open");
	if (!img->info->entry || img->info->framing == IMAGE_FRAMING_BARE)
		return 0;
	return check_magic(img);
}

int image_open(struct image_dir *dir, enum image_kind kind, uint64_t number,
	       struct image **ret_image)
{
	struct image *img = calloc(1, sizeof(*img));
	int err;

	if (!img)
		return image_dir_fail(dir, -ENOMEM, "image: open");
	img->dir = dir;
	img->kind = kind;
	img->info = image_info(kind);
	img->fd = -1;
	if (!img->info || image_name(kind, number, img->name) < 0) {
		free(img);
		return image_dir_refuse(dir, -EINVAL, "image kind %d: cannot be opened", kind);
	}
	pthread_mutex_init(&img->lock, NULL);
	err = open_reader(img);
	if (err < 0) {
		image_close(img);
		return err;
	}
	*ret_image = img;
	return 0;
}

/* The only message of a plugin's image, which says its size in eight bytes. */
static int read_bare_size(struct image *img, uint32_t *ret_size)
{
	uint64_t size;
	ssize_t n;

	if (img->n_entries)
		return 0;
	img->n_entries++;
	img->entry_offset = img->offset;
	n = read_up_to(img, &size, sizeof(size));
	if (n < 0)
		return (int)n;
	if (n != sizeof(size) || size > IMAGE_ENTRY_MAX ||
	    (img->file_size != UINT64_MAX && size != img->file_size - img->offset))
		return image_refuse(img, -EBADMSG, "is not of the size that it says");
	*ret_size = (uint32_t)size;
	return 1;
}

/* How many bytes the next entry has: 1 and *ret_size, 0 at the end of the sequence. */
static int read_size(struct image *img, uint32_t *ret_size)
{
	uint64_t left;
	ssize_t n;

	if (img->info->framing == IMAGE_FRAMING_BARE)
		return read_bare_size(img, ret_size);
	img->entry_offset = img->offset;
	n = read_up_to(img, ret_size, sizeof(*ret_size));
	if (n <= 0)
		return (int)n;
	img->n_entries++;
	if (n != sizeof(*ret_size))
		return image_refuse(img, -EBADMSG, "is torn");
	left = img->file_size - img->offset;
	if (*ret_size > IMAGE_ENTRY_MAX)
		return image_refuse(img, -EBADMSG, "has a size of %u bytes, more than any entry",
				    *ret_size);
	if (img->file_size != UINT64_MAX && *ret_size > left)
		return image_refuse(img, -EBADMSG, "has a size of %u bytes, %" PRIu64 " are left",
				    *ret_size, left);
	return 1;
}

/* The bytes of an entry: in the buffer if they are there already, otherwise in *ret_own. */
static int read_packed(struct image *img, uint32_t size, uint8_t **ret_own,
		       const uint8_t **ret_packed)
{
	ssize_t n;

	if (size <= img->end - img->at) {
		*ret_packed = img->buffer + img->at;
		consume(img, size);
		return 0;
	}
	*ret_own = malloc(size);
	if (!*ret_own)
		return image_fail(img, -ENOMEM, "read an entry of %u bytes", size);
	n = read_up_to(img, *ret_own, size);
	if (n < 0)
		return (int)n;
	if (n != (ssize_t)size)
		return image_refuse(img, -EBADMSG, "is torn: %zd of %u bytes are there", n, size);
	*ret_packed = *ret_own;
	return 0;
}

int image_read_as(struct image *img, const ProtobufCMessageDescriptor *type, void *ret_message)
{
	_cleanup_free_ uint8_t *own = NULL;
	const uint8_t *packed = NULL;
	struct message_fault fault;
	ProtobufCMessage *message;
	uint32_t size;
	int err;

	if (img->is_writer)
		return image_dir_refuse(img->dir, -EINVAL, "%s: is open for writing", img->name);
	if (!type || (type != img->info->entry && type != img->info->rest))
		return image_dir_refuse(img->dir, -EINVAL, "%s: has no such entries", img->name);
	if (img->is_missing)
		return 0;
	err = read_size(img, &size);
	if (err <= 0)
		return err;
	err = read_packed(img, size, &own, &packed);
	if (err < 0)
		return err;
	if (message_check(type, packed, size, &fault) < 0)
		return image_refuse(img, -EBADMSG, "%s field %s, %" PRIu64 " bytes into it: %s",
				    type->name, fault.field[0] ? fault.field : "(unknown)",
				    fault.offset, fault.reason);
	message = protobuf_c_message_unpack(type, NULL, size, packed);
	if (!message)
		return image_refuse(img, -EBADMSG, "is no %s, or memory is short", type->name);
	*(ProtobufCMessage **)ret_message = message;
	return 1;
}

int image_read(struct image *img, void *ret_message)
{
	const struct image_info *info = img->info;
	/* A head, then the others; where both come in turns (IPCNS_MSG) the caller says which. */
	bool is_rest = info->rest && img->n_entries && img->kind != IMAGE_IPCNS_MSG;

	return image_read_as(img, is_rest ? info->rest : info->entry, ret_message);
}

int image_read_one(struct image_dir *dir, enum image_kind kind, uint64_t number, void *ret_message)
{
	_cleanup_image_ struct image *img = NULL;
	int err = image_open(dir, kind, number, &img);

	if (err < 0)
		return err;
	if (img->is_missing)
		return image_fail(img, -ENOENT, "open");
	err = image_read(img, ret_message);
	if (err == 0)
		return image_dir_refuse(dir, -EBADMSG, "%s: has no entry", img->name);
	return err < 0 ? err : 0;
}

int image_read_payload(struct image *img, void *buffer, size_t length)
{
	ssize_t n = read_up_to(img, buffer, length);

	if (n < 0)
		return (int)n;
	if ((size_t)n != length)
		return image_refuse(img, -EBADMSG, "%zd bytes follow it instead of %zu", n, length);
	return 0;
}

/* Takes the next length bytes; they go to fd unless it is negative. */
static int drain(struct image *img, int fd, uint64_t length, uint64_t *ret_copied)
{
	uint64_t copied = 0;

	if (img->is_writer)
		return image_dir_refuse(img->dir, -EINVAL, "%s: is open for writing", img->name);
	while (copied < length) {
		ssize_t n = img->is_missing ? 0 : (ssize_t)(img->end - img->at);

		if (n == 0 && !img->is_missing)
			n = fill(img);
		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		n = (ssize_t)MIN((uint64_t)n, length - copied);
		if (fd >= 0)
			n = write(fd, img->buffer + img->at, (size_t)n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return image_fail(img, -errno, "write its contents out");
		consume(img, (size_t)n);
		copied += (uint64_t)n;
	}
	if (copied < length && length != IMAGE_TO_EOF)
		return image_refuse(img, -EBADMSG,
				    "%" PRIu64 " bytes follow it instead of %" PRIu64, copied,
				    length);
	if (ret_copied)
		*ret_copied = copied;
	return 0;
}

int image_skip_payload(struct image *img, uint64_t length)
{
	return drain(img, -1, length, NULL);
}

int image_copy_to(struct image *img, int fd, uint64_t length, uint64_t *ret_copied)
{
	return drain(img, fd, length, ret_copied);
}
