// SPDX-License-Identifier: GPL-2.0-only
/* From the kernel's facts of a mapping to the fields of vma_entry (mem/convert.c): status, flags,
 * advice, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "mem/mem-priv.h"

struct expectation {
	const char *path;
	uint64_t inode, flags;
	bool is_shared, is_deleted;
	uint32_t page_size;
	uint32_t status, mmap_flags, page_flags;
	uint64_t madv;
};

#define REGULAR VMA_AREA_REGULAR

static const struct expectation expectations[] = {
	{"", 0, 0, false, false, 4096, REGULAR | VMA_ANON_PRIVATE, MAP_PRIVATE | MAP_ANONYMOUS,
	 PE_LAZY, 0},
	{"[heap]", 0, 0, false, false, 4096, REGULAR | VMA_AREA_HEAP | VMA_ANON_PRIVATE,
	 MAP_PRIVATE | MAP_ANONYMOUS, PE_LAZY, 0},
	{"[stack]", 0, VMA_GD, false, false, 4096, REGULAR | VMA_ANON_PRIVATE,
	 MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, PE_LAZY, 0},
	{"[anon:arena]", 0, VMA_NR, false, false, 4096, REGULAR | VMA_ANON_PRIVATE,
	 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, PE_LAZY, 0},
	{"", 0, VMA_LO, false, false, 4096, REGULAR | VMA_ANON_PRIVATE,
	 MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, 0, 0},
	{"", 0, VMA_DD | VMA_NH, false, false, 4096, REGULAR | VMA_ANON_PRIVATE,
	 MAP_PRIVATE | MAP_ANONYMOUS, PE_LAZY, 0x18000},
	{"", 0, VMA_RR | VMA_SR | VMA_DC | VMA_MG | VMA_HG | VMA_WF, false, false, 4096,
	 REGULAR | VMA_ANON_PRIVATE, MAP_PRIVATE | MAP_ANONYMOUS, PE_LAZY, 0x45406},
	{"", 0, VMA_DP | VMA_NR | VMA_WF | VMA_DD, false, false, 4096, REGULAR | VMA_ANON_PRIVATE,
	 0x4028, 0, 0x50000},
	{"[vdso]", 0, VMA_DE, false, false, 4096, 0x209, MAP_PRIVATE | MAP_ANONYMOUS, 0, 0},
	{"[vvar]", 0, VMA_PF | VMA_IO | VMA_DD, false, false, 4096, 0x1201,
	 MAP_PRIVATE | MAP_ANONYMOUS, 0, 0x10000},
	{"[vvar_vclock]", 0, VMA_PF | VMA_IO | VMA_DD, false, false, 4096, 0x1201,
	 MAP_PRIVATE | MAP_ANONYMOUS, 0, 0x10000},
	{"[vsyscall]", 0, 0, false, false, 4096, 0x204, MAP_PRIVATE | MAP_ANONYMOUS, 0, 0},
	{"/bin/true", 5, 0, false, false, 4096, REGULAR | VMA_FILE_PRIVATE, MAP_PRIVATE, 0, 0},
	{"/data", 5, 0, true, false, 4096, REGULAR | VMA_FILE_SHARED, MAP_SHARED, 0, 0},
	{"/dev/zero", 5, 0, false, false, 4096, REGULAR | VMA_FILE_PRIVATE, MAP_PRIVATE, 0, 0},
	{"/dev/zero", 5, VMA_NR, true, true, 4096, 0x4081, MAP_SHARED | MAP_NORESERVE, 0, 0},
	{"[anon_shmem:x]", 5, 0, true, false, 4096, 0x4081, MAP_SHARED, 0, 0},
	{"/memfd:a", 5, 0, true, true, 4096, 0x4081, MAP_SHARED, 0, 0},
	{"/memfd:a", 5, 0, false, true, 4096, 0x4041, MAP_PRIVATE, 0, 0},
	{"/anon_hugepage", 5, VMA_HT, false, true, 1 << 21, REGULAR | VMA_ANON_PRIVATE,
	 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << 26, 0, 0},
	{"/anon_hugepage", 5, VMA_HT, true, true, 1 << 21, 0x4081,
	 MAP_SHARED | MAP_HUGETLB | 21 << 26, 0, 0},
	{"/[aio]", 5, VMA_DE, true, true, 4096, 0x2000, MAP_SHARED, 0, 0},
};

static struct vma_facts facts_of(const struct expectation *e)
{
	return (struct vma_facts){
		.start = 0x10000,
		.end = 0x20000,
		.inode = e->inode,
		.flags = e->flags,
		.path = e->path,
		.page_size = e->page_size,
		.prot = PROT_READ,
		.is_shared = e->is_shared,
		.is_deleted = e->is_deleted,
		.has_flags = true,
	};
}

static void test_kinds(void **state)
{
	for (size_t i = 0; i < sizeof(expectations) / sizeof(*expectations); i++) {
		const struct expectation *e = &expectations[i];
		struct vma_facts facts = facts_of(e);
		struct vma vma;

		assert_null(vma_convert(&facts, &vma));
		if (vma.status != e->status || vma.flags != e->mmap_flags || vma.madv != e->madv)
			fail_msg("%zu (%s): status %#x, flags %#x, madv %#lx", i, e->path,
				 vma.status, vma.flags, (unsigned long)vma.madv);
		assert_int_equal(vma_page_flags(&vma), e->page_flags);
	}
}

static void test_private_pages(void **state)
{
	struct vma vma = {.end = MEM_TASK_SIZE,
			  .status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE,
			  .flags = MAP_PRIVATE};

	assert_true(vma_has_private_pages(&vma));
	vma.flags = MAP_DROPPABLE;
	assert_false(vma_has_private_pages(&vma));
	vma.flags = MAP_PRIVATE;
	vma.end += MEM_PAGE;
	assert_false(vma_has_private_pages(&vma));
	vma.status = VMA_AREA_AIORING;
	assert_true(vma_has_private_pages(&vma));
	vma.end -= MEM_PAGE;
	vma.status = VMA_AREA_REGULAR | VMA_FILE_SHARED;
	assert_false(vma_has_private_pages(&vma));
}

static void test_refusals(void **state)
{
	static const struct expectation refused[] = {
		{.path = "anon_inode:[io_uring]", .inode = 1, .is_shared = true},
		{.path = "anon_inode:[perf_event]", .inode = 1, .is_shared = true},
		{.path = "socket:[77]", .inode = 77, .is_shared = true},
		{.path = "/SYSV00000000", .inode = 1, .is_shared = true, .is_deleted = true},
		{.path = "/dev/dri/card0", .inode = 1, .is_shared = true, .flags = VMA_PF | VMA_IO},
		{.path = "", .flags = VMA_UM},
		{.path = "", .flags = VMA_UW},
		{.path = "", .flags = VMA_SS},
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		struct vma_facts facts = facts_of(&refused[i]);
		struct vma vma;

		assert_non_null(vma_convert(&facts, &vma));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_private_pages),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
