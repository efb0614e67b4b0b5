// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checksums of the images of a directory, kept in images of their own: digests-0 by a dump and
 * digests-1 by a page server that stored pages for it. A directory without them is just not
 * checked; it may come from another implementation. The names have no suffix, as those of
 * statistics: all that ends in .img is known to the decoders of CRIU 4.2. The inventory is the last
 * in the list of a dump: one that lacks it has lost its end.
 */
#include "images/lib/image-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "images/digest.pb-c.h"
#include "images/lib/crc32c.h"

#define SOURCES 2
#define OF_DUMP 0

void digest_release(struct digest *digest)
{
	free(digest->chunks);
	free(digest->is_known);
	memset(digest, 0, sizeof(*digest));
}

int digest_of_fd(int fd, uint64_t *ret_size, uint32_t *ret_crc)
{
	const size_t room = 256 << 10;
	_cleanup_free_ uint8_t *buffer = malloc(room);
	uint64_t size = 0;
	uint32_t crc = 0;

	if (!buffer)
		return -ENOMEM;
	for (;;) {
		ssize_t n = pread(fd, buffer, room, (off_t)size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		crc = crc32c(crc, buffer, (size_t)n);
		size += (uint64_t)n;
	}
	*ret_size = size;
	*ret_crc = crc;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct digest *)a)->name, ((const struct digest *)b)->name);
}

const struct digest *digests_find(const struct image_dir *dir, const char *name)
{
	struct digest key = {0};

	if (!dir->n_digests || strlen(name) >= sizeof(key.name))
		return NULL;
	strcpy(key.name, name);
	return bsearch(&key, dir->digests, dir->n_digests, sizeof(key), compare_names);
}

static int digest_from_entry(struct image *img, const DigestEntry *entry, struct digest *digest)
{
	size_t n = entry->n_chunks;

	if (strlen(entry->name) >= sizeof(digest->name))
		return image_refuse(img, -EBADMSG, "field name: is too long");
	/* Chunks of another size than ours cannot be compared as they are read. */
	if (n && (!entry->has_chunk_size || entry->chunk_size != IMAGE_CHUNK))
		return image_refuse(img, -EBADMSG, "field chunk_size: is not %u", IMAGE_CHUNK);
	if (!n && !entry->has_crc32c && entry->size)
		return image_refuse(img, -EBADMSG, "%s: has no digest", entry->name);
	if (n && n != entry->size / IMAGE_CHUNK + (entry->size % IMAGE_CHUNK != 0))
		return image_refuse(img, -EBADMSG,
				    "field chunks: has %zu elements for %" PRIu64 " bytes", n,
				    entry->size);
	memset(digest, 0, sizeof(*digest));
	strcpy(digest->name, entry->name);
	digest->size = entry->size;
	digest->has_crc = entry->has_crc32c;
	digest->crc = entry->crc32c;
	if (!n)
		return 0;
	digest->chunks = malloc(n * sizeof(*digest->chunks));
	digest->is_known = malloc(n * sizeof(*digest->is_known));
	if (!digest->chunks || !digest->is_known) {
		digest_release(digest);
		return image_fail(img, -ENOMEM, "load");
	}
	digest->n_chunks = n;
	memcpy(digest->chunks, entry->chunks, n * sizeof(*digest->chunks));
	memset(digest->is_known, true, n * sizeof(*digest->is_known));
	for (size_t i = 0; i < entry->n_unknown; i++)
		if (entry->unknown[i] < n)
			digest->is_known[entry->unknown[i]] = false;
	return 0;
}

static int load_source(struct image_dir *dir, unsigned int source)
{
	_cleanup_image_ struct image *img = NULL;
	size_t room = dir->n_digests;
	int err = image_open(dir, IMAGE_DIGESTS, source, &img);
	bool is_whole = source != OF_DUMP;

	while (err >= 0) {
		DigestEntry *entry;

		err = image_read(img, &entry);
		if (err <= 0)
			break;
		if (dir->n_digests == room) {
			struct digest *grown;

			room = room * 2 + 64;
			grown = realloc(dir->digests, room * sizeof(*grown));
			if (!grown) {
				image_message_free(entry);
				return image_fail(img, -ENOMEM, "load");
			}
			dir->digests = grown;
		}
		err = digest_from_entry(img, entry, &dir->digests[dir->n_digests]);
		/* Also what no restore reads: the list is damaged or the directory is. */
		if (err >= 0 && faccessat(dir->fd, entry->name, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
			err = image_refuse(
				img, -EBADMSG,
				"field name: %s is not there: the directory is no longer whole",
				entry->name);
			digest_release(&dir->digests[dir->n_digests]);
		}
		image_message_free(entry);
		if (err < 0)
			break;
		is_whole |= strcmp(dir->digests[dir->n_digests].name, INVENTORY_NAME) == 0;
		dir->digests[dir->n_digests++].source = source;
	}
	if (err >= 0 && !is_whole && !image_is_missing(img))
		return image_refuse(img, -EBADMSG, "the end of the list is missing");
	return err;
}

int digests_load(struct image_dir *dir)
{
	bool is_new;
	int err = 0;

	if (dir->is_writer || dir->opener || dir->flags & IMAGE_DIR_NO_VERIFY)
		return 0;
	pthread_mutex_lock(&dir->load_lock);
	is_new = dir->n_loaded < SOURCES;
	for (; dir->n_loaded < SOURCES && err >= 0; dir->n_loaded += err >= 0)
		err = load_source(dir, dir->n_loaded);
	if (is_new && dir->n_digests)
		qsort(dir->digests, dir->n_digests, sizeof(*dir->digests), compare_names);
	pthread_mutex_unlock(&dir->load_lock);
	return err < 0 ? err : 0;
}

static int write_entry(struct image *img, const struct digest *digest)
{
	DigestEntry entry = DIGEST_ENTRY__INIT;
	_cleanup_free_ uint32_t *unknown = NULL;

	entry.name = (char *)digest->name;
	entry.size = digest->size;
	entry.has_crc32c = digest->has_crc;
	entry.crc32c = digest->crc;
	if (digest->n_chunks) {
		unknown = malloc(digest->n_chunks * sizeof(*unknown));
		if (!unknown)
			return image_fail(img, -ENOMEM, "write");
		entry.has_chunk_size = true;
		entry.chunk_size = IMAGE_CHUNK;
		entry.n_chunks = digest->n_chunks;
		entry.chunks = digest->chunks;
		entry.unknown = unknown;
		for (size_t i = 0; i < digest->n_chunks; i++)
			if (!digest->is_known[i])
				unknown[entry.n_unknown++] = (uint32_t)i;
	}
	return image_write(img, &entry.base);
}

int digests_write(struct image_dir *dir, unsigned int number, const struct digest *list, size_t n)
{
	_cleanup_image_ struct image *img = NULL;
	int err = image_create(dir, IMAGE_DIGESTS, number, &img);

	for (size_t i = 0; i < n && err >= 0; i++)
		err = write_entry(img, &list[i]);
	if (err < 0)
		return err;
	return image_close(TAKE_PTR(img));
}

int digest_verify_fd(struct image_dir *dir, const struct digest *digest, int fd)
{
	uint64_t size;
	uint32_t crc;
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return image_dir_fail(dir, -errno, "%s: stat", digest->name);
	if ((uint64_t)st.st_size != digest->size)
		return image_dir_refuse(dir, -EBADMSG,
					"%s: has %" PRIu64 " bytes, but %" PRIu64 " were written",
					digest->name, (uint64_t)st.st_size, digest->size);
	if (!digest->has_crc)
		return 0;
	err = digest_of_fd(fd, &size, &crc);
	if (err < 0)
		return image_dir_fail(dir, err, "%s: read", digest->name);
	if (crc != digest->crc)
		return image_dir_refuse(dir, -EBADMSG,
					"%s: is not what was written (checksum %#x instead of %#x; "
					"if it was edited on "
					"purpose, remove the digests-*)",
					digest->name, crc, digest->crc);
	return 0;
}

int image_dir_verify(struct image_dir *dir, const char *name)
{
	const struct digest *digest;
	_cleanup_close_ int fd = -1;
	int err = digests_load(dir);

	if (err < 0)
		return err;
	digest = digests_find(dir, name);
	if (!digest)
		return 0;
	fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return image_dir_fail(dir, -errno, "%s: open", name);
	return digest_verify_fd(dir, digest, fd);
}

int image_dir_forget_pages(struct image_dir *dir, uint64_t number, uint64_t offset, uint64_t length)
{
	char name[IMAGE_NAME_MAX];
	struct digest *digest;
	int err = digests_load(dir);

	if (err < 0)
		return err;
	image_name(IMAGE_PAGES, number, name);
	digest = (struct digest *)digests_find(dir, name);
	if (!digest || !length)
		return 0;
	digest->has_crc = false;
	for (uint64_t i = offset / IMAGE_CHUNK;
	     i < digest->n_chunks && i <= (offset + length - 1) / IMAGE_CHUNK; i++)
		digest->is_known[i] = false;
	return 0;
}

/* A number that is not read: the new digests are written under it, then renamed. */
#define NEW_NUMBER SOURCES

static int save_source(struct image_dir *dir, unsigned int source, const struct digest *list,
		       size_t n)
{
	char from[IMAGE_NAME_MAX], to[IMAGE_NAME_MAX];
	_cleanup_image_dir_ struct image_dir *writer = NULL;
	int err = image_dir_open_write(dir->fd, IMAGE_DIR_PARTIAL | IMAGE_DIR_NO_DIGESTS, &writer);

	if (err < 0)
		return image_dir_fail(dir, err, "digests: write");
	err = digests_write(writer, NEW_NUMBER, list, n);
	if (err < 0)
		return image_dir_refuse(dir, err, "%s", image_last_error(writer));
	image_name(IMAGE_DIGESTS, NEW_NUMBER, from);
	image_name(IMAGE_DIGESTS, source, to);
	if (renameat(dir->fd, from, dir->fd, to) < 0)
		return image_dir_fail(dir, -errno, "%s: rename to %s", from, to);
	return image_dir_commit(writer, NULL);
}

int image_dir_save_digests(struct image_dir *dir)
{
	_cleanup_free_ struct digest *list = NULL;
	const struct digest *inventory;
	int err = digests_load(dir);

	if (err < 0 || !dir->n_digests)
		return err;
	list = calloc(dir->n_digests, sizeof(*list));
	if (!list)
		return image_dir_fail(dir, -ENOMEM, "digests: write");
	for (unsigned int source = 0; source < SOURCES && err >= 0; source++) {
		size_t n = 0;

		for (size_t i = 0; i < dir->n_digests; i++)
			if (dir->digests[i].source == source &&
			    strcmp(dir->digests[i].name, INVENTORY_NAME) != 0)
				list[n++] = dir->digests[i];
		inventory = source == OF_DUMP ? digests_find(dir, INVENTORY_NAME) : NULL;
		if (inventory)
			list[n++] = *inventory;
		if (n)
			err = save_source(dir, source, list, n);
	}
	return err;
}
