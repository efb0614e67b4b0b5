// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of image: written and read back, cut off at each byte, with a bit flipped in each
 * byte. Images of another implementation, if CRIU_GOLDEN_IMAGES names a folder of folders of them,
 * are read and written anew, byte for byte the same.
 */
#include <ftw.h>
#include <sys/mman.h>

#include "image-fixture.h"
#include "image-walk.h"
#include "images/lib/crc32c.h"

#define ENDS_MAX 16

/* One image in memory, and where its entries and payloads end. */
struct memory {
	uint8_t data[64 << 10];
	size_t length;
	size_t ends[ENDS_MAX];
	size_t n_ends;
};

static int open_memory(void *context, const char *name, bool is_write)
{
	struct memory *m = context;
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_false(is_write);
	assert_int_equal(write(fd, m->data, m->length), m->length);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Reads m as an image of a kind; the error's text is in ret_text. */
static int read_memory(struct memory *m, enum image_kind kind, char *ret_text)
{
	struct image_dir *dir;
	struct image *img = NULL;
	int err;

	assert_int_equal(image_dir_open_read(-1, 0, &dir), 0);
	image_dir_set_opener(dir, open_memory, m);
	err = image_open(dir, kind, 1, &img);
	if (err >= 0)
		err = walk_image(img, kind, NULL);
	strcpy(ret_text, image_last_error(dir));
	image_close(img);
	image_dir_free(dir);
	return err;
}

static void put_entry(struct image *img, enum image_kind kind,
		      const ProtobufCMessageDescriptor *type, struct memory *m)
{
	ProtobufCMessage *message = make_message(type, 2);
	uint64_t length, padding;
	uint8_t payload[1024] = {1, 2, 3};

	if (type == &ipc_msg_entry__descriptor)
		((IpcMsgEntry *)message)->qnum = 2;
	if (type == &ghost_file_entry__descriptor)
		((GhostFileEntry *)message)->chunks = kind == IMAGE_GHOST_FILE;
	assert_int_equal(image_payload_length(kind, message, &length, &padding), 0);
	if (length == IMAGE_TO_EOF)
		length = 13;
	assert_true(length < sizeof(payload));
	assert_int_equal(image_write_entry(img, message, payload, length), 0);
	protobuf_c_message_free_unpacked(message, NULL);
	m->ends[m->n_ends++] = image_offset(img);
	if (type == &ipc_msg_entry__descriptor) {
		put_entry(img, kind, &ipc_msg__descriptor, m);
		put_entry(img, kind, &ipc_msg__descriptor, m);
		/* A queue is whole only with its messages. */
		m->ends[m->n_ends - 3] = m->ends[m->n_ends - 2] = SIZE_MAX;
	}
}

/* Makes an image of a kind, with several entries if it may have them. */
static void make_image(struct fixture *f, enum image_kind kind, struct memory *m)
{
	const struct image_info *info = image_info(kind);
	struct image_dir *dir;
	struct image *img;
	char name[IMAGE_NAME_MAX];
	uint8_t *data;

	m->n_ends = 0;
	assert_int_equal(image_dir_open_write(f->fd, IMAGE_DIR_PARTIAL, &dir), 0);
	assert_int_equal(image_create(dir, kind, 1, &img), 0);
	if (info->framing != IMAGE_FRAMING_BARE)
		m->ends[m->n_ends++] = info->framing == IMAGE_FRAMING_INVENTORY ? 4 : 8;
	put_entry(img, kind, info->entry, m);
	if (info->count == IMAGE_COUNT_MANY)
		put_entry(img, kind,
			  info->rest && kind != IMAGE_IPCNS_MSG ? info->rest : info->entry, m);
	strcpy(name, image_file_name(img));
	assert_int_equal(image_close(img), 0);
	assert_int_equal(image_dir_commit(dir, NULL), 0);
	data = load_file(f->fd, name, &m->length);
	assert_true(m->length < sizeof(m->data));
	memcpy(m->data, data, m->length);
	free(data);
	image_dir_abort(dir);
	image_dir_free(dir);
}

/* What a reader gets is what was written: written anew, it gives the same bytes. */
static void check_round_trip(struct fixture *f, enum image_kind kind, struct memory *m)
{
	struct image_dir *from, *to;
	struct image *img, *out;
	char name[IMAGE_NAME_MAX];
	size_t length;
	uint8_t *data;

	assert_int_equal(image_dir_open_read(-1, 0, &from), 0);
	image_dir_set_opener(from, open_memory, m);
	assert_int_equal(image_dir_open_write(f->fd, IMAGE_DIR_PARTIAL, &to), 0);
	assert_int_equal(image_open(from, kind, 1, &img), 0);
	assert_int_equal(image_create(to, kind, 1, &out), 0);
	assert_int_equal(walk_image(img, kind, out), 0);
	assert_int_equal(image_offset(img), m->length);
	strcpy(name, image_file_name(out));
	image_close(img);
	assert_int_equal(image_close(out), 0);
	data = load_file(f->fd, name, &length);
	assert_int_equal(length, m->length);
	assert_memory_equal(data, m->data, length);
	free(data);
	image_dir_free(from);
	image_dir_free(to);
}

static bool has_entries(enum image_kind kind)
{
	return image_info(kind)->entry;
}

static bool is_end(const struct memory *m, size_t length)
{
	for (size_t i = 0; i < m->n_ends; i++)
		if (m->ends[i] == length)
			return true;
	return false;
}

static void test_every_kind(void **state)
{
	struct memory *m = malloc(sizeof(*m)), *broken = malloc(sizeof(*broken));
	char text[512], name[IMAGE_NAME_MAX];

	for (int kind = 0; kind < IMAGE_KINDS; kind++) {
		if (!has_entries(kind))
			continue;
		make_image(*state, kind, m);
		check_round_trip(*state, kind, m);

		image_name(kind, 1, name);
		*broken = *m;
		for (broken->length = 0; broken->length < m->length; broken->length++) {
			int err = read_memory(broken, kind, text);

			if (is_end(m, broken->length)) {
				assert_int_equal(err, 0);
			} else {
				assert_int_equal(err, -EBADMSG);
				assert_int_equal(strncmp(text, name, strlen(name)), 0);
			}
		}
		for (size_t i = 0; i < m->length; i++) {
			broken->data[i] ^= 1 << i % 8;
			read_memory(broken, kind, text);
			broken->data[i] ^= 1 << i % 8;
		}
	}
	free(m);
	free(broken);
}

static void test_names(void **state)
{
	char name[IMAGE_NAME_MAX];
	uint64_t number;

	assert_int_equal(image_name(IMAGE_GHOST_FILE, 0x1f, name), 0);
	assert_string_equal(name, "ghost-file-1f.img");
	assert_int_equal(image_name(IMAGE_TMPFS_DEV, 42, name), 0);
	assert_string_equal(name, "tmpfs-dev-42.tar.gz.img");
	assert_int_equal(image_name(IMAGE_AMDGPU_PAGES, 1, name), -EINVAL);
	assert_int_equal(image_kind_of("ghost-file-1f.img", &number), IMAGE_GHOST_FILE);
	assert_int_equal(number, 0x1f);
	assert_int_equal(image_kind_of("pagemap-shmem-9.img", &number), IMAGE_SHMEM_PAGEMAP);
	assert_int_equal(image_kind_of("amdgpu-pages-5-00ff.img", &number), IMAGE_AMDGPU_PAGES);
	assert_int_equal(image_kind_of("core-.img", &number), -ENOENT);
	assert_int_equal(image_kind_of("core-1.img2", &number), -ENOENT);
	assert_int_equal(image_kind_of("core-99999999999999999999999.img", &number), -ENOENT);
	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		if (image_name(kind, 12, name) == 0)
			assert_int_equal(image_kind_of(name, &number), kind);
}

/* An entry made by hand. */
static void make_raw(struct memory *m, enum image_kind kind, const void *packed, uint32_t size)
{
	uint32_t head[3] = {0x54564319, image_info(kind)->magic, size};

	memcpy(m->data, head, sizeof(head));
	if (packed)
		memcpy(m->data + sizeof(head), packed, size);
	m->length = sizeof(head) + (packed ? size : 0);
}

static void expect_refusal(struct memory *m, enum image_kind kind, const char *want)
{
	char text[512];

	assert_int_equal(read_memory(m, kind, text), -EBADMSG);
	if (!strstr(text, want))
		fail_msg("\"%s\" does not say \"%s\"", text, want);
}

static void test_refusals_name_the_spot(void **state)
{
	struct memory *m = malloc(sizeof(*m));
	/* core_entry: mtype 1, tc { task_state 1, exit_code 0, personality 0, flags 0, blk_sigset 0
	 * } */
	uint8_t core[] = {8, 1, 26, 10, 8, 1, 16, 0, 24, 0, 32, 0, 40, 0};
	uint8_t nested[1200];
	size_t at = sizeof(nested);

	make_raw(m, IMAGE_CORE, core, sizeof(core));
	expect_refusal(m, IMAGE_CORE,
		       "core-1.img: entry 0 at byte 8: core_entry field tc.comm, 14 bytes into it: "
		       "is missing");
	core[4] = 10;
	make_raw(m, IMAGE_CORE, core, sizeof(core));
	expect_refusal(m, IMAGE_CORE,
		       "field tc.task_state, 4 bytes into it: has the encoding of another");
	core[3] = 11;
	make_raw(m, IMAGE_CORE, core, sizeof(core));
	expect_refusal(m, IMAGE_CORE, "field tc, 4 bytes into it: is longer than the message");
	make_raw(m, IMAGE_CORE, NULL, 0xfffffff0);
	expect_refusal(m, IMAGE_CORE, "more than any entry");
	make_raw(m, IMAGE_CORE, NULL, 9);
	expect_refusal(m, IMAGE_CORE, "has a size of 9 bytes, 0 are left");
	make_raw(m, IMAGE_MM, NULL, 0);
	expect_refusal(m, IMAGE_CORE,
		       "core-1.img: its magic is 0x57492820, that of CORE images is 0x55053847");

	/* AppArmor namespaces in each other: as deep as the bytes say, if nobody stopped it. */
	while (at > 3) {
		size_t inner = sizeof(nested) - at;

		if (inner >= 128) {
			nested[--at] = (uint8_t)(inner >> 7);
			nested[--at] = (uint8_t)(inner | 0x80);
		} else {
			nested[--at] = (uint8_t)inner;
		}
		nested[--at] = 26;
	}
	make_raw(m, IMAGE_APPARMOR, nested + at, (uint32_t)(sizeof(nested) - at));
	m->data[12] = 10;
	expect_refusal(m, IMAGE_APPARMOR, "nested too deeply");
	free(m);
}

/* Version 1.0 had no leading magic; unknown fields and enumerators are no reason to refuse. */
static void test_tolerance(void **state)
{
	struct memory *m = malloc(sizeof(*m));
	uint8_t fs[] = {8, 1, 16, 2, 0xf8, 0x7f, 5, 0xf2, 0x7f, 2, 0, 0};
	uint8_t fdinfo[] = {8, 1, 16, 0, 24, 0xe7, 7, 32, 3};
	char text[512];

	make_raw(m, IMAGE_FS, fs, sizeof(fs));
	assert_int_equal(read_memory(m, IMAGE_FS, text), 0);
	memmove(m->data, m->data + 4, m->length -= 4);
	assert_int_equal(read_memory(m, IMAGE_FS, text), 0);
	make_raw(m, IMAGE_FDINFO, fdinfo, sizeof(fdinfo));
	assert_int_equal(read_memory(m, IMAGE_FDINFO, text), 0);
	free(m);
}

/* A writer refuses what no reader would take. */
static void test_writer_refuses(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir;
	struct image *img;
	CoreEntry core = CORE_ENTRY__INIT;
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;
	PipeDataEntry data = PIPE_DATA_ENTRY__INIT;

	assert_int_equal(image_dir_open_write(f->fd, 0, &dir), 0);
	assert_int_equal(image_create(dir, IMAGE_CORE, 1, &img), 0);
	core.tc = &tc;
	tc.comm = NULL;
	assert_int_equal(image_write(img, &core.base), -EINVAL);
	assert_string_equal(image_last_error(dir), "core-1.img: field tc.comm: is not set");
	assert_int_equal(image_write(img, &data.base), -EINVAL);
	assert_int_equal(image_close(img), 0);
	assert_int_equal(image_create(dir, IMAGE_PIPES_DATA, 0, &img), 0);
	data.bytes = 3;
	assert_int_equal(image_write_entry(img, &data.base, "abcd", 4), -EINVAL);
	assert_int_equal(image_close(img), 0);
	assert_int_equal(count_files(f), 0);
	image_dir_free(dir);
}

static uint32_t add_text(uint32_t crc, const char *text)
{
	return crc32c(crc, text, strlen(text) + 1);
}

static uint32_t add_schema(uint32_t crc, const ProtobufCMessageDescriptor *type, unsigned int depth)
{
	crc = add_text(crc, type->name);
	for (unsigned int i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		uint32_t facts[] = {field->id, field->label, field->type};

		/* Ours. */
		if (field->id >= 1000)
			continue;
		crc = add_text(crc32c(crc, facts, sizeof(facts)), field->name);
		if (field->type == PROTOBUF_C_TYPE_ENUM) {
			const ProtobufCEnumDescriptor *values = field->descriptor;

			for (unsigned int n = 0; n < values->n_values; n++)
				crc = add_text(crc32c(crc, &values->values[n].value, 4),
					       values->values[n].name);
		} else if (field->type == PROTOBUF_C_TYPE_MESSAGE && depth) {
			crc = add_schema(crc, field->descriptor, depth - 1);
		}
	}
	return crc;
}

/*
 * Names, numbers and types of the format are not ours to change; what we add has numbers from 1000
 * on. A field added on purpose changes this sum; anything else that does is a mistake.
 */
static void test_schema_is_the_format(void **state)
{
	uint32_t crc = 0;

	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		if (has_entries(kind) && kind != IMAGE_DIGESTS && kind != IMAGE_PLUGINS)
			crc = add_schema(crc, image_info(kind)->entry, 4);
	crc = add_schema(crc, &pagemap_entry__descriptor, 4);
	crc = add_schema(crc, &ghost_chunk_entry__descriptor, 4);
	crc = add_schema(crc, &ipc_msg__descriptor, 4);
	crc = add_schema(crc, &criu_req__descriptor, 4);
	crc = add_schema(crc, &criu_resp__descriptor, 4);
	assert_int_equal(crc, 0xe11b0290);
}

/* nftw(3) has no argument for its callback. */
static struct golden {
	struct fixture *fixture;
	unsigned int n_images;
} golden;

static int copy_golden(const char *path, const struct stat *st, int type, struct FTW *where)
{
	const char *name = path + where->base;
	char folder[512];
	struct image_dir *from, *to;
	struct image *img, *out;
	uint64_t number;
	uint8_t *data, *copy;
	size_t length, copied;
	int dirfd, kind = type == FTW_F ? image_kind_of(name, &number) : -1;

	if (kind < 0 || kind == IMAGE_PAGES)
		return 0;
	snprintf(folder, sizeof(folder), "%.*s", where->base, path);
	dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd >= 0);
	assert_int_equal(image_dir_open_read(dirfd, 0, &from), 0);
	assert_int_equal(image_dir_open_write(golden.fixture->fd, IMAGE_DIR_PARTIAL, &to), 0);
	if (image_open(from, kind, number, &img) < 0)
		fail_msg("%s: %s", path, image_last_error(from));
	assert_int_equal(image_create(to, kind, number, &out), 0);
	if (walk_image(img, kind, out) < 0)
		fail_msg("%s: %s", path, image_last_error(from));
	image_close(img);
	assert_int_equal(image_close(out), 0);

	data = load_file(dirfd, name, &length);
	if (length) {
		copy = load_file(golden.fixture->fd, name, &copied);
		assert_int_equal(copied, length);
		assert_memory_equal(copy, data, length);
		free(copy);
	}
	free(data);
	image_dir_free(from);
	image_dir_free(to);
	close(dirfd);
	golden.n_images++;
	return 0;
}

static void test_golden_images(void **state)
{
	const char *folder = getenv("CRIU_GOLDEN_IMAGES");

	if (!folder)
		skip();
	golden.fixture = *state;
	golden.n_images = 0;
	assert_int_equal(nftw(folder, copy_golden, 16, FTW_PHYS), 0);
	print_message("%u images of %s are the same once written anew\n", golden.n_images, folder);
	assert_true(golden.n_images > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_every_kind),
		cmocka_unit_test(test_refusals_name_the_spot),
		cmocka_unit_test(test_tolerance),
		cmocka_unit_test(test_writer_refuses),
		cmocka_unit_test(test_schema_is_the_format),
		cmocka_unit_test(test_golden_images),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
