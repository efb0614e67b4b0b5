/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of images/lib share. A struct image is one open file in one direction; a struct
 * image_dir knows which files it wrote, or which digests it read, and keeps the errors.
 */
#ifndef IMAGES_LIB_IMAGE_PRIV_H
#define IMAGES_LIB_IMAGE_PRIV_H

#include <pthread.h>
#include <stdarg.h>

#include "images/lib/image.h"

#define IMAGE_MAGIC_COMMON  0x54564319u
#define IMAGE_MAGIC_SERVICE 0x55105940u
#define IMAGE_BUFFER        (64u << 10)

/* A chunk of a pages file: which part of its digest was gathered, over how many bytes. */
struct chunk {
	uint32_t state;
	uint32_t seen;
};

struct chunks {
	struct chunk *list;
	size_t n;
};

#define INVENTORY_NAME "inventory.img"

/* What is known about the contents of a file: written into the digests, or read from them. */
struct digest {
	char name[IMAGE_NAME_MAX];
	/* Digests are kept in an image of their own for a page server: number of it. */
	unsigned int source;
	uint64_t size;
	bool has_crc;
	uint32_t crc;
	size_t n_chunks;
	uint32_t *chunks;
	/* A byte a chunk: is its digest known? */
	bool *is_known;
};

/* A file that was written and that an abort removes. digest.name is its name. */
struct written {
	struct digest digest;
	/* Its digest was taken while it was written; otherwise commit reads the file. */
	bool is_digested;
};

struct thread_error {
	pthread_t thread;
	char text[384];
	struct thread_error *next;
};

struct image_dir {
	int fd;
	bool owns_fd;
	bool is_writer;
	unsigned int flags;
	image_opener opener;
	void *opener_context;

	/* Guards the two below, while an older dump is removed. */
	pthread_mutex_t begin_lock;
	bool has_begun;
	int begin_err;

	/* Guards all below. */
	pthread_mutex_t lock;
	bool is_committed;
	bool has_parent_link;
	unsigned int n_open;
	struct written *written;
	size_t n_written, room_written;
	/* Finds a name in written: see find_slot(). */
	uint32_t *slots;
	uint32_t n_slots;
	struct thread_error *errors;

	/* Guards the loading of digests, from n_loaded images so far; after that they stay as they
	 * are. */
	pthread_mutex_t load_lock;
	unsigned int n_loaded;
	struct digest *digests;
	size_t n_digests;
};

struct image {
	struct image_dir *dir;
	const struct image_info *info;
	enum image_kind kind;
	char name[IMAGE_NAME_MAX];
	bool is_writer;
	bool is_missing;
	/* Somebody else writes through the descriptor: the digest is taken from the file. */
	bool is_shared_fd;
	int fd;

	/* Guards all below, of a writer; of a reader only the chunks. */
	pthread_mutex_t lock;
	uint8_t *buffer;
	size_t at,
		end; /* a reader's unread bytes; a writer's unwritten ones are those before end */
	uint64_t offset;
	uint64_t n_entries;
	uint64_t entry_offset;
	uint64_t file_size; /* of a reader; UINT64_MAX if not known */
	uint32_t crc;
	int err; /* the first failed write: the file is torn from there */
	struct chunks chunks;
	const struct digest *digest;
};

/* What message_check() has against a message. */
struct message_fault {
	char field[128];
	uint64_t offset;
	const char *reason;
};

/*
 * Is data a message of that type, with all its required fields, down to the innermost? 0 or
 * -EBADMSG; only then can protobuf-c unpack it without trouble.
 */
int message_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t length,
		  struct message_fault *ret_fault);

/* Can the message be packed: no required string or message is missing in it? Names the field if
 * not. */
int message_check_unpacked(const ProtobufCMessage *message, struct message_fault *ret_fault);

/* A text for image_last_error() with ": <text of err>" behind it if with_reason. Returns err. */
int image_dir_vfail(struct image_dir *dir, int err, bool with_reason, const char *format,
		    va_list args);
int image_dir_fail(struct image_dir *dir, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int image_dir_refuse(struct image_dir *dir, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, "NAME: " before it. */
int image_fail(struct image *img, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Descriptor for a file of the directory, by the opener if there is one. */
int image_dir_open_file(struct image_dir *dir, const char *name, bool is_write);

/* Notes a file for the digests and for abort; takes what digest points to. */
int image_dir_note(struct image_dir *dir, struct digest *digest, bool is_digested);
bool image_dir_has_digests(const struct image_dir *dir);

/* Loads them at the first call. */
int digests_load(struct image_dir *dir);
int digests_write(struct image_dir *dir, unsigned int number, const struct digest *list, size_t n);
const struct digest *digests_find(const struct image_dir *dir, const char *name);
/* Compares size, and contents if their digest is known as a whole. */
int digest_verify_fd(struct image_dir *dir, const struct digest *digest, int fd);
int digest_of_fd(int fd, uint64_t *ret_size, uint32_t *ret_crc);
void digest_release(struct digest *digest);

/* Opens a writer's file if that has not been done. Call with the image's lock held. */
int image_start(struct image *img);
int image_flush(struct image *img);
/* Turns the chunks gathered into a digest. */
int image_pages_finish(struct image *img, struct digest *digest);

#endif
