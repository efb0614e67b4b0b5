// SPDX-License-Identifier: GPL-2.0-only
/*
 * An image directory as a whole: from the removal of an older dump to the inventory that makes a
 * new one valid, or to the removal of everything if it failed.
 *
 * Files have their final names from the start, since only the inventory decides. Without
 * IMAGE_DIR_SYNC nothing is flushed: on tmpfs that costs for nothing, and on a disk it is the
 * caller's choice; with it all data is on the disk before the inventory is renamed into place.
 */
#include "images/lib/image-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "images/lib/crc32c.h"

#define INVENTORY_TMP_NAME ".inventory.img.new"
#define PARENT_NAME        "parent"

static struct image_dir *dir_new(int dirfd, bool is_writer, unsigned int flags)
{
	struct image_dir *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return NULL;
	dir->fd = dirfd;
	dir->is_writer = is_writer;
	dir->flags = flags;
	pthread_mutex_init(&dir->lock, NULL);
	pthread_mutex_init(&dir->load_lock, NULL);
	pthread_mutex_init(&dir->begin_lock, NULL);
	return dir;
}

int image_dir_open_write(int dirfd, unsigned int flags, struct image_dir **ret_dir)
{
	struct image_dir *dir = dir_new(dirfd, true, flags);

	if (!dir)
		return -ENOMEM;
	*ret_dir = dir;
	return 0;
}

int image_dir_open_read(int dirfd, unsigned int flags, struct image_dir **ret_dir)
{
	struct image_dir *dir = dir_new(dirfd, false, flags);

	if (!dir)
		return -ENOMEM;
	*ret_dir = dir;
	return 0;
}

void image_dir_set_opener(struct image_dir *dir, image_opener opener, void *context)
{
	dir->opener = opener;
	dir->opener_context = context;
}

int image_dir_fd(const struct image_dir *dir)
{
	return dir->fd;
}

int image_dir_move_fd(struct image_dir *dir, int min)
{
	int fd;

	if (dir->fd >= min)
		return 0;
	fd = fcntl(dir->fd, F_DUPFD_CLOEXEC, min);
	if (fd < 0)
		return image_dir_fail(dir, -errno, "image directory: move its descriptor");
	close(dir->fd);
	dir->fd = fd;
	return 0;
}

void image_dir_free(struct image_dir *dir)
{
	struct thread_error *error;

	if (!dir)
		return;
	if (dir->is_writer && !dir->is_committed)
		image_dir_abort(dir);
	for (size_t i = 0; i < dir->n_written; i++)
		digest_release(&dir->written[i].digest);
	for (size_t i = 0; i < dir->n_digests; i++)
		digest_release(&dir->digests[i]);
	while ((error = dir->errors)) {
		dir->errors = error->next;
		free(error);
	}
	free(dir->written);
	free(dir->slots);
	free(dir->digests);
	if (dir->owns_fd)
		close(dir->fd);
	pthread_mutex_destroy(&dir->lock);
	pthread_mutex_destroy(&dir->load_lock);
	pthread_mutex_destroy(&dir->begin_lock);
	free(dir);
}

int image_dir_open_file(struct image_dir *dir, const char *name, bool is_write)
{
	struct stat st;
	int fd;

	if (dir->opener)
		return dir->opener(dir->opener_context, name, is_write);
	if (!is_write) {
		fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	fd = openat(dir->fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	/* Somebody's fifo or device, which remove_stale() has left alone. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EEXIST;
	}
	return fd;
}

/*
 * Does the file belong to an older dump? Service images are the work directory's business, and a
 * page server that works for this dump has begun its own files on its own.
 */
static bool is_stale(const struct image_dir *dir, const char *name)
{
	uint64_t number;
	int kind = image_kind_of(name, &number);

	if (kind < 0)
		return strcmp(name, INVENTORY_TMP_NAME) == 0 || strcmp(name, PARENT_NAME) == 0;
	if (image_info(kind)->framing == IMAGE_FRAMING_SERVICE)
		return false;
	switch (kind) {
	case IMAGE_CPUINFO:
		/* Also written on its own, by "criu cpuinfo dump". */
		return false;
	case IMAGE_PAGEMAP:
	case IMAGE_SHMEM_PAGEMAP:
	case IMAGE_PAGES:
		return !(dir->flags & IMAGE_DIR_REMOTE_PAGES);
	case IMAGE_DIGESTS:
		return number == 0 || !(dir->flags & IMAGE_DIR_REMOTE_PAGES);
	default:
		return true;
	}
}

/* What is neither a file nor a link was not made by a dump: a folder "plugins", say. */
static bool is_foreign(const struct image_dir *dir, const char *name)
{
	struct stat st;

	return fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode) &&
	       !S_ISLNK(st.st_mode);
}

static int remove_stale(struct image_dir *dir)
{
	_cleanup_closedir_ DIR *stream = NULL;
	struct dirent *entry;
	int fd;

	/* First of all: from here on there is no complete dump in the directory. */
	if (unlinkat(dir->fd, INVENTORY_NAME, 0) < 0 && errno != ENOENT)
		return image_dir_fail(dir, -errno, INVENTORY_NAME ": remove that of an older dump");

	fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream) {
		int err = -errno;

		close_at(&fd);
		return image_dir_fail(dir, err, "image directory: list");
	}
	while ((entry = readdir(stream))) {
		if (!is_stale(dir, entry->d_name) || is_foreign(dir, entry->d_name))
			continue;
		if (unlinkat(dir->fd, entry->d_name, 0) < 0 && errno != ENOENT)
			return image_dir_fail(dir, -errno, "%s: remove that of an older dump",
					      entry->d_name);
	}
	return 0;
}

int image_dir_begin(struct image_dir *dir)
{
	int err;

	if (!dir->is_writer)
		return image_dir_refuse(dir, -EINVAL, "image directory: is open for reading");
	/* Whoever comes second waits: the file it is about to make must not be taken for an old
	 * one. */
	pthread_mutex_lock(&dir->begin_lock);
	if (!dir->has_begun) {
		dir->has_begun = true;
		if (!dir->opener && !(dir->flags & IMAGE_DIR_PARTIAL))
			dir->begin_err = remove_stale(dir);
	}
	err = dir->begin_err;
	pthread_mutex_unlock(&dir->begin_lock);
	return err;
}

bool image_dir_has_digests(const struct image_dir *dir)
{
	return !dir->opener && !(dir->flags & IMAGE_DIR_NO_DIGESTS);
}

/* Where in the table of slots the search for a name begins (FNV-1a). */
static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash;
}

/* The slot that holds the index (plus 1) of the file of that name, or the free one where it
 * belongs. */
static uint32_t *find_slot(struct image_dir *dir, const char *name)
{
	uint32_t at = hash_name(name) & (dir->n_slots - 1);

	while (dir->slots[at] && strcmp(dir->written[dir->slots[at] - 1].digest.name, name) != 0)
		at = (at + 1) & (dir->n_slots - 1);
	return &dir->slots[at];
}

/* Makes room for one file more: slots stay half empty. */
static int grow_written(struct image_dir *dir)
{
	size_t room = dir->room_written ? dir->room_written * 2 : 64;
	struct written *written;
	uint32_t *slots;

	if (dir->n_written < dir->room_written)
		return 0;
	written = realloc(dir->written, room * sizeof(*written));
	if (!written)
		return -ENOMEM;
	dir->written = written;
	slots = calloc(room * 2, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(dir->slots);
	dir->slots = slots;
	dir->n_slots = (uint32_t)room * 2;
	dir->room_written = room;
	for (size_t i = 0; i < dir->n_written; i++)
		*find_slot(dir, written[i].digest.name) = (uint32_t)i + 1;
	return 0;
}

int image_dir_note(struct image_dir *dir, struct digest *digest, bool is_digested)
{
	struct written *written;
	uint32_t *slot;

	pthread_mutex_lock(&dir->lock);
	if (grow_written(dir) < 0) {
		pthread_mutex_unlock(&dir->lock);
		return -ENOMEM;
	}
	slot = find_slot(dir, digest->name);
	if (!*slot) {
		memset(&dir->written[dir->n_written++], 0, sizeof(*dir->written));
		*slot = (uint32_t)dir->n_written;
	}
	written = &dir->written[*slot - 1];
	digest_release(&written->digest);
	written->digest = *digest;
	written->is_digested = is_digested;
	pthread_mutex_unlock(&dir->lock);
	memset(digest, 0, sizeof(*digest));
	return 0;
}

int image_dir_adopt(struct image_dir *dir, const char *name)
{
	struct digest digest = {0};
	int err = image_dir_begin(dir);

	if (err < 0)
		return err;
	if (strlen(name) >= sizeof(digest.name) || strchr(name, '/'))
		return image_dir_refuse(dir, -EINVAL, "%s: is no name for an image", name);
	strcpy(digest.name, name);
	err = image_dir_note(dir, &digest, false);
	return err < 0 ? image_dir_fail(dir, err, "%s: note", name) : 0;
}

int image_dir_write_parent(struct image_dir *dir, const char *path)
{
	int err = image_dir_begin(dir);

	if (err < 0)
		return err;
	if (unlinkat(dir->fd, PARENT_NAME, 0) < 0 && errno != ENOENT)
		return image_dir_fail(dir, -errno, PARENT_NAME ": remove that of an older dump");
	if (symlinkat(path, dir->fd, PARENT_NAME) < 0)
		return image_dir_fail(dir, -errno, PARENT_NAME ": link to %s", path);
	dir->has_parent_link = true;
	return 0;
}

int image_dir_open_parent(struct image_dir *dir, struct image_dir **ret_parent)
{
	int fd = openat(dir->fd, PARENT_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct image_dir *parent;

	if (fd < 0 && errno == ENOENT &&
	    faccessat(dir->fd, PARENT_NAME, F_OK, AT_SYMLINK_NOFOLLOW)) {
		*ret_parent = NULL;
		return 0;
	}
	if (fd < 0)
		return image_dir_fail(dir, -errno, PARENT_NAME ": open");
	parent = dir_new(fd, false, dir->is_writer ? 0 : dir->flags);
	if (!parent) {
		close(fd);
		return -ENOMEM;
	}
	parent->owns_fd = true;
	*ret_parent = parent;
	return 0;
}

void image_dir_abort(struct image_dir *dir)
{
	if (!dir->is_writer || dir->opener)
		return;
	/* A committed dump stops being one before its parts go. */
	if (dir->is_committed && !(dir->flags & IMAGE_DIR_PARTIAL))
		unlinkat(dir->fd, INVENTORY_NAME, 0);
	unlinkat(dir->fd, INVENTORY_TMP_NAME, 0);
	if (dir->has_parent_link)
		unlinkat(dir->fd, PARENT_NAME, 0);
	for (size_t i = 0; i < dir->n_written; i++) {
		if (!is_foreign(dir, dir->written[i].digest.name))
			unlinkat(dir->fd, dir->written[i].digest.name, 0);
		digest_release(&dir->written[i].digest);
	}
	dir->n_written = dir->room_written = 0;
	dir->has_parent_link = false;
	dir->is_committed = false;
}

/* Reads the files whose digest could not be taken while they were written. */
static int digest_remaining(struct image_dir *dir)
{
	for (size_t i = 0; i < dir->n_written; i++) {
		struct digest *digest = &dir->written[i].digest;
		_cleanup_close_ int fd = -1;
		int err;

		if (dir->written[i].is_digested)
			continue;
		fd = openat(dir->fd, digest->name, O_RDONLY | O_CLOEXEC);
		err = fd < 0 ? -errno : digest_of_fd(fd, &digest->size, &digest->crc);
		if (err < 0)
			return image_dir_fail(dir, err, "%s: take its checksum", digest->name);
		digest->has_crc = true;
		dir->written[i].is_digested = true;
	}
	return 0;
}

static int write_digests(struct image_dir *dir, const struct digest *inventory)
{
	struct digest *list;
	size_t n = dir->n_written;
	int err;

	if (!image_dir_has_digests(dir) || (!inventory && !n))
		return 0;
	err = digest_remaining(dir);
	if (err < 0)
		return err;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return image_dir_fail(dir, -ENOMEM, "digests: collect");
	for (size_t i = 0; i < n; i++)
		list[i] = dir->written[i].digest;
	if (inventory)
		list[n++] = *inventory;
	err = digests_write(dir, inventory ? 0 : 1, list, n);
	free(list);
	return err;
}

static int write_all(int fd, const uint8_t *data, size_t length)
{
	while (length) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

static int write_inventory(struct image_dir *dir, const uint8_t *data, size_t length)
{
	const char *name = dir->opener ? INVENTORY_NAME : INVENTORY_TMP_NAME;
	_cleanup_close_ int fd = image_dir_open_file(dir, name, true);
	bool must_sync = dir->flags & IMAGE_DIR_SYNC && !dir->opener;
	int err;

	if (fd < 0)
		return image_dir_fail(dir, fd, INVENTORY_NAME ": create");
	err = write_all(fd, data, length);
	if (err < 0)
		return image_dir_fail(dir, err, INVENTORY_NAME ": write");
	if (dir->opener)
		return 0;
	/* Everything else has to be on the disk before this name is. */
	if (must_sync && syncfs(fd) < 0)
		return image_dir_fail(dir, -errno, "image directory: flush to the disk");
	if (renameat(dir->fd, INVENTORY_TMP_NAME, dir->fd, INVENTORY_NAME) < 0)
		return image_dir_fail(dir, -errno, INVENTORY_NAME ": rename into place");
	if (must_sync && fsync(dir->fd) < 0 && errno != EINVAL && errno != EBADF)
		return image_dir_fail(dir, -errno, "image directory: flush to the disk");
	return 0;
}

/* The whole of the inventory's file. */
static int pack_inventory(struct image_dir *dir, const ProtobufCMessage *inventory,
			  uint8_t **ret_data, size_t *ret_length)
{
	const struct image_info *info = image_info(IMAGE_INVENTORY);
	uint32_t size;
	struct message_fault fault;
	uint8_t *data;

	if (inventory->descriptor != info->entry)
		return image_dir_refuse(dir, -EINVAL, INVENTORY_NAME ": is not given an inventory");
	if (message_check_unpacked(inventory, &fault) < 0)
		return image_dir_refuse(dir, -EINVAL, INVENTORY_NAME ": field %s: %s", fault.field,
					fault.reason);
	size = (uint32_t)protobuf_c_message_get_packed_size(inventory);
	data = malloc(8 + (size_t)size);
	if (!data)
		return image_dir_fail(dir, -ENOMEM, INVENTORY_NAME ": pack");
	memcpy(data, &info->magic, 4);
	memcpy(data + 4, &size, 4);
	protobuf_c_message_pack(inventory, data + 8);
	*ret_data = data;
	*ret_length = 8 + (size_t)size;
	return 0;
}

int image_dir_commit(struct image_dir *dir, const ProtobufCMessage *inventory)
{
	struct digest digest = {.name = INVENTORY_NAME, .has_crc = true};
	_cleanup_free_ uint8_t *data = NULL;
	size_t length = 0;
	int err;

	if (!inventory != !!(dir->flags & IMAGE_DIR_PARTIAL))
		return image_dir_refuse(dir, -EINVAL,
					"image directory: inventory and flags disagree");
	if (dir->n_open)
		return image_dir_refuse(dir, -EBUSY, "image directory: %u images are still open",
					dir->n_open);
	err = image_dir_begin(dir);
	if (err < 0)
		return err;
	if (!inventory) {
		err = write_digests(dir, NULL);
		dir->is_committed = err == 0;
		return err;
	}

	err = pack_inventory(dir, inventory, &data, &length);
	if (err < 0)
		return err;
	digest.size = length;
	digest.crc = crc32c(0, data, length);
	err = write_digests(dir, &digest);
	if (err < 0)
		return err;
	err = write_inventory(dir, data, length);
	dir->is_committed = err == 0;
	return err;
}
