// SPDX-License-Identifier: GPL-2.0-only
/*
 * Feeds the image reader with anything: the first byte chooses the kind, the rest is the file. What
 * is read must be read again from what a writer makes of it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "test/unit/images/image-walk.h"

struct input {
	const uint8_t *data;
	size_t size;
	/* The descriptor of the image written last. */
	int written;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_input(void *context, const char *name, bool is_write)
{
	struct input *input = context;
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		abort();
	if (is_write) {
		input->written = dup(fd);
		return fd;
	}
	if (input->written >= 0) {
		close(fd);
		fd = TAKE_FD(input->written);
	} else if (write(fd, input->data, input->size) != (ssize_t)input->size) {
		abort();
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Reads the image, into a new one if copy. */
static int walk(struct input *input, enum image_kind kind, bool copy)
{
	_cleanup_image_dir_ struct image_dir *from = NULL, *to = NULL;
	_cleanup_image_ struct image *img = NULL, *out = NULL;
	int err;

	if (image_dir_open_read(-1, 0, &from) < 0 ||
	    image_dir_open_write(-1, IMAGE_DIR_PARTIAL, &to) < 0)
		abort();
	image_dir_set_opener(from, open_input, input);
	image_dir_set_opener(to, open_input, input);
	err = image_open(from, kind, 1, &img);
	if (err >= 0 && copy && image_create(to, kind, 1, &out) < 0)
		abort();
	if (err >= 0)
		err = walk_image(img, kind, out);
	if (err < 0 && !image_last_error(from)[0] && !image_last_error(to)[0])
		abort();
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data + 1, .size = size - 1, .written = -1};
	enum image_kind kind;

	if (!size)
		return 0;
	kind = data[0] % IMAGE_KINDS;
	if (!image_info(kind)->entry)
		return 0;
	/* Messages with empty required parts are read but not written. */
	if (walk(&input, kind, true) >= 0 && input.written >= 0 && walk(&input, kind, false) < 0)
		abort();
	if (input.written >= 0)
		close(input.written);
	return 0;
}
