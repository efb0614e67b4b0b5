// SPDX-License-Identifier: GPL-2.0-only
/*
 * See client.h. Every register and every word of a buffer has a value of its own, which follows
 * from the seed, so that one that is lost, or another file's, is seen.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* How long what runs may take to be seen running. */
enum { PATIENCE_MS = 20000 };

static uint64_t value_of(uint64_t seed, uint64_t index)
{
	uint64_t x = (seed << 32) + index + 1;

	x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ULL;
	return x ^ (x >> 29);
}

static const char *finding(const struct client_file *file, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static const char *finding(const struct client_file *file, const char *format, ...)
{
	static char text[256];
	int size = snprintf(text, sizeof(text), "%s (fd %d): ", file->node, file->fd);
	va_list args;

	va_start(args, format);
	vsnprintf(text + size, sizeof(text) - (size_t)size, format, args);
	va_end(args);
	return text;
}

static int registers(const struct client_file *file, bool is_write, uint32_t n,
		     struct fakedev_register *items)
{
	struct fakedev_registers arg = {
		.n = n, .is_write = is_write, .registers = (uintptr_t)items};

	return ioctl(file->fd, FAKEDEV_REGS, &arg);
}

int client_get(const struct client_file *file, uint32_t index, uint64_t *ret_value)
{
	struct fakedev_register item = {.index = index};

	if (registers(file, false, 1, &item) < 0)
		return -1;
	*ret_value = item.value;
	return 0;
}

int client_set(const struct client_file *file, uint32_t index, uint64_t value)
{
	struct fakedev_register item = {.index = index, .value = value};

	return registers(file, true, 1, &item);
}

static int fill_registers(const struct client_file *file)
{
	struct fakedev_register items[FAKEDEV_REGISTERS];

	for (uint32_t i = 0; i < FAKEDEV_REGISTERS; i++)
		items[i] = (struct fakedev_register){.index = i, .value = value_of(file->seed, i)};
	return registers(file, true, FAKEDEV_REGISTERS, items);
}

static uint64_t word_of(const struct client_file *file, size_t word)
{
	return value_of(file->seed, 1000 + word);
}

/* All words but the first and the last, which are the device's. */
static int fill_buffer(struct client_file *file)
{
	size_t size = file->size - 16;
	uint64_t *words = malloc(size);
	ssize_t done = -1;

	if (!words)
		return -1;
	for (size_t i = 0; i < size / 8; i++)
		words[i] = word_of(file, i + 1);
	/* Half of the clients write by a call, the others by their mapping. */
	if (file->map) {
		memcpy(file->map + 8, words, size);
		done = (ssize_t)size;
	} else {
		done = pwrite(file->fd, words, size, (off_t)file->offset + 8);
	}
	free(words);
	return done == (ssize_t)size ? 0 : -1;
}

static int make_buffer(struct client_file *file, uint64_t size, unsigned int flags)
{
	struct fakedev_buffer arg = {.size = size};
	void *map;

	if (ioctl(file->fd, FAKEDEV_BUFFER, &arg) < 0)
		return -1;
	file->size = size;
	file->offset = arg.offset;
	if (flags & CLIENT_MAP) {
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd,
			   (off_t)arg.offset);
		if (map == MAP_FAILED)
			return -1;
		file->map = map;
	}
	for (uint32_t i = 0; i < FAKEDEV_WORDS; i++)
		if (client_set(file, FAKEDEV_OWN_WORD(i), value_of(file->seed, 100 + i)) < 0)
			return -1;
	return fill_buffer(file);
}

int client_open(struct client_file *file, const char *folder, const char *node, uint64_t seed,
		unsigned int pages, unsigned int flags)
{
	struct fakedev_number on = {1};
	char path[4200];

	memset(file, 0, sizeof(*file));
	snprintf(path, sizeof(path), "%s/%s", folder, node);
	snprintf(file->node, sizeof(file->node), "%s", node);
	file->seed = seed;
	file->fd = open(path, O_RDWR | (seed % 2 ? O_CLOEXEC : 0));
	if (file->fd < 0 || fill_registers(file) < 0)
		return -1;
	if ((flags & CLIENT_BUFFER) && make_buffer(file, pages * 4096ULL, flags) < 0)
		return -1;
	if ((flags & CLIENT_RUN) && ioctl(file->fd, FAKEDEV_RUN, &on) < 0)
		return -1;
	file->is_running = flags & CLIENT_RUN;
	return 0;
}

void client_close(struct client_file *file)
{
	if (file->map)
		munmap(file->map, file->size);
	if (file->fd >= 0)
		close(file->fd);
	file->map = NULL;
	file->fd = -1;
}

int client_share(const struct client_file *exporter, const struct client_file *importer)
{
	struct fakedev_number number;

	if (ioctl(exporter->fd, FAKEDEV_EXPORT, &number) < 0)
		return -1;
	return ioctl(importer->fd, FAKEDEV_IMPORT, &number);
}

static const char *check_registers(const struct client_file *file)
{
	uint64_t value;

	for (uint32_t i = 0; i < FAKEDEV_REGISTERS; i++) {
		if (client_get(file, i, &value) < 0)
			return finding(file, "register %u: %s", i, strerror(errno));
		if (value != value_of(file->seed, i))
			return finding(file, "register %u is %#llx", i, (unsigned long long)value);
	}
	for (uint32_t i = 0; file->size && i < FAKEDEV_WORDS; i++) {
		if (client_get(file, FAKEDEV_OWN_WORD(i), &value) < 0)
			return finding(file, "word %u: %s", i, strerror(errno));
		if (value != value_of(file->seed, 100 + i))
			return finding(file, "word %u is %#llx", i, (unsigned long long)value);
	}
	return NULL;
}

static const char *check_words(const struct client_file *file, const char *what,
			       const unsigned char *bytes)
{
	uint64_t word;

	for (size_t i = 1; i + 1 < file->size / 8; i++) {
		memcpy(&word, bytes + i * 8, 8);
		if (word != word_of(file, i))
			return finding(file, "%s: word %zu of %zu is %#llx", what, i,
				       (size_t)(file->size / 8), (unsigned long long)word);
	}
	return NULL;
}

const char *client_check_map(const struct client_file *file)
{
	return file->map ? check_words(file, "mapping", file->map) : NULL;
}

/* Where the buffer is now may differ from where it was. */
static const char *check_file(struct client_file *file, const struct fakedev_info *info)
{
	unsigned char *bytes;
	const char *text = NULL;

	if (info->size != file->size)
		return finding(file, "size of the buffer is %llu", (unsigned long long)info->size);
	if (!file->size)
		return NULL;
	bytes = malloc(file->size);
	if (!bytes)
		return finding(file, "no memory");
	if (pread(file->fd, bytes, file->size, (off_t)info->offset) != (ssize_t)file->size)
		text = finding(file, "reading the buffer: %s", strerror(errno));
	else
		text = check_words(file, "buffer", bytes);
	free(bytes);
	return text;
}

/* The counter never goes back, what runs goes on, and what it writes arrives in the mapping. */
static const char *check_runs(struct client_file *file)
{
	struct fakedev_info info;
	uint64_t seen = 0;

	for (int i = 0; i < PATIENCE_MS; i++) {
		struct timespec ms = {0, 1000000};

		if (ioctl(file->fd, FAKEDEV_INFO, &info) < 0)
			return finding(file, "info: %s", strerror(errno));
		if (info.counter < file->counter)
			return finding(file, "counter went back from %llu to %llu",
				       (unsigned long long)file->counter,
				       (unsigned long long)info.counter);
		if (file->map)
			memcpy(&seen, file->map, sizeof(seen));
		else
			seen = info.counter;
		if (seen > file->counter + 2) {
			file->counter = seen;
			return NULL;
		}
		nanosleep(&ms, NULL);
	}
	return finding(file, "does not run: counter %llu, seen %llu, was %llu",
		       (unsigned long long)info.counter, (unsigned long long)seen,
		       (unsigned long long)file->counter);
}

const char *client_check(struct client_file *file)
{
	struct fakedev_info info;
	const char *text;

	if (ioctl(file->fd, FAKEDEV_INFO, &info) < 0)
		return finding(file, "info: %s", strerror(errno));
	text = check_registers(file);
	if (!text)
		text = check_file(file, &info);
	if (!text)
		text = client_check_map(file);
	if (!text && file->is_running)
		text = check_runs(file);
	return text;
}

const char *client_check_share(const struct client_file *exporter,
			       const struct client_file *importer)
{
	uint64_t own, imported;

	for (uint32_t i = 0; i < FAKEDEV_WORDS; i++) {
		if (client_get(exporter, FAKEDEV_OWN_WORD(i), &own) < 0)
			return finding(exporter, "word %u: %s", i, strerror(errno));
		if (client_get(importer, FAKEDEV_IMPORTED_WORD(i), &imported) < 0)
			return finding(importer, "imported word %u: %s", i, strerror(errno));
		if (own != imported)
			return finding(importer, "imported word %u is %#llx, not %s's %#llx", i,
				       (unsigned long long)imported, exporter->node,
				       (unsigned long long)own);
	}
	/* Shared, not copied. */
	if (client_get(exporter, FAKEDEV_OWN_WORD(0), &own) < 0 ||
	    client_set(exporter, FAKEDEV_OWN_WORD(0), ~own) < 0 ||
	    client_get(importer, FAKEDEV_IMPORTED_WORD(0), &imported) < 0 ||
	    client_set(exporter, FAKEDEV_OWN_WORD(0), own) < 0)
		return finding(importer, "shared word: %s", strerror(errno));
	return imported == ~own ? NULL
				: finding(importer, "does not see what %s writes", exporter->node);
}

const char *client_check_imported(const struct client_file *exporter,
				  const struct client_file *importer)
{
	uint64_t imported;

	for (uint32_t i = 0; i < FAKEDEV_WORDS; i++) {
		if (client_get(importer, FAKEDEV_IMPORTED_WORD(i), &imported) < 0)
			return finding(importer, "imported word %u: %s", i, strerror(errno));
		if (imported != value_of(exporter->seed, 100 + i))
			return finding(importer, "imported word %u is %#llx", i,
				       (unsigned long long)imported);
	}
	return NULL;
}
