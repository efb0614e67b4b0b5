// SPDX-License-Identifier: GPL-2.0-only
/*
 * Texts of errors. The library does not log; it leaves a text for each thread with the directory,
 * so that threads working on images of one directory do not read each other's.
 */
#include "images/lib/image-priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct thread_error *error_of_thread(struct image_dir *dir)
{
	pthread_t self = pthread_self();
	struct thread_error *error;

	pthread_mutex_lock(&dir->lock);
	for (error = dir->errors; error; error = error->next)
		if (pthread_equal(error->thread, self))
			break;
	if (!error) {
		error = calloc(1, sizeof(*error));
		if (error) {
			error->thread = self;
			error->next = dir->errors;
			dir->errors = error;
		}
	}
	pthread_mutex_unlock(&dir->lock);
	return error;
}

const char *image_last_error(struct image_dir *dir)
{
	struct thread_error *error = error_of_thread(dir);

	return error ? error->text : "images: out of memory";
}

int image_dir_vfail(struct image_dir *dir, int err, bool with_reason, const char *format,
		    va_list args)
{
	struct thread_error *error = error_of_thread(dir);
	size_t used;

	if (!error)
		return err;
	vsnprintf(error->text, sizeof(error->text), format, args);
	used = strlen(error->text);
	if (with_reason)
		snprintf(error->text + used, sizeof(error->text) - used, ": %s", strerror(-err));
	return err;
}

int image_dir_fail(struct image_dir *dir, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	image_dir_vfail(dir, err, true, format, args);
	va_end(args);
	return err;
}

int image_dir_refuse(struct image_dir *dir, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	image_dir_vfail(dir, err, false, format, args);
	va_end(args);
	return err;
}

int image_fail(struct image *img, int err, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return image_dir_fail(img->dir, err, "%s: %s", img->name, text);
}

int image_refuse(struct image *img, int err, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!img->n_entries)
		return image_dir_refuse(img->dir, err, "%s: %s", img->name, text);
	return image_dir_refuse(img->dir, err, "%s: entry %" PRIu64 " at byte %" PRIu64 ": %s",
				img->name, img->n_entries - 1, img->entry_offset, text);
}
