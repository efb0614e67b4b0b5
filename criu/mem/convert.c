// SPDX-License-Identifier: GPL-2.0-only
/*
 * From what the kernel tells of a mapping (kernel/maps.h) to the fields of vma_entry: status says
 * what kind of area it is, flags are those mmap(2) needs to make it again, madv the lasting advice.
 * Mappings that cannot be brought back are refused here, as far as their facts show it. Not saved,
 * since the format has no field for it: mseal(2), MLOCK_ONFAULT. No system calls;
 * test/unit/mem/test-convert.c.
 */
#include <sys/mman.h>

#include "compel/base/bits.h"
#include "mem/mem-priv.h"
#include "util/str.h"

static const struct {
	uint64_t flag;
	int advice;
} advice_of_flag[] = {
	{VMA_RR, MADV_RANDOM},    {VMA_SR, MADV_SEQUENTIAL}, {VMA_DC, MADV_DONTFORK},
	{VMA_MG, MADV_MERGEABLE}, {VMA_HG, MADV_HUGEPAGE},   {VMA_NH, MADV_NOHUGEPAGE},
	{VMA_DD, MADV_DONTDUMP},  {VMA_WF, MADV_WIPEONFORK},
};

/* Mappings that a name tells: status, and mmap flags beside those of the facts. */
static const struct {
	const char *name;
	uint32_t status, flags;
} named_areas[] = {
	{"[vsyscall]", VMA_AREA_VSYSCALL | VMA_ANON_PRIVATE, MAP_ANONYMOUS},
	{"[vectors]", VMA_AREA_VSYSCALL | VMA_ANON_PRIVATE, MAP_ANONYMOUS},
	{"[vdso]", VMA_AREA_REGULAR | VMA_AREA_VDSO | VMA_ANON_PRIVATE, MAP_ANONYMOUS},
	{"[vvar]", VMA_AREA_REGULAR | VMA_AREA_VVAR | VMA_ANON_PRIVATE, MAP_ANONYMOUS},
	{"[vvar_vclock]", VMA_AREA_REGULAR | VMA_AREA_VVAR | VMA_ANON_PRIVATE, MAP_ANONYMOUS},
	{"[heap]", VMA_AREA_REGULAR | VMA_AREA_HEAP | VMA_ANON_PRIVATE, MAP_ANONYMOUS},
	{"[uprobes]", VMA_AREA_UPROBES, 0},
};

static const struct {
	const char *prefix, *why;
} refused_names[] = {
	{"anon_inode:[io_uring]", "it is a ring of io_uring, which cannot be dumped"},
	{"anon_inode:[perf_event]", "it is a buffer of perf events, which cannot be dumped"},
	{"anon_inode:bpf-map", "it maps a BPF map, which cannot be dumped"},
	{"anon_inode:", "it maps an object of the kernel that cannot be dumped"},
	{"socket:", "it is the ring of a packet socket, which cannot be dumped yet"},
	{"/SYSV",
	 "it is System V shared memory, which can be dumped with an IPC namespace of its own only"},
};

static uint32_t size_code(uint32_t page_size)
{
	return (uint32_t)__builtin_ctz(page_size) << MAP_HUGE_SHIFT;
}

static uint32_t mmap_flags(const struct vma_facts *facts)
{
	uint32_t flags = facts->is_shared ? MAP_SHARED : MAP_PRIVATE;

	if (facts->flags & VMA_DP)
		flags = MAP_DROPPABLE;
	if (facts->flags & VMA_GD)
		flags |= MAP_GROWSDOWN;
	if (facts->flags & VMA_LO)
		flags |= MAP_LOCKED;
	if (facts->flags & VMA_NR)
		flags |= MAP_NORESERVE;
	if (facts->flags & VMA_HT)
		flags |= MAP_HUGETLB | size_code(facts->page_size);
	return flags;
}

static const char *reason_to_refuse(const struct vma_facts *facts)
{
	if (!facts->start)
		return "it begins at address 0, which restore could not tell from nothing";
	if (facts->flags & (VMA_UM | VMA_UW | VMA_UI))
		return "it is registered with userfaultfd, which cannot be dumped";
	if (facts->flags & VMA_SS)
		return "it is a shadow stack, which cannot be dumped";
	for (size_t i = 0; i < ARRAY_SIZE(refused_names); i++)
		if (str_starts_with(facts->path, refused_names[i].prefix))
			return refused_names[i].why;
	/* vvar is such a mapping too, but was recognised by its name. */
	if (facts->flags & (VMA_PF | VMA_IO))
		return "it maps a device, and no plugin handles it";
	return NULL;
}

static uint32_t status_of_rest(const struct vma_facts *facts, uint32_t *flags)
{
	bool is_hugetlb_object = facts->is_deleted && str_equal(facts->path, "/anon_hugepage");
	bool is_object = facts->is_deleted && (str_starts_with(facts->path, "/memfd:") ||
					       str_equal(facts->path, "/dev/zero"));

	if (!facts->inode || (is_hugetlb_object && !facts->is_shared)) {
		*flags |= MAP_ANONYMOUS;
		return VMA_AREA_REGULAR | VMA_ANON_PRIVATE;
	}
	if (is_object || is_hugetlb_object || str_starts_with(facts->path, "[anon_shmem:"))
		return VMA_AREA_REGULAR | VMA_AREA_MEMFD |
		       (facts->is_shared ? VMA_FILE_SHARED : VMA_FILE_PRIVATE);
	return VMA_AREA_REGULAR | (facts->is_shared ? VMA_FILE_SHARED : VMA_FILE_PRIVATE);
}

const char *vma_convert(const struct vma_facts *facts, struct vma *ret)
{
	const char *why;

	*ret = (struct vma){
		.start = facts->start,
		.end = facts->end,
		.prot = facts->prot,
		.pkey = facts->pkey,
		.has_pkey = facts->pkey != 0,
		.flags = mmap_flags(facts),
		.facts = facts,
	};
	for (size_t i = 0; i < ARRAY_SIZE(advice_of_flag); i++)
		if (facts->flags & advice_of_flag[i].flag)
			ret->madv |= 1ull << advice_of_flag[i].advice;

	if (facts->is_deleted && str_equal(facts->path, "/[aio]")) {
		ret->status = VMA_AREA_AIORING;
		ret->flags = MAP_SHARED;
		ret->madv = 0;
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(named_areas); i++) {
		if (str_equal(facts->path, named_areas[i].name)) {
			ret->status = named_areas[i].status;
			ret->flags |= named_areas[i].flags;
			return NULL;
		}
	}
	why = reason_to_refuse(facts);
	if (why)
		return why;

	ret->status = status_of_rest(facts, &ret->flags);
	if (vma_has_file(ret))
		ret->pgoff = facts->pgoff;
	return NULL;
}

bool vma_convert_device(const struct vma_facts *facts, struct vma *ret)
{
	if (!facts->inode || !facts->start)
		return false;
	ret->status = VMA_AREA_REGULAR | (facts->is_shared ? VMA_FILE_SHARED : VMA_FILE_PRIVATE);
	ret->pgoff = facts->pgoff;
	return true;
}

bool vma_has_private_pages(const struct vma *vma)
{
	if (vma->status & VMA_AREA_AIORING)
		return true;
	if (!(vma->status & VMA_AREA_REGULAR) || vma->end > MEM_TASK_SIZE)
		return false;
	if ((vma->status & VMA_AREA_VVAR) || (vma->flags & MAP_TYPE) == MAP_DROPPABLE)
		return false;
	return vma->status & (VMA_ANON_PRIVATE | VMA_FILE_PRIVATE);
}

uint32_t vma_page_flags(const struct vma *vma)
{
	const uint32_t wanted = MAP_ANONYMOUS | MAP_PRIVATE;

	if (vma->status & (VMA_AREA_VDSO | VMA_AREA_VVAR | VMA_AREA_VSYSCALL))
		return 0;
	if ((vma->flags & (wanted | MAP_LOCKED | MAP_HUGETLB)) != wanted)
		return 0;
	return PE_LAZY;
}

bool vma_has_file(const struct vma *vma)
{
	return vma->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED);
}
