// SPDX-License-Identifier: GPL-2.0-only
/*
 * Raw images by descriptor, and the digests of pages files. Pages are written and read by many
 * workers, in pieces of any size and in any order. CRC is linear, so a piece's share in the digest
 * of its chunk is its own CRC carried over the bytes behind it, and shares are put together by XOR;
 * a chunk is done once its bytes have all been seen.
 */
#include "images/lib/image-priv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "compel/base/bits.h"
#include "images/lib/crc32c.h"

int image_fd(struct image *img)
{
	int err = 0;

	if (img->info->entry)
		return image_dir_refuse(img->dir, -EINVAL, "%s: is no raw image", img->name);
	if (img->is_missing)
		return image_fail(img, -ENOENT, "open");
	if (!img->is_writer)
		return img->fd;
	pthread_mutex_lock(&img->lock);
	err = image_start(img);
	if (err >= 0)
		err = image_flush(img);
	img->is_shared_fd = true;
	pthread_mutex_unlock(&img->lock);
	return err < 0 ? err : img->fd;
}

/* The checksum of a chunk from what was gathered of it: the inversions are those of a full chunk.
 */
static uint32_t chunk_crc(uint32_t state)
{
	return ~(state ^ crc32c_shift(UINT32_MAX, IMAGE_CHUNK));
}

/* How many bytes chunk i of a file of that size has. */
static uint64_t chunk_length(uint64_t size, size_t i)
{
	uint64_t start = (uint64_t)i * IMAGE_CHUNK;

	return size > start ? MIN(size - start, (uint64_t)IMAGE_CHUNK) : 0;
}

/* Room for chunk i, with the lock held. */
static int reserve(struct chunks *chunks, size_t i)
{
	size_t n = MAX(i + 1, chunks->n * 2);
	struct chunk *grown;

	if (i < chunks->n)
		return 0;
	grown = realloc(chunks->list, n * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + chunks->n, 0, (n - chunks->n) * sizeof(*grown));
	chunks->list = grown;
	chunks->n = n;
	return 0;
}

/* Adds a piece that lies within chunk i; *ret_chunk is what the chunk has come to. */
static int gather(struct image *img, size_t i, const uint8_t *data, size_t length, uint64_t offset,
		  struct chunk *ret_chunk)
{
	uint64_t behind = IMAGE_CHUNK - offset % IMAGE_CHUNK - length;
	uint32_t share = crc32c_shift(crc32c_state(0, data, length), behind);
	int err;

	pthread_mutex_lock(&img->lock);
	err = reserve(&img->chunks, i);
	if (err >= 0) {
		img->chunks.list[i].state ^= share;
		/* Bytes seen twice spoil the digest; a count above the size of the chunk says so.
		 */
		img->chunks.list[i].seen =
			MIN(img->chunks.list[i].seen + (uint32_t)length, 2 * IMAGE_CHUNK);
		*ret_chunk = img->chunks.list[i];
	}
	pthread_mutex_unlock(&img->lock);
	return err;
}

static int check_range(struct image *img, size_t length, uint64_t offset)
{
	uint64_t end;

	if (img->kind != IMAGE_PAGES)
		return image_dir_refuse(img->dir, -EINVAL, "%s: has no pages", img->name);
	if (__builtin_add_overflow(offset, length, &end) || end > INT64_MAX)
		return image_dir_refuse(img->dir, -EINVAL, "%s: no file has a byte %" PRIu64,
					img->name, offset);
	return 0;
}

int image_pages_digest(struct image *img, const void *data, size_t length, uint64_t offset)
{
	const uint8_t *at = data;
	int err = check_range(img, length, offset);

	if (err < 0 || !image_dir_has_digests(img->dir))
		return err;
	while (length) {
		size_t n = MIN(length, (size_t)(IMAGE_CHUNK - offset % IMAGE_CHUNK));
		struct chunk chunk;

		err = gather(img, offset / IMAGE_CHUNK, at, n, offset, &chunk);
		if (err < 0)
			return image_fail(img, err, "digest");
		at += n;
		offset += n;
		length -= n;
	}
	return 0;
}

int image_pages_write(struct image *img, const void *data, size_t length, uint64_t offset)
{
	int fd = image_fd(img);
	size_t done = 0;

	if (fd < 0)
		return fd;
	if (!img->is_writer)
		return image_dir_refuse(img->dir, -EINVAL, "%s: is open for reading", img->name);
	while (done < length) {
		ssize_t n = pwrite(fd, (const uint8_t *)data + done, length - done,
				   (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return image_fail(img, -errno, "write at byte %" PRIu64, offset + done);
		done += (size_t)n;
	}
	return image_pages_digest(img, data, length, offset);
}

int image_pages_finish(struct image *img, struct digest *digest)
{
	struct stat st;
	size_t n_known = 0;

	if (fstat(img->fd, &st) < 0)
		return -errno;
	digest->has_crc = false;
	digest->size = (uint64_t)st.st_size;
	digest->n_chunks = (digest->size + IMAGE_CHUNK - 1) / IMAGE_CHUNK;
	if (!digest->n_chunks)
		return 0;
	digest->chunks = calloc(digest->n_chunks, sizeof(*digest->chunks));
	digest->is_known = calloc(digest->n_chunks, sizeof(*digest->is_known));
	if (!digest->chunks || !digest->is_known)
		return -ENOMEM;
	for (size_t i = 0; i < digest->n_chunks && i < img->chunks.n; i++) {
		if (img->chunks.list[i].seen != chunk_length(digest->size, i))
			continue;
		digest->chunks[i] = chunk_crc(img->chunks.list[i].state);
		digest->is_known[i] = true;
		n_known++;
	}
	/* Nobody digested anything: the size is still worth comparing. */
	if (!n_known)
		digest->n_chunks = 0;
	return 0;
}

int image_pages_verify(struct image *img, const void *data, size_t length, uint64_t offset)
{
	const uint8_t *at = data;
	const struct digest *digest = img->digest;
	int err = check_range(img, length, offset);

	if (err < 0 || !digest)
		return err;
	while (length) {
		size_t n = MIN(length, (size_t)(IMAGE_CHUNK - offset % IMAGE_CHUNK));
		size_t i = offset / IMAGE_CHUNK;
		struct chunk chunk;

		if (i >= digest->n_chunks)
			return 0;
		if (digest->is_known[i]) {
			err = gather(img, i, at, n, offset, &chunk);
			if (err < 0)
				return image_fail(img, err, "verify");
			if (chunk.seen == chunk_length(digest->size, i) &&
			    chunk_crc(chunk.state) != digest->chunks[i])
				return image_dir_refuse(img->dir, -EBADMSG,
							"%s: chunk %zu at byte %" PRIu64
							" is not what was written (checksum %#x "
							"instead of %#x)",
							img->name, i, (uint64_t)i * IMAGE_CHUNK,
							chunk_crc(chunk.state), digest->chunks[i]);
		}
		at += n;
		offset += n;
		length -= n;
	}
	return 0;
}

int image_pages_read(struct image *img, void *buffer, size_t length, uint64_t offset)
{
	int fd = image_fd(img);
	size_t done = 0;

	if (fd < 0)
		return fd;
	while (done < length) {
		ssize_t n =
			pread(fd, (uint8_t *)buffer + done, length - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return image_fail(img, -errno, "read at byte %" PRIu64, offset + done);
		if (n == 0)
			return image_dir_refuse(img->dir, -EBADMSG,
						"%s: ends at byte %" PRIu64 ", within pages",
						img->name, offset + done);
		done += (size_t)n;
	}
	return image_pages_verify(img, buffer, length, offset);
}
