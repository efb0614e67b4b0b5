// SPDX-License-Identifier: GPL-2.0-only
/* The vDSO's symbols (mem/vdso.h), read from the one of this process, whole, cut and damaged; and
 * redirected copies, called. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "mem/vdso.h"

#define SIZE 8192

static const void *own_vdso(void)
{
	const void *vdso = (const void *)getauxval(AT_SYSINFO_EHDR);

	if (!vdso)
		skip();
	return vdso;
}

static void test_symbols(void **state)
{
	struct vdso_symbols symbols;

	assert_int_equal(vdso_parse(own_vdso(), SIZE, &symbols), 0);
	assert_non_null(vdso_find(&symbols, "__vdso_clock_gettime"));
	assert_non_null(vdso_find(&symbols, "__vdso_gettimeofday"));
	assert_non_null(vdso_find(&symbols, "__vdso_time"));
	assert_non_null(vdso_find(&symbols, "__vdso_getcpu"));
	assert_null(vdso_find(&symbols, "__vdso_no_such_thing"));
}

static void test_damaged_images_are_read_within_their_bounds(void **state)
{
	uint8_t *copy = malloc(SIZE);
	struct vdso_symbols symbols;

	for (size_t size = 0; size < SIZE; size += 61) {
		uint8_t *cut = malloc(size + 1);

		memcpy(cut, own_vdso(), size);
		vdso_parse(cut, size, &symbols);
		free(cut);
	}
	srand(3);
	for (int i = 0; i < 20000; i++) {
		memcpy(copy, own_vdso(), SIZE);
		for (int j = 0; j < 3; j++)
			copy[rand() % 2048] = (uint8_t)rand();
		vdso_parse(copy, SIZE, &symbols);
		vdso_is_same(copy, own_vdso(), SIZE);
	}
	free(copy);
}

static uint8_t *find_build_id(uint8_t *copy)
{
	static const uint8_t head[] = {NT_GNU_BUILD_ID, 0, 0, 0, 'G', 'N', 'U', 0};
	uint8_t *note = memmem(copy, SIZE, head, sizeof(head));

	assert_non_null(note);
	return note + sizeof(head);
}

static void test_same(void **state)
{
	uint8_t *copy = malloc(SIZE), *name;
	struct vdso_symbols symbols;
	uint64_t code;

	assert_int_equal(vdso_parse(own_vdso(), SIZE, &symbols), 0);
	code = vdso_find(&symbols, "__vdso_clock_gettime")->offset;
	memcpy(copy, own_vdso(), SIZE);
	assert_true(vdso_is_same(copy, own_vdso(), SIZE));
	/* The same build, patched for another CPU. */
	copy[code] ^= 1;
	assert_true(vdso_is_same(copy, own_vdso(), SIZE));
	/* Another build with other code. */
	*find_build_id(copy) ^= 1;
	assert_false(vdso_is_same(copy, own_vdso(), SIZE));
	/* Another build of the same code. */
	copy[code] ^= 1;
	assert_true(vdso_is_same(copy, own_vdso(), SIZE));
	/* The function that is there is another one. */
	name = memmem(copy, SIZE, "__vdso_time", sizeof("__vdso_time"));
	assert_non_null(name);
	name[7] = 'l';
	assert_false(vdso_is_same(copy, own_vdso(), SIZE));
	memset(copy, 0, SIZE);
	assert_false(vdso_is_same(copy, own_vdso(), SIZE));
	free(copy);
}

typedef int (*clock_function)(clockid_t, struct timespec *);

static void check_clock(const struct vdso_symbols *own, uint64_t own_at)
{
	struct vdso_symbols saved;
	uint8_t *copy =
		mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct timespec before, now, after;
	const char *name;
	clock_function function;

	memcpy(copy, own_vdso(), SIZE);
	assert_int_equal(vdso_parse(copy, SIZE, &saved), 0);
	assert_int_equal(vdso_redirect(copy, SIZE, (uintptr_t)copy, &saved, own, own_at, &name), 0);
	assert_memory_not_equal(copy, own_vdso(), SIZE);
	mprotect(copy, SIZE, PROT_READ | PROT_EXEC);
	function = (clock_function)(copy + vdso_find(&saved, "__vdso_clock_gettime")->offset);
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(function(CLOCK_MONOTONIC, &now), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(before.tv_sec < now.tv_sec ||
		    (before.tv_sec == now.tv_sec && before.tv_nsec <= now.tv_nsec));
	assert_true(now.tv_sec < after.tv_sec ||
		    (now.tv_sec == after.tv_sec && now.tv_nsec <= after.tv_nsec));
	munmap(copy, SIZE);
}

static void test_redirected_to_the_present_one(void **state)
{
	struct vdso_symbols own;

	assert_int_equal(vdso_parse(own_vdso(), SIZE, &own), 0);
	check_clock(&own, (uintptr_t)own_vdso());
}

static void test_redirected_to_system_calls(void **state)
{
	struct vdso_symbols none = {.n = 0};

	check_clock(&none, (uintptr_t)own_vdso());
}

static void test_a_function_too_short_is_refused(void **state)
{
	uint8_t image[64] = {0};
	struct vdso_symbols saved = {.items = {{"__vdso_time", 60, 0}}, .n = 1};
	struct vdso_symbols none = {.n = 0};
	const char *name;

	assert_int_equal(vdso_redirect(image, sizeof(image), 4096, &saved, &none, 0, &name),
			 -EBADMSG);
	assert_string_equal(name, "__vdso_time");
	saved.items[0].offset = 8;
	saved.items[0].size = 4;
	assert_int_equal(vdso_redirect(image, sizeof(image), 4096, &saved, &none, 0, &name),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_damaged_images_are_read_within_their_bounds),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_redirected_to_the_present_one),
		cmocka_unit_test(test_redirected_to_system_calls),
		cmocka_unit_test(test_a_function_too_short_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
