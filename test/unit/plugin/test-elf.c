// SPDX-License-Identifier: GPL-2.0-only
/* What is read of a plugin's file before it is loaded: its headers, and the notes with paths
 * without which it is absent. */
#include <elf.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "compel/base/bits.h"
#include "plugin/priv.h"

#define GONE "/proc/no/such"

/* Notes, as a linker puts them one behind the other. */
struct notes {
	size_t size, align;
	char bytes[512];
};

static void pad(struct notes *notes)
{
	notes->size = (notes->size + notes->align - 1) & ~(notes->align - 1);
}

static void add(struct notes *notes, const char *name, size_t n_name, uint32_t type,
		const char *text, size_t n_text)
{
	ElfW(Nhdr)
		note = {.n_namesz = (uint32_t)n_name, .n_descsz = (uint32_t)n_text, .n_type = type};

	memcpy(notes->bytes + notes->size, &note, sizeof(note));
	notes->size += sizeof(note);
	memcpy(notes->bytes + notes->size, name, n_name);
	notes->size += n_name;
	pad(notes);
	memcpy(notes->bytes + notes->size, text, n_text);
	notes->size += n_text;
	pad(notes);
}

static void add_path(struct notes *notes, const char *path)
{
	add(notes, "criu", 5, CRIU_NOTE_ABSENT_WITHOUT, path, strlen(path) + 1);
}

/* Bytes behind the end are out of bounds, as the sanitizer sees it. */
static const char *problem_of(const struct notes *notes, char **ret_lacks)
{
	char *exact = malloc(notes->size + !notes->size);
	const char *problem;

	memcpy(exact, notes->bytes, notes->size);
	problem = plugin_notes_problem(exact, notes->size, notes->align, ret_lacks);
	free(exact);
	return problem;
}

static void assert_lacks(const struct notes *notes, const char *path)
{
	char *lacks = NULL;

	assert_null(problem_of(notes, &lacks));
	if (path)
		assert_string_equal(lacks, path);
	else
		assert_null(lacks);
	free(lacks);
}

static void assert_problem(const struct notes *notes)
{
	char *lacks = NULL;

	assert_non_null(problem_of(notes, &lacks));
	free(lacks);
}

static void test_paths(void **state)
{
	for (size_t align = 4; align <= 8; align += 4) {
		struct notes notes = {.align = align};

		assert_lacks(&notes, NULL);
		add(&notes, "GNU", 4, 3, "\1\2\3\4\5\6\7", 7);
		add_path(&notes, "/proc");
		assert_lacks(&notes, NULL);
		add_path(&notes, GONE);
		assert_lacks(&notes, GONE);
		add_path(&notes, "/proc/no/other");
		assert_lacks(&notes, GONE);
		add_path(&notes, "/proc/self/stat/x");
		assert_lacks(&notes, GONE);
	}
}

static void test_a_file_is_no_folder(void **state)
{
	struct notes notes = {.align = 4};

	add_path(&notes, "/proc/self/stat/x");
	assert_lacks(&notes, "/proc/self/stat/x");
}

/* Of other owners, and of types that we do not know. */
static void test_others(void **state)
{
	struct notes notes = {.align = 4};

	add(&notes, "GNU", 4, CRIU_NOTE_ABSENT_WITHOUT, GONE, sizeof(GONE));
	add(&notes, "criu", 4, CRIU_NOTE_ABSENT_WITHOUT, GONE, sizeof(GONE));
	add(&notes, "criux", 6, CRIU_NOTE_ABSENT_WITHOUT, GONE, sizeof(GONE));
	add(&notes, "crix", 5, CRIU_NOTE_ABSENT_WITHOUT, GONE, sizeof(GONE));
	add(&notes, "", 0, CRIU_NOTE_ABSENT_WITHOUT, GONE, sizeof(GONE));
	add(&notes, "criu", 5, CRIU_NOTE_ABSENT_WITHOUT + 1, "\0\0", 2);
	assert_lacks(&notes, NULL);
	add_path(&notes, GONE);
	assert_lacks(&notes, GONE);
}

static void test_no_paths(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} texts[] = {{"", 0}, {"", 1}, {"/x", 2}, {"x", 2}, {"/a\0/b", 6}, {"/a\0", 4}};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct notes notes = {.align = 4};

		add_path(&notes, GONE);
		add(&notes, "criu", 5, CRIU_NOTE_ABSENT_WITHOUT, texts[i].bytes, texts[i].size);
		assert_problem(&notes);
	}
}

/* Every length, every size that a header may claim: nothing beyond the end is looked at. */
static void test_cut(void **state)
{
	static const uint32_t sizes[] = {0,   1,   4,         6,          12,        64,
					 511, 512, INT32_MAX, 0xfffffff0, UINT32_MAX};
	struct notes whole = {.align = 4};
	char *lacks = NULL;

	add(&whole, "GNU", 4, 3, "12345678", 8);
	add_path(&whole, "/proc");
	add_path(&whole, GONE);
	for (size_t size = 0; size <= whole.size; size++) {
		struct notes cut = whole;

		cut.size = size;
		problem_of(&cut, &lacks);
		/* The padding behind the last one may be missing, and no more. */
		assert_int_equal(lacks != NULL, size + 2 >= whole.size);
		free(lacks);
		lacks = NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes) * ARRAY_SIZE(sizes); i++) {
		for (size_t align = 0; align <= 16; align++) {
			struct notes wrong = whole;
			uint32_t header[2] = {sizes[i / ARRAY_SIZE(sizes)],
					      sizes[i % ARRAY_SIZE(sizes)]};

			memcpy(wrong.bytes, header, sizeof(header));
			wrong.align = align;
			problem_of(&wrong, &lacks);
			free(lacks);
			lacks = NULL;
		}
	}
}

/* ---- whole files ---- */

struct object {
	ElfW(Ehdr) header;
	ElfW(Phdr) segment;
	char notes[64];
};

static struct object object_with(const struct notes *notes)
{
	struct object object = {
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
			   .e_type = ET_DYN,
#if defined(__x86_64__)
			   .e_machine = EM_X86_64,
#elif defined(__aarch64__)
			   .e_machine = EM_AARCH64,
#endif
			   .e_phentsize = sizeof(ElfW(Phdr)),
			   .e_phoff = offsetof(struct object, segment),
			   .e_phnum = 1},
		.segment = {.p_type = PT_NOTE,
			    .p_offset = offsetof(struct object, notes),
			    .p_filesz = notes->size,
			    .p_align = notes->align},
	};

	memcpy(object.notes, notes->bytes, notes->size);
	return object;
}

static const char *problem_of_file(const void *bytes, size_t size, char **ret_lacks)
{
	const char *problem;
	char path[32];
	int fd = memfd_create("plugin", MFD_CLOEXEC);

	assert_int_equal(write(fd, bytes, size), size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	problem = plugin_file_problem(path, ret_lacks);
	close(fd);
	return problem;
}

static void test_files(void **state)
{
	struct notes notes = {.align = 4};
	struct object object;
	char *lacks = NULL;

	add_path(&notes, GONE);
	object = object_with(&notes);
	assert_null(problem_of_file(&object, sizeof(object), &lacks));
	assert_string_equal(lacks, GONE);
	free(lacks);
	lacks = NULL;
	for (size_t size = 0; size < offsetof(struct object, notes) + notes.size; size++) {
		assert_non_null(problem_of_file(&object, size, &lacks));
		assert_null(lacks);
	}
	object.segment.p_type = PT_LOAD;
	assert_null(problem_of_file(&object, sizeof(object), &lacks));
	assert_null(lacks);
	object.segment.p_type = PT_NOTE;
	object.segment.p_filesz = UINT64_MAX;
	assert_non_null(problem_of_file(&object, sizeof(object), &lacks));
	object.segment.p_filesz = notes.size;
	object.segment.p_offset = UINT64_MAX - 8;
	assert_non_null(problem_of_file(&object, sizeof(object), &lacks));
	object.header.e_phoff = UINT64_MAX - 8;
	assert_non_null(problem_of_file(&object, sizeof(object), &lacks));
	assert_null(lacks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),  cmocka_unit_test(test_a_file_is_no_folder),
		cmocka_unit_test(test_others), cmocka_unit_test(test_no_paths),
		cmocka_unit_test(test_cut),    cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("plugin/elf", tests, NULL, NULL);
}
