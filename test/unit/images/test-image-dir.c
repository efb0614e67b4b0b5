// SPDX-License-Identifier: GPL-2.0-only
/*
 * The directory: complete or not, older dumps, aborts, and digests, of pages in pieces too.
 */
#include <pthread.h>

#include "image-fixture.h"

#define PAGES (3 * IMAGE_CHUNK + 5 * 4096)

static void write_fs(struct image_dir *dir, uint64_t number)
{
	FsEntry fs = FS_ENTRY__INIT;

	fs.cwd_id = 1;
	fs.root_id = 2;
	assert_int_equal(image_write_one(dir, IMAGE_FS, number, &fs.base), 0);
}

static uint8_t *make_pages(void)
{
	uint8_t *pages = malloc(PAGES);

	for (size_t i = 0; i < PAGES; i++)
		pages[i] = (uint8_t)(i * 7 + i / 4096);
	return pages;
}

static void dump_something(struct fixture *f)
{
	_cleanup_image_dir_ struct image_dir *dir = NULL;
	InventoryEntry inventory = some_inventory();
	struct image *img;
	uint8_t *pages = make_pages();

	assert_int_equal(image_dir_open_write(f->fd, 0, &dir), 0);
	write_fs(dir, 7);
	assert_int_equal(image_create(dir, IMAGE_PAGES, 1, &img), 0);
	assert_int_equal(image_pages_write(img, pages, PAGES, 0), 0);
	assert_int_equal(image_close(img), 0);
	assert_int_equal(image_create(dir, IMAGE_IPTABLES, 3, &img), 0);
	assert_int_equal(write(image_fd(img), "*filter\n", 8), 8);
	assert_int_equal(image_close(img), 0);
	assert_int_equal(image_dir_commit(dir, &inventory.base), 0);
	free(pages);
}

static void test_inventory_comes_last(void **state)
{
	struct fixture *f = *state;
	_cleanup_image_dir_ struct image_dir *dir = NULL;
	InventoryEntry inventory = some_inventory(), *read;
	struct image *img, *unused;
	FsEntry fs = FS_ENTRY__INIT;

	fixture_empty(f);
	store_file(f->fd, "inventory.img", "old", 3);
	store_file(f->fd, "core-5.img", "old", 3);
	store_file(f->fd, "pages-5.img", "old", 3);
	store_file(f->fd, "stats-dump", "old", 3);
	store_file(f->fd, "dump.log", "old", 3);
	store_file(f->fd, "core-x.img", "old", 3);
	assert_int_equal(symlinkat("../before", f->fd, "parent"), 0);

	assert_int_equal(image_dir_open_write(f->fd, IMAGE_DIR_SYNC, &dir), 0);
	assert_int_equal(image_create(dir, IMAGE_FS, 7, &img), 0);
	assert_int_equal(image_create(dir, IMAGE_FILES, 0, &unused), 0);
	assert_int_equal(image_close(unused), 0);
	assert_true(file_exists(f, "core-5.img"));
	assert_int_equal(image_write(img, &fs.base), 0);
	assert_false(file_exists(f, "inventory.img"));
	assert_false(file_exists(f, "core-5.img"));
	assert_false(file_exists(f, "pages-5.img"));
	assert_false(file_exists(f, "parent"));
	assert_true(file_exists(f, "stats-dump"));
	assert_true(file_exists(f, "dump.log"));
	assert_true(file_exists(f, "core-x.img"));
	assert_int_equal(image_dir_commit(dir, &inventory.base), -EBUSY);
	assert_non_null(strstr(image_last_error(dir), "still open"));
	assert_int_equal(image_close(img), 0);
	image_dir_free(TAKE_PTR(dir));
	assert_false(file_exists(f, "fs-7.img"));

	dump_something(f);
	assert_true(file_exists(f, "inventory.img"));
	assert_int_equal(image_dir_open_read(f->fd, 0, &dir), 0);
	assert_int_equal(image_read_one(dir, IMAGE_INVENTORY, 0, &read), 0);
	assert_int_equal(read->img_version, 2);
	image_message_free(read);
}

/* What no dump has made stays, and is not written into: an image of that name cannot be made. */
static void test_foreign_names(void **state)
{
	struct fixture *f = *state;
	_cleanup_image_dir_ struct image_dir *dir = NULL;
	InventoryEntry inventory = some_inventory();
	FsEntry fs = FS_ENTRY__INIT;

	fixture_empty(f);
	assert_int_equal(mkdirat(f->fd, "plugins.img", 0755), 0);
	assert_int_equal(mkdirat(f->fd, "fs-8.img", 0755), 0);
	assert_int_equal(mkfifoat(f->fd, "fs-9.img", 0644), 0);
	store_file(f->fd, "fs-10.img", "old", 3);

	assert_int_equal(image_dir_open_write(f->fd, 0, &dir), 0);
	write_fs(dir, 7);
	assert_false(file_exists(f, "fs-10.img"));
	assert_int_equal(image_write_one(dir, IMAGE_FS, 8, &fs.base), -EISDIR);
	assert_non_null(strstr(image_last_error(dir), "fs-8.img"));
	assert_int_equal(image_write_one(dir, IMAGE_FS, 9, &fs.base), -EEXIST);
	assert_non_null(strstr(image_last_error(dir), "fs-9.img"));
	image_dir_free(TAKE_PTR(dir));
	assert_false(file_exists(f, "fs-7.img"));

	assert_int_equal(image_dir_open_write(f->fd, 0, &dir), 0);
	write_fs(dir, 7);
	assert_int_equal(image_dir_commit(dir, &inventory.base), 0);
	assert_true(file_exists(f, "plugins.img") && file_exists(f, "fs-8.img") &&
		    file_exists(f, "fs-9.img"));
	assert_int_equal(unlinkat(f->fd, "plugins.img", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(f->fd, "fs-8.img", AT_REMOVEDIR), 0);
}

static void test_abort_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	_cleanup_image_dir_ struct image_dir *dir = NULL;
	InventoryEntry inventory = some_inventory();

	fixture_empty(f);
	assert_int_equal(image_dir_open_write(f->fd, 0, &dir), 0);
	write_fs(dir, 7);
	assert_int_equal(image_dir_write_parent(dir, "../before"), 0);
	store_file(f->fd, "amdgpu-kfd-1.img", "x", 1);
	assert_int_equal(image_dir_adopt(dir, "amdgpu-kfd-1.img"), 0);
	assert_int_equal(image_dir_commit(dir, &inventory.base), 0);
	assert_int_equal(count_files(f), 5);
	image_dir_abort(dir);
	assert_int_equal(count_files(f), 0);
}

/* Written files are found by name: as many as a large tree has, and each once. */
static void test_many_files(void **state)
{
	struct fixture *f = *state;
	_cleanup_image_dir_ struct image_dir *dir = NULL;
	InventoryEntry inventory = some_inventory();

	fixture_empty(f);
	assert_int_equal(image_dir_open_write(f->fd, 0, &dir), 0);
	for (unsigned int i = 0; i < 3000; i++)
		write_fs(dir, i % 2000);
	assert_int_equal(image_dir_commit(dir, &inventory.base), 0);
	assert_int_equal(count_files(f), 2002);
	image_dir_free(TAKE_PTR(dir));
	assert_int_equal(image_dir_open_read(f->fd, 0, &dir), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		FsEntry *fs;

		assert_int_equal(image_read_one(dir, IMAGE_FS, i, &fs), 0);
		image_message_free(fs);
	}
}

static void test_partial_leaves_others(void **state)
{
	struct fixture *f = *state;
	_cleanup_image_dir_ struct image_dir *dir = NULL;
	StatsEntry stats = STATS_ENTRY__INIT, *read;

	fixture_empty(f);
	store_file(f->fd, "inventory.img", "old", 3);
	assert_int_equal(
		image_dir_open_write(f->fd, IMAGE_DIR_PARTIAL | IMAGE_DIR_NO_DIGESTS, &dir), 0);
	assert_int_equal(image_write_one(dir, IMAGE_STATS_DUMP, 0, &stats.base), 0);
	assert_int_equal(image_dir_commit(dir, NULL), 0);
	image_dir_free(TAKE_PTR(dir));
	assert_int_equal(count_files(f), 2);

	assert_int_equal(image_dir_open_read(f->fd, 0, &dir), 0);
	assert_int_equal(image_read_one(dir, IMAGE_STATS_DUMP, 0, &read), 0);
	image_message_free(read);
	assert_int_equal(image_read_one(dir, IMAGE_STATS_RESTORE, 0, &read), -ENOENT);
}

/* Reads pages in pieces that do not keep to chunks, from the end to the start. */
static int read_pages(struct fixture *f, char *ret_text)
{
	_cleanup_image_dir_ struct image_dir *dir = NULL;
	_cleanup_image_ struct image *img = NULL;
	uint8_t *pages = make_pages(), *buffer = malloc(PAGES);
	size_t end = PAGES;
	int err = 0;

	assert_int_equal(image_dir_open_read(f->fd, 0, &dir), 0);
	err = image_open(dir, IMAGE_PAGES, 1, &img);
	while (err >= 0 && end) {
		size_t n = MIN(end, (size_t)177 * 4096);

		end -= n;
		err = image_pages_read(img, buffer, n, end);
		if (err >= 0)
			assert_memory_equal(buffer, pages + end, n);
	}
	strcpy(ret_text, image_last_error(dir));
	free(pages);
	free(buffer);
	return err;
}

static void flip(struct fixture *f, const char *name, size_t at)
{
	size_t length;
	uint8_t *data = load_file(f->fd, name, &length);

	assert_true(at < length);
	data[at] ^= 4;
	store_file(f->fd, name, data, length);
	free(data);
}

static void test_digests_find_flips(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir;
	struct image *img;
	InventoryEntry *inventory;
	char text[512];

	fixture_empty(f);
	dump_something(f);
	assert_true(file_exists(f, "digests-0"));
	assert_int_equal(read_pages(f, text), 0);

	flip(f, "inventory.img", 9);
	flip(f, "iptables-3.img", 0);
	assert_int_equal(image_dir_open_read(f->fd, 0, &dir), 0);
	assert_int_equal(image_read_one(dir, IMAGE_INVENTORY, 0, &inventory), -EBADMSG);
	assert_non_null(strstr(image_last_error(dir), "inventory.img: is not what was written"));
	assert_int_equal(image_open(dir, IMAGE_IPTABLES, 3, &img), -EBADMSG);
	assert_int_equal(image_dir_verify(dir, "iptables-3.img"), -EBADMSG);
	assert_int_equal(image_dir_verify(dir, "fs-7.img"), 0);
	renameat(f->fd, "fs-7.img", f->fd, "away");
	assert_int_equal(image_open(dir, IMAGE_FS, 7, &img), -EBADMSG);
	assert_non_null(strstr(image_last_error(dir), "fs-7.img: is missing"));
	image_dir_free(dir);
	assert_int_equal(image_dir_open_read(f->fd, 0, &dir), 0);
	assert_int_equal(image_read_one(dir, IMAGE_INVENTORY, 0, &inventory), -EBADMSG);
	assert_non_null(strstr(image_last_error(dir), "field name: fs-7.img is not there"));
	image_dir_free(dir);
	renameat(f->fd, "away", f->fd, "fs-7.img");

	flip(f, "pages-1.img", 2 * IMAGE_CHUNK + 5);
	assert_int_equal(read_pages(f, text), -EBADMSG);
	assert_non_null(strstr(text, "pages-1.img: chunk 2 at byte 2097152"));

	assert_int_equal(image_dir_open_read(f->fd, 0, &dir), 0);
	assert_int_equal(image_dir_forget_pages(dir, 1, 2 * IMAGE_CHUNK + 5, 1), 0);
	assert_int_equal(image_dir_save_digests(dir), 0);
	image_dir_free(dir);
	assert_false(file_exists(f, "digests-2"));
	flip(f, "pages-1.img", 2 * IMAGE_CHUNK + 5);
	assert_int_equal(read_pages(f, text), 0);
	flip(f, "pages-1.img", PAGES - 1);
	assert_int_equal(read_pages(f, text), -EBADMSG);
}

#define WORKERS 4

struct worker {
	pthread_t thread;
	struct image *files, *pages;
	const uint8_t *data;
	unsigned int index;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	const size_t piece = 12 * 4096;

	for (size_t at = w->index * piece; at < PAGES; at += WORKERS * piece)
		if (image_pages_write(w->pages, w->data + at, MIN(piece, PAGES - at), at) < 0)
			return w;
	for (unsigned int i = 0; i < 5000; i++) {
		PipeDataEntry entry = PIPE_DATA_ENTRY__INIT;
		uint8_t payload[30];

		entry.pipe_id = w->index;
		entry.bytes = i % sizeof(payload);
		memset(payload, (int)w->index, sizeof(payload));
		if (image_write_entry(w->files, &entry.base, payload, entry.bytes) < 0)
			return w;
	}
	return NULL;
}

static void test_threads_share_an_image(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir;
	struct worker workers[WORKERS] = {0};
	struct image *files, *pages;
	InventoryEntry inventory = some_inventory();
	uint8_t *data = make_pages(), payload[30];
	unsigned int n = 0;
	PipeDataEntry *entry;
	char text[512];

	fixture_empty(f);
	assert_int_equal(image_dir_open_write(f->fd, 0, &dir), 0);
	assert_int_equal(image_create(dir, IMAGE_PIPES_DATA, 0, &files), 0);
	assert_int_equal(image_create(dir, IMAGE_PAGES, 1, &pages), 0);
	for (unsigned int i = 0; i < WORKERS; i++) {
		workers[i].files = files;
		workers[i].pages = pages;
		workers[i].data = data;
		workers[i].index = i;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		void *failed;

		pthread_join(workers[i].thread, &failed);
		assert_null(failed);
	}
	assert_int_equal(image_close(files), 0);
	assert_int_equal(image_close(pages), 0);
	assert_int_equal(image_dir_commit(dir, &inventory.base), 0);
	image_dir_free(dir);

	assert_int_equal(read_pages(f, text), 0);
	flip(f, "pages-1.img", IMAGE_CHUNK);
	assert_int_equal(read_pages(f, text), -EBADMSG);
	assert_int_equal(image_dir_open_read(f->fd, 0, &dir), 0);
	assert_int_equal(image_open(dir, IMAGE_PIPES_DATA, 0, &files), 0);
	for (; image_read(files, &entry) == 1; n++) {
		assert_int_equal(image_read_payload(files, payload, entry->bytes), 0);
		for (unsigned int i = 0; i < entry->bytes; i++)
			assert_int_equal(payload[i], entry->pipe_id);
		image_message_free(entry);
	}
	assert_int_equal(n, WORKERS * 5000);
	image_close(files);
	image_dir_free(dir);
	free(data);
}

static void test_parent(void **state)
{
	struct fixture *f = *state;
	_cleanup_image_dir_ struct image_dir *dir = NULL, *parent = NULL;

	fixture_empty(f);
	assert_int_equal(image_dir_open_read(f->fd, 0, &dir), 0);
	assert_int_equal(image_dir_open_parent(dir, &parent), 0);
	assert_null(parent);
	assert_int_equal(symlinkat("nowhere", f->fd, "parent"), 0);
	assert_int_equal(image_dir_open_parent(dir, &parent), -ENOENT);
	unlinkat(f->fd, "parent", 0);
	assert_int_equal(symlinkat(".", f->fd, "parent"), 0);
	assert_int_equal(image_dir_open_parent(dir, &parent), 0);
	assert_non_null(parent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inventory_comes_last),
		cmocka_unit_test(test_foreign_names),
		cmocka_unit_test(test_abort_leaves_nothing),
		cmocka_unit_test(test_many_files),
		cmocka_unit_test(test_partial_leaves_others),
		cmocka_unit_test(test_digests_find_flips),
		cmocka_unit_test(test_threads_share_an_image),
		cmocka_unit_test(test_parent),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
