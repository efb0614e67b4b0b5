// SPDX-License-Identifier: GPL-2.0-only
/* What the session decides without a process: holes, stacks, instructions, frames, restarts; and
 * the table of entries. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "compel/base/bits.h"
#include "compel/lib/session-priv.h"

static struct vma mapping(uint64_t start, uint64_t end, bool is_open)
{
	return (struct vma){.start = start,
			    .end = end,
			    .is_readable = is_open,
			    .is_writable = is_open,
			    .is_private = true};
}

static void test_own_maps(void **state)
{
	int on_stack = 0;
	const struct vma *vma;
	struct maps maps;

	assert_int_equal(session_maps_read(getpid(), &maps), 0);
	vma = session_maps_find(&maps, (uint64_t)&on_stack);
	assert_non_null(vma);
	assert_true(vma->is_stack && vma->is_writable && vma->is_private && !vma->is_executable);
	assert_true(session_maps_is_thread_stack(&maps, vma));
	vma = session_maps_find(&maps, (uint64_t)test_own_maps);
	assert_non_null(vma);
	assert_true(vma->is_executable && vma->is_readable && vma->inode);
	assert_null(session_maps_find(&maps, 0));
	assert_null(session_maps_find(&maps, UINT64_MAX));
	free(maps.vmas);
}

static void test_own_stack_is_untouched_below(void **state)
{
	uint64_t start, end;
	struct maps maps;

	assert_int_equal(session_maps_read(getpid(), &maps), 0);
	if (session_maps_find_untouched_stack(getpid(), &maps, &start, &end) == 0)
		assert_true(start < end && end <= (uint64_t)&start);
	free(maps.vmas);
}

static void test_hole_is_in_the_largest_gap(void **state)
{
	struct vma vmas[] = {mapping(0x400000, 0x500000, true),
			     mapping(0x7f0000000000, 0x7f0000100000, true),
			     mapping(0x7ffff0000000, 0x7ffff0100000, true)};
	struct maps maps = {vmas, ARRAY_SIZE(vmas)};
	uint64_t at;

	assert_int_equal(session_maps_find_hole(&maps, 0x10000, 4095, &at), 0);
	assert_true(at > 0x500000 && at + 0x10000 < 0x7f0000000000);
	assert_int_equal(at % PAGE, 0);
	/* Far from both neighbours. */
	assert_true(at - 0x500000 > 1ULL << 40 && 0x7f0000000000 - at > 1ULL << 40);
	assert_int_equal(session_maps_find_hole(&maps, 1ULL << 46, 1, &at), -ENOMEM);
}

static void test_stacks_are_known_by_their_guard(void **state)
{
	struct vma vmas[] = {mapping(0x1000000, 0x1001000, false),
			     mapping(0x1001000, 0x1800000, true),
			     mapping(0x2000000, 0x3000000, true)};
	struct maps maps = {vmas, ARRAY_SIZE(vmas)};

	assert_true(session_maps_is_thread_stack(&maps, &vmas[1]));
	assert_false(session_maps_is_thread_stack(&maps, &vmas[2]));
}

#if defined(__x86_64__)
static int read_code(void *opaque, uint64_t from, void *to, size_t size)
{
	memcpy(to, (const char *)opaque + (from - 0x1000), size);
	return 0;
}

static void test_instructions_are_found(void **state)
{
	unsigned char code[256];
	struct gadgets g = {0};

	memset(code, 0x90, sizeof(code));
	memcpy(code + 30, "\x0f\x05", 2);
	compel_arch_gadgets_scan(code, sizeof(code), 0x1000, &g);
	assert_int_equal(g.syscall, 0x1000 + 30);
	assert_false(gadgets_are_complete(&g));

	memcpy(code + 253, "\x0f\x05\xc3", 3);
	memcpy(code + 100, "\x58\xc3", 2);
	compel_arch_gadgets_scan(code, sizeof(code), 0x1000, &g);
	assert_int_equal(g.syscall_ret, 0x1000 + 253);
	assert_int_equal(g.pop_number, 0x1000 + 100);
	assert_true(gadgets_are_complete(&g));

	memset(&g, 0, sizeof(g));
	memcpy(code, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);
	compel_arch_gadgets_scan(code, sizeof(code), 0x1000, &g);
	assert_int_equal(g.restorer, 0x1000);
	assert_true(compel_arch_gadgets_verify(&g, read_code, code));
	code[3] = 0x10;
	assert_false(compel_arch_gadgets_verify(&g, read_code, code));
	memcpy(code, "\xb8\x0f\0\0\0\x0f\x05\x90\x90", 9);
	g = (struct gadgets){0};
	compel_arch_gadgets_scan(code, sizeof(code), 0x1000, &g);
	assert_int_equal(g.restorer, 0x1000);
	assert_true(compel_arch_gadgets_verify(&g, read_code, code));
}

/* What lies at the very edge of what was read is not looked at beyond it. */
static void test_code_ends_anywhere(void **state)
{
	static const unsigned char whole[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05, 0xc3};

	for (size_t size = 1; size <= sizeof(whole); size++) {
		unsigned char *code = malloc(size);
		struct gadgets g = {0};

		memcpy(code, whole, size);
		compel_arch_gadgets_scan(code, size, 0x1000, &g);
		assert_int_equal(g.syscall != 0, size >= 9);
		assert_int_equal(g.syscall_ret != 0, size >= 10);
		free(code);
	}
}

static void test_restart(void **state)
{
	struct compel_regs regs = {.general = {.orig_rax = 35, .rax = -516, .rip = 0x1002}};
	long nr = 0;

	assert_int_equal(compel_regs_restart(&regs, &nr), 516);
	assert_int_equal(nr, 35);
	compel_regs_reissue(&regs);
	assert_int_equal(regs.general.rax, 35);
	assert_int_equal(regs.general.rip, 0x1000);
	assert_int_equal(compel_regs_restart(&regs, NULL), 0);

	regs.general = (struct user_regs_struct){.orig_rax = 35, .rax = -4, .rip = 0x1002};
	assert_int_equal(compel_regs_restart(&regs, NULL), 0);
	compel_regs_reissue(&regs);
	assert_int_equal(regs.general.rip, 0x1002);
	regs.general = (struct user_regs_struct){.orig_rax = -1, .rax = -512};
	assert_int_equal(compel_regs_restart(&regs, NULL), 0);
}

/* An image with state that the frame's size limit cuts off only if it is not in use. */
static void test_image_size(void **state)
{
	struct compel_regs regs = {.fpu_size = 11008, .fpu = calloc(1, 11008)};
	uint64_t present = 7;
	char *image = calloc(1, 11012);
	uint32_t word;

	memcpy((char *)regs.fpu + 512, &present, sizeof(present));
	assert_int_equal(compel_arch_fpu_image_size(&regs, 2816), 2816 + 4);
	compel_arch_fpu_image_fill(image, &regs, 2816);
	memcpy(&word, image + 464, 4);
	assert_int_equal(word, 0x46505853);
	memcpy(&word, image + 2816, 4);
	assert_int_equal(word, 0x46505845);

	present |= 1 << 18;
	memcpy((char *)regs.fpu + 512, &present, sizeof(present));
	assert_int_equal(compel_arch_fpu_image_size(&regs, 2816), 11008 + 4);
	free(image);
	free(regs.fpu);
}
#endif

static void test_entries_are_found(void **state)
{
	static const struct compel_symbol symbols[] = {{"a", 0}, {"b", 64}};
	struct compel_blob blob = {.symbols = symbols, .nr_symbols = 2};
	uint64_t at = 1;

	assert_int_equal(compel_blob_find(&blob, "b", &at), 0);
	assert_int_equal(at, 64);
	assert_int_equal(compel_blob_find(&blob, "c", &at), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_maps),
		cmocka_unit_test(test_own_stack_is_untouched_below),
		cmocka_unit_test(test_hole_is_in_the_largest_gap),
		cmocka_unit_test(test_stacks_are_known_by_their_guard),
#if defined(__x86_64__)
		cmocka_unit_test(test_instructions_are_found),
		cmocka_unit_test(test_code_ends_anywhere),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_image_size),
#endif
		cmocka_unit_test(test_entries_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
