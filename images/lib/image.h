/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Image directories and the images in them: the files a dump leaves and a restore reads. The kinds
 * are listed in images/images.def, the messages in images/<name>.proto (include them as
 * "images/<name>.pb-c.h").
 *
 * A directory is all or nothing. The first byte written removes what an older dump left there, its
 * inventory first; the new inventory comes last, by rename. A directory without inventory.img holds
 * no complete dump, whatever else is in it.
 *
 * Nothing here logs. Functions return 0 or -errno, and the text that says which file, entry, offset
 * and field is fetched by image_last_error(): log that, then pass the error on.
 *
 *	err = image_read(img, &entry);
 *	if (err < 0)
 *		return log_refuse(cr, err, "%s", image_last_error(dir));
 *
 * Threads may use different images, and append to the same one (with image_write_entry() where a
 * payload belongs to the entry). All images of a dump are written by one process, the one that
 * commits; a directory opened for reading may be used after fork().
 */
#ifndef IMAGES_LIB_IMAGE_H
#define IMAGES_LIB_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <protobuf-c/protobuf-c.h>

#include "compel/base/cleanup.h"

enum image_kind {
#define IMAGE(id, pattern, magic, tag, framing, count, entry, rest, payload) IMAGE_##id,
#include "images/images.def"
	IMAGE_KINDS
};

enum image_framing {
	IMAGE_FRAMING_INVENTORY,
	IMAGE_FRAMING_COMMON,
	IMAGE_FRAMING_SERVICE,
	IMAGE_FRAMING_RAW,
	IMAGE_FRAMING_BARE,
};

enum image_count { IMAGE_COUNT_ONE, IMAGE_COUNT_MANY, IMAGE_COUNT_ANY };

/* A line of images.def. entry and rest are NULL where the table says none. */
struct image_info {
	const char *id;
	const char *pattern;
	uint32_t magic;
	const char *tag;
	enum image_framing framing;
	enum image_count count;
	const ProtobufCMessageDescriptor *entry;
	const ProtobufCMessageDescriptor *rest;
	const char *payload;
};

#define IMAGE_NAME_MAX 64
/* A packed entry larger than this is refused. */
#define IMAGE_ENTRY_MAX (128u << 20)
/* Pages files are digested in chunks of this many bytes. */
#define IMAGE_CHUNK (1u << 20)
/* All bytes up to the end of the file. */
#define IMAGE_TO_EOF UINT64_MAX

struct image_dir;
struct image;

const struct image_info *image_info(enum image_kind kind);

/* The file name of an image (number counts only where the name has one). 0, or -EINVAL. */
int image_name(enum image_kind kind, uint64_t number, char ret_name[IMAGE_NAME_MAX]);

/* The kind a file name belongs to and its number (0 if it has none); -ENOENT if it is no image. */
int image_kind_of(const char *name, uint64_t *ret_number);

/*
 * How many bytes of payload follow an entry, and how many zeros that fill them up. IMAGE_TO_EOF:
 * all that the file has left.
 */
int image_payload_length(enum image_kind kind, const ProtobufCMessage *message,
			 uint64_t *ret_length, uint64_t *ret_padding);

/* ---- directories ---- */

/* Flags of image_dir_open_write(). */
enum {
	/* Commit flushes all to the disk before the inventory appears; else that is up to the
	   kernel. */
	IMAGE_DIR_SYNC = 1 << 0,
	/*
	 * Not a dump, just some images in a folder (stats in the work directory, cpuinfo, a page
	 * server): nothing older is removed and commit writes no inventory.
	 */
	IMAGE_DIR_PARTIAL = 1 << 1,
	IMAGE_DIR_NO_DIGESTS = 1 << 2,
	/* A page server may be writing here too: leave page maps, pages and its digests alone. */
	IMAGE_DIR_REMOTE_PAGES = 1 << 3,
};

/* Flags of image_dir_open_read(). */
enum {
	/* Do not compare what is read with its digest. */
	IMAGE_DIR_NO_VERIFY = 1 << 0,
};

/*
 * A directory to dump into. dirfd stays the caller's, and open as long as the directory is in use.
 * Nothing is touched until the first byte of the first image is written.
 */
int image_dir_open_write(int dirfd, unsigned int flags, struct image_dir **ret_dir);

/*
 * A directory to read from; dirfd as above. The caller reads the inventory itself, with
 * image_read_one(), which fails with -ENOENT where there is no complete dump.
 */
int image_dir_open_read(int dirfd, unsigned int flags, struct image_dir **ret_dir);

/*
 * Begins writing: removes the images of an older dump. The first image written does it too; call it
 * before anybody else (a plugin, a page server) writes into the directory.
 */
int image_dir_begin(struct image_dir *dir);

/*
 * Ends a dump whose images are all closed: digests, then the inventory (the base of an
 * InventoryEntry; NULL for a partial directory). After that the directory is a complete dump.
 * -EBUSY if an image is open. After a failure call image_dir_abort().
 */
int image_dir_commit(struct image_dir *dir, const ProtobufCMessage *inventory);

/* Removes all that was written since the directory was opened, also after a commit. */
void image_dir_abort(struct image_dir *dir);

/* Leaves dirfd open; a dump that was not committed is aborted. Images must have been closed. */
void image_dir_free(struct image_dir *dir);
DEFINE_CLEANUP(struct image_dir *, image_dir_free)
#define _cleanup_image_dir_ _cleanup_(image_dir_free_at)

int image_dir_fd(const struct image_dir *dir);

/*
 * Moves the descriptor, the caller's too, to a number of min or more, where it does not stand in
 * the way of others. No image may be open.
 */
int image_dir_move_fd(struct image_dir *dir, int min);

/* What this thread's last failing call met; "" if none failed. Good until the next that fails. */
const char *image_last_error(struct image_dir *dir);

/*
 * Images by other means than files (a streamer): opener returns a descriptor that is read or
 * written from start to end, or -errno; -ENOENT where there is no such image. Then nothing older is
 * removed and there are no digests.
 */
typedef int (*image_opener)(void *context, const char *name, bool is_write);
void image_dir_set_opener(struct image_dir *dir, image_opener opener, void *context);

/*
 * The link "parent": where the pages of an incremental dump go on. open_parent gives a directory
 * that owns its dirfd (image_dir_fd()), or NULL where there is no link.
 */
int image_dir_write_parent(struct image_dir *dir, const char *path);
int image_dir_open_parent(struct image_dir *dir, struct image_dir **ret_parent);

/* A file that somebody else (a plugin) writes here: digested by commit, removed by abort. */
int image_dir_adopt(struct image_dir *dir, const char *name);

/* Compares a file with its digest. 0 also if it has none; -EBADMSG if it differs. */
int image_dir_verify(struct image_dir *dir, const char *name);

/* ---- writing ---- */

/*
 * A new image. Its file comes into being with the first byte, so one that nothing is written to
 * leaves none. It is complete only after image_close() returned 0.
 */
int image_create(struct image_dir *dir, enum image_kind kind, uint64_t number,
		 struct image **ret_image);

/* Appends an entry: base of a message of the kind's type (entry or rest). */
int image_write(struct image *img, const ProtobufCMessage *message);

/* Appends an entry and its payload; no other thread's entry comes between the two. */
int image_write_entry(struct image *img, const ProtobufCMessage *message, const void *payload,
		      size_t length);

/* Appends bytes without header: payload of the entry before, or contents of a raw image. */
int image_write_payload(struct image *img, const void *data, size_t length);

/* Appends length bytes read from fd, or IMAGE_TO_EOF; ret_copied may be NULL. */
int image_copy_from(struct image *img, int fd, uint64_t length, uint64_t *ret_copied);

/* An image of one entry: create, write, close. */
int image_write_one(struct image_dir *dir, enum image_kind kind, uint64_t number,
		    const ProtobufCMessage *message);

/* ---- reading ---- */

/*
 * Opens an image to read it from the start; one that does not exist is an empty sequence. The magic
 * is checked, and the contents too if the directory has a digest of them.
 */
int image_open(struct image_dir *dir, enum image_kind kind, uint64_t number,
	       struct image **ret_image);
bool image_is_missing(const struct image *img);

/*
 * Reads the next entry into a new message, freed by image_message_free(). ret_message is the
 * address of a pointer to the kind's message type. 1 if there was one, 0 at the end (*ret_message
 * is untouched). -EBADMSG: the entry is torn, oversized, not a message of that type, or lacks a
 * field. image_read_as() is for images with two types of entries.
 */
int image_read(struct image *img, void *ret_message);
int image_read_as(struct image *img, const ProtobufCMessageDescriptor *type, void *ret_message);
void image_message_free(void *message);

/* The entry of an image that must have one: -ENOENT without the image, -EBADMSG if it is empty. */
int image_read_one(struct image_dir *dir, enum image_kind kind, uint64_t number, void *ret_message);

/* Reads exactly length bytes; -EBADMSG at an early end. */
int image_read_payload(struct image *img, void *buffer, size_t length);
/* Reads up to length bytes: how many there were, 0 at the end. */
ssize_t image_read_some(struct image *img, void *buffer, size_t length);
int image_skip_payload(struct image *img, uint64_t length);
/* Writes the next length bytes, or IMAGE_TO_EOF, to fd; ret_copied may be NULL. */
int image_copy_to(struct image *img, int fd, uint64_t length, uint64_t *ret_copied);

/* ---- both ---- */

/* Flushes and frees; NULL is fine. The error is that of any write before. */
int image_close(struct image *img);
static inline void image_close_cleanup(struct image *img)
{
	(void)image_close(img);
}
DEFINE_CLEANUP(struct image *, image_close_cleanup)
#define _cleanup_image_ _cleanup_(image_close_cleanup_at)

const char *image_file_name(const struct image *img);
/* Bytes read or written so far, and entries. */
uint64_t image_offset(struct image *img);
uint64_t image_n_entries(struct image *img);

/* Leaves a text for image_last_error(): what a caller finds wrong in the entry read last. */
int image_refuse(struct image *img, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- raw images and pages ---- */

/*
 * The descriptor of a raw image, for pread, pwrite, splice or as somebody's standard output; it
 * stays the image's. This call makes a writer's file. -ENOENT for an image that is missing.
 */
int image_fd(struct image *img);

/*
 * Pages files, from any thread in any order. Each byte is digested once: by image_pages_write(),
 * which writes it too, or by image_pages_digest() where it was written by other means. A chunk that
 * was not digested in full is not verified later. image_pages_verify() is told of bytes that were
 * read (image_pages_read() reads and tells) and compares a chunk once all of it was seen: -EBADMSG
 * names the chunk.
 */
int image_pages_write(struct image *img, const void *data, size_t length, uint64_t offset);
int image_pages_digest(struct image *img, const void *data, size_t length, uint64_t offset);
int image_pages_read(struct image *img, void *buffer, size_t length, uint64_t offset);
int image_pages_verify(struct image *img, const void *data, size_t length, uint64_t offset);

/*
 * For who punches holes into the pages of a complete dump (dedup): forgets the digests of the
 * chunks that a range of pages file number touches, and writes the digests anew. dir is open for
 * reading.
 */
int image_dir_forget_pages(struct image_dir *dir, uint64_t number, uint64_t offset,
			   uint64_t length);
int image_dir_save_digests(struct image_dir *dir);

#endif
