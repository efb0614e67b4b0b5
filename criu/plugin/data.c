// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes that plugins keep in the images under keys of their own: in memory until plugins is
 * written, and from when it was read. Workers may put at the same time.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cr.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

#define DATA_MAX (1u << 20)
#define KEY_MAX  256

static struct plugin_data *find(const struct plugin *plugin, const char *key)
{
	struct plugin_data *data = hash_get(&plugin->data_by_key, hash_str(key));

	while (data && !str_equal(data->key, key))
		data = data->next_of_hash;
	return data;
}

int plugin_data_add(struct cr *cr, struct plugin *plugin, const char *key, const void *bytes,
		    size_t size)
{
	struct plugin_data *data;
	int err = 0;

	if (size > DATA_MAX)
		return -E2BIG;
	if (str_is_empty(key) || strlen(key) > KEY_MAX)
		return -EINVAL;
	pthread_mutex_lock(&cr->plugins->data_lock);
	if (find(plugin, key)) {
		err = -EEXIST;
	} else {
		data = xcalloc(1, sizeof(*data));
		data->key = xstrdup(key);
		data->bytes = xmemdup(size ? bytes : "", size);
		data->size = size;
		plugin->bytes += size;
		data->next_of_hash = hash_get(&plugin->data_by_key, hash_str(key));
		hash_put(&plugin->data_by_key, hash_str(key), data);
		list_add_tail(&plugin->data, &data->node);
	}
	pthread_mutex_unlock(&cr->plugins->data_lock);
	return err;
}

int plugin_data_find(struct cr *cr, const struct plugin *plugin, const char *key,
		     const void **ret_bytes, size_t *ret_size)
{
	const struct plugin_data *data;

	pthread_mutex_lock(&cr->plugins->data_lock);
	data = find(plugin, key);
	pthread_mutex_unlock(&cr->plugins->data_lock);
	if (!data)
		return -ENOENT;
	*ret_bytes = data->bytes;
	*ret_size = data->size;
	return 0;
}

void plugin_data_free(struct plugin *plugin)
{
	struct plugin_data *data, *next;

	list_for_each_entry_safe (data, next, &plugin->data, node) {
		free(data->key);
		free(data->bytes);
		free(data);
	}
	hash_release(&plugin->data_by_key);
}
