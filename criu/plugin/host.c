// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a plugin may call, from within a hook. The call it hands back leads to everything; nothing
 * here trusts more of it than that.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/lib/image.h"
#include "plugin/priv.h"
#include "plugin/share.h"

#include "run.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/report.h"
#include "util/str.h"
#include "util/time.h"

#define RECORD_MAX 4096

static struct call *call_of(struct criu_call *call)
{
	return call->core;
}

/* ---- messages ---- */

void criu_message(struct criu_call *call, enum criu_level level, const char *format, ...)
{
	struct call *self = call_of(call);
	char where[256], text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	plugin_call_describe(self, where, sizeof(where));
	log_emit(self->cr->log, MIN(MAX((int)level, (int)LOG_ERROR), (int)LOG_DEBUG), __FILE__,
		 __LINE__, "%s: %s", where, text);
}

int criu_error(struct criu_call *call, int err, const char *format, ...)
{
	struct call *self = call_of(call);
	char where[256], text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	plugin_call_describe(self, where, sizeof(where));
	if (err >= 0)
		err = -EIO;
	log_err(self->cr, err, "%s: %s", where, text);
	if (self->cr->report)
		report_plugin_set(self->cr->report, self->plugin->decl.name);
	self->has_said = true;
	return err;
}

/* ---- time ---- */

unsigned int criu_time_left(struct criu_call *call)
{
	uint64_t now = time_now_us(), end = call_of(call)->deadline_us;

	return now >= end ? 0 : (unsigned int)((end - now + 999) / 1000);
}

bool criu_is_cancelled(struct criu_call *call)
{
	const struct call *self = call_of(call);

	/* A closing hook is what cancelling leads to. */
	return self->is_overdue || !criu_time_left(call) ||
	       (!self->view.outcome && plan_is_cancelled(self->cr));
}

/* ---- options ---- */

static const struct plugin_option *find_option(struct criu_call *call, const char *name,
					       enum criu_option_type type)
{
	const struct plugin *plugin = call_of(call)->plugin;

	for (size_t i = 0; plugin->options && i < plugin->decl.n_options; i++)
		if (str_equal(plugin->options[i].decl->name, name))
			return plugin->options[i].decl->type == type ? &plugin->options[i] : NULL;
	return NULL;
}

bool criu_option_bool(struct criu_call *call, const char *name)
{
	const struct plugin_option *option = find_option(call, name, CRIU_OPTION_BOOL);

	return option && option->yes;
}

int64_t criu_option_int(struct criu_call *call, const char *name)
{
	const struct plugin_option *option = find_option(call, name, CRIU_OPTION_INT);

	return option ? option->number : 0;
}

const char *criu_option_string(struct criu_call *call, const char *name)
{
	const struct plugin_option *option = find_option(call, name, CRIU_OPTION_STRING);

	return option && option->text ? option->text : "";
}

/* ---- images ---- */

int criu_data_put(struct criu_call *call, const char *key, const void *data, size_t size)
{
	struct call *self = call_of(call);

	if (self->view.operation != CRIU_DUMP || !self->cr->images)
		return -EPERM;
	return plugin_data_add(self->cr, self->plugin, key, data, size);
}

int criu_data_get(struct criu_call *call, const char *key, const void **data, size_t *size)
{
	/* recover() has no images. */
	if (!call_of(call)->cr->plugins)
		return -EPERM;
	return plugin_data_find(call_of(call)->cr, call_of(call)->plugin, key, data, size);
}

/* Those of plugins are among the kinds as well, so that other tools know them. */
static bool is_core_image(const char *name)
{
	uint64_t number;
	int kind = image_kind_of(name, &number);

	return kind >= 0 && (kind < IMAGE_AMDGPU_KFD || kind > IMAGE_AMDGPU_DRM_PAGES);
}

int criu_image_open(struct criu_call *call, const char *name)
{
	struct cr *cr = call_of(call)->cr;
	int fd, err;

	if (!*name || *name == '.' || strchr(name, '/') || strlen(name) > NAME_MAX ||
	    is_core_image(name))
		return -EINVAL;
	if (!cr->images)
		return -EPERM;
	if (call->operation == CRIU_RESTORE) {
		err = image_dir_verify(cr->images, name);
		if (err)
			return criu_error(call, err, "%s", image_last_error(cr->images));
		fd = openat(image_dir_fd(cr->images), name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		return fd < 0 ? -errno : fd;
	}
	err = plugin_image_note(cr, call_of(call)->plugin, name);
	if (err)
		return err;
	fd = openat(image_dir_fd(cr->images), name,
		    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

int criu_file_borrow(struct criu_call *call, const struct criu_file *file)
{
	struct cr *cr = call_of(call)->cr;

	if (call->operation != CRIU_DUMP || !cr->plugins->borrow)
		return -EPERM;
	return cr->plugins->borrow(cr, file->id);
}

/* ---- journal ---- */

static char *to_hex(const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;
	char *text = malloc(2 * size + 1);

	for (size_t i = 0; text && i < size; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	if (text)
		text[2 * size] = 0;
	return text;
}

int criu_journal(struct criu_call *call, const void *record, size_t size)
{
	struct call *self = call_of(call);
	_cleanup_free_ char *hex = NULL;
	const char *fields[3];
	int id;

	if (size > RECORD_MAX)
		return -E2BIG;
	if (!self->plugin->decl.recover)
		return criu_error(call, -EINVAL, "makes a journal record and has no recover()");
	hex = to_hex(record, size);
	if (!hex)
		return -ENOMEM;
	fields[0] = self->plugin->path;
	fields[1] = self->plugin->decl.name;
	fields[2] = hex;
	id = undo_add(self->cr, "plugin", fields, ARRAY_SIZE(fields));
	if (id > 0)
		plugin_journal_note(self, id);
	return id;
}

void criu_journal_drop(struct criu_call *call, int id)
{
	if (id > 0)
		undo_forget(call_of(call)->cr, id);
}

/* ---- restore: waiting and exchange ---- */

static int wait_for(struct criu_call *call, const char *what, bool is_class)
{
	struct call *self = call_of(call);

	if (!str_equal(self->view.hook, "restore_file"))
		return criu_error(call, -EPROTO, "only restore_file may wait this way");
	if (!what || strlen(what) >= sizeof(self->waits_for))
		return criu_error(call, -EINVAL, "waits for something without a name");
	strcpy(self->waits_for, what);
	self->waits_for_class = is_class;
	return CRIU_WAIT;
}

int criu_wait_key(struct criu_call *call, const char *key)
{
	return wait_for(call, key, false);
}

int criu_wait_class(struct criu_call *call, const char *class_name)
{
	return wait_for(call, class_name, true);
}

static struct share *share_of(const struct call *self)
{
	const struct plugins *plugins = self->cr->plugins;

	/* Behind stage MAPPINGS nobody is there any more who could put something. */
	return plugins && !plugins->has_left ? plugins->share : NULL;
}

/* Waiting that failed is explained by the core. */
static int said(struct call *self, int err)
{
	self->has_said |= err == -ECANCELED || err == -EDEADLK;
	if (err == -EDEADLK && *share_chain(share_of(self)))
		return criu_error(&self->view, err, "waits for what can never be: %s",
				  share_chain(share_of(self)));
	return err;
}

int criu_share_put_fd(struct criu_call *call, const char *key, int fd)
{
	struct call *self = call_of(call);

	if (!share_of(self))
		return -EPERM;
	return share_put_fd(share_of(self), self->plugin->decl.name, key, fd);
}

int criu_share_put_bytes(struct criu_call *call, const char *key, const void *data, size_t size)
{
	struct call *self = call_of(call);

	if (!share_of(self))
		return -EPERM;
	return share_put_bytes(share_of(self), self->plugin->decl.name, key, data, size);
}

int criu_share_get_fd(struct criu_call *call, const char *key)
{
	struct call *self = call_of(call);

	if (!share_of(self))
		return -EPERM;
	return said(self, share_get_fd(share_of(self), self->plugin->decl.name, key));
}

ssize_t criu_share_get_bytes(struct criu_call *call, const char *key, void *data, size_t size)
{
	struct call *self = call_of(call);
	ssize_t ret;

	if (!share_of(self))
		return -EPERM;
	ret = share_get_bytes(share_of(self), self->plugin->decl.name, key, data, size);
	return ret < 0 ? said(self, (int)ret) : ret;
}

int criu_barrier_wait(struct criu_call *call, const char *name)
{
	struct call *self = call_of(call);
	ssize_t index;

	if (!share_of(self))
		return -EPERM;
	index = share_find_barrier(share_of(self), self->plugin->decl.name, name);
	if (index < 0)
		return criu_error(call, -ENOENT, "there is no barrier %s", name);
	return said(self, share_barrier_wait(share_of(self), (size_t)index));
}

int criu_keep_fd(struct criu_call *call, int fd)
{
	struct cr *cr = call_of(call)->cr;
	int kept = fd;
	int err;

	if (!cr->plugins || call->operation != CRIU_RESTORE)
		return -EPERM;
	err = fd_move_above(&kept, cr->plugins->first_free_fd);

	return err < 0 ? err : kept;
}
