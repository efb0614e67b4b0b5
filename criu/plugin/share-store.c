// SPDX-License-Identifier: GPL-2.0-only
/*
 * The values that the tasks of a restore exchange. An entry is made whole and then linked by one
 * store, and never changes or goes away, so that a process that is killed leaves a table that can
 * be read. Of a descriptor, the entry has owner and number: the owner keeps a duplicate in the
 * range of the tool, and others take it from there with pidfd_getfd(2). What the coordinator put
 * before the forks is in every table already. The coordinator itself is found by a pidfd that all
 * inherit, as tasks in a pid namespace cannot name it; tasks in different pid namespaces cannot
 * name each other, and fail.
 */
#include "plugin/share-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "util/fd.h"
#include "util/hash.h"
#include "util/log.h"

static uint64_t key_hash(const char *plugin, const char *key)
{
	return hash_pair(hash_str(plugin), hash_str(key));
}

struct share_entry *share_find(struct share *share, const char *plugin, const char *key)
{
	uint64_t hash = key_hash(plugin, key);
	struct share_entry *entry =
		__atomic_load_n(&share->shared->buckets[hash % SHARE_BUCKETS], __ATOMIC_ACQUIRE);

	for (; entry; entry = entry->next)
		if (entry->hash == hash && strcmp(entry->plugin, plugin) == 0 &&
		    strcmp(entry->key, key) == 0)
			return entry;
	return NULL;
}

static int names_check(struct share *share, const char *plugin, const char *key)
{
	if (strlen(plugin) > SHARE_MAX_NAME || strlen(key) > SHARE_MAX_NAME)
		return log_err(share->cr, -ENAMETOOLONG,
			       "plugin %.64s: key %.64s...: longer than %d bytes", plugin, key,
			       SHARE_MAX_NAME);
	return 0;
}

/* With the lock. */
static int add(struct share *share, const char *plugin, const char *key, int fd, const void *data,
	       size_t size)
{
	size_t plugin_size = strlen(plugin) + 1, key_size = strlen(key) + 1;
	struct share_entry *entry, **bucket;

	if (share_outcome(share))
		return share_outcome(share);
	if (share_find(share, plugin, key))
		return -EEXIST;
	entry = arena_alloc(share->arena, sizeof(*entry) + size + plugin_size + key_size);
	if (!entry)
		return -ENOSPC;
	entry->hash = key_hash(plugin, key);
	entry->owner = share->self;
	entry->pid = getpid();
	entry->fd = fd;
	entry->is_inherited = share->self == share->n - 1 && !share->is_started;
	entry->size = size;
	entry->plugin = memcpy(entry->data + size, plugin, plugin_size);
	entry->key = memcpy(entry->data + size + plugin_size, key, key_size);
	if (size)
		memcpy(entry->data, data, size);
	bucket = &share->shared->buckets[entry->hash % SHARE_BUCKETS];
	entry->next = *bucket;
	__atomic_store_n(bucket, entry, __ATOMIC_RELEASE);
	share_changed(share);
	return 0;
}

static int put(struct share *share, const char *plugin, const char *key, int fd, const void *data,
	       size_t size)
{
	int err;

	share_lock(share);
	err = add(share, plugin, key, fd, data, size);
	share_unlock(share);
	if (err == -ENOSPC)
		return log_err(share->cr, err, "plugin %s: key %s: no room left for %zu bytes",
			       plugin, key, size);
	if (err == -EEXIST)
		return log_err(share->cr, err, "plugin %s: key %s: was put before", plugin, key);
	return err;
}

int share_put_fd(struct share *share, const char *plugin, const char *key, int fd)
{
	_cleanup_close_ int kept = -1;
	int err = names_check(share, plugin, key);

	if (err)
		return err;
	kept = fcntl(fd, F_DUPFD_CLOEXEC, share->first_fd);
	if (kept < 0)
		return log_err(share->cr, -errno, "plugin %s: key %s: keep descriptor %d", plugin,
			       key, fd);
	err = put(share, plugin, key, kept, NULL, 0);
	if (!err)
		(void)TAKE_FD(kept);
	return err;
}

int share_put_bytes(struct share *share, const char *plugin, const char *key, const void *data,
		    size_t size)
{
	int err = names_check(share, plugin, key);

	if (err)
		return err;
	if (size > SHARE_MAX_BYTES)
		return log_err(share->cr, -E2BIG,
			       "plugin %s: key %s: %zu bytes are over the %u "
			       "that a value may have",
			       plugin, key, size, SHARE_MAX_BYTES);
	return put(share, plugin, key, -1, data, size);
}

bool share_has_key(struct share *share, const char *plugin, const char *key)
{
	return share_find(share, plugin, key) != NULL;
}

int share_wait_key(struct share *share, const char *plugin, const char *key)
{
	struct share_wait wait = {.kind = SHARE_WAIT_KEY};
	int err = names_check(share, plugin, key);

	if (err)
		return err;
	memcpy(wait.plugin, plugin, strlen(plugin) + 1);
	memcpy(wait.text, key, strlen(key) + 1);
	return share_wait(share, &wait);
}

static int fetch(struct share *share, const struct share_entry *entry)
{
	_cleanup_close_ int pidfd = -1;

	if (entry->owner == share->self || entry->is_inherited) {
		int fd = fcntl(entry->fd, F_DUPFD_CLOEXEC, share->first_fd);

		return fd < 0 ? -errno : fd;
	}
	if (entry->owner == share->n - 1)
		return pidfd_fetch(share->coordinator, entry->fd);
	pidfd = pidfd_new(entry->pid);
	return pidfd < 0 ? pidfd : pidfd_fetch(pidfd, entry->fd);
}

/* Waits for the value, of which is_fd says the kind. */
static int find_value(struct share *share, const char *plugin, const char *key, bool is_fd,
		      const struct share_entry **ret)
{
	const struct share_entry *entry = NULL;
	int err = share_wait_key(share, plugin, key);

	if (err)
		return err;
	entry = share_find(share, plugin, key);
	if ((entry->fd >= 0) != is_fd)
		return log_err(share->cr, -EINVAL, "plugin %s: key %s: is %s", plugin, key,
			       is_fd ? "bytes, not a descriptor" : "a descriptor, not bytes");
	*ret = entry;
	return 0;
}

int share_get_fd(struct share *share, const char *plugin, const char *key)
{
	const struct share_entry *entry = NULL;
	_cleanup_close_ int fd = -1;
	int err = find_value(share, plugin, key, true, &entry);

	if (err)
		return err;
	fd = fetch(share, entry);
	err = fd < 0 ? fd : fd_move_above(&fd, share->first_fd);
	/* Who was killed meanwhile is the cause, not that it cannot be asked. */
	if (err && share_outcome(share))
		return share_outcome(share);
	if (err)
		return log_err(share->cr, err, "plugin %s: key %s: take it from %s", plugin, key,
			       share->names[entry->owner]);
	return TAKE_FD(fd);
}

ssize_t share_get_bytes(struct share *share, const char *plugin, const char *key, void *data,
			size_t size)
{
	const struct share_entry *entry = NULL;
	int err = find_value(share, plugin, key, false, &entry);

	if (err)
		return err;
	if (size)
		memcpy(data, entry->data, size < entry->size ? size : entry->size);
	return (ssize_t)entry->size;
}

void share_close(struct share *share)
{
	for (size_t i = 0; i < SHARE_BUCKETS; i++) {
		const struct share_entry *entry =
			__atomic_load_n(&share->shared->buckets[i], __ATOMIC_ACQUIRE);

		for (; entry; entry = entry->next)
			if (entry->fd >= 0 && (entry->owner == share->self || entry->is_inherited))
				close(entry->fd);
	}
	if (share->coordinator >= 0)
		close(share->coordinator);
	share->coordinator = -1;
}
