// SPDX-License-Identifier: GPL-2.0-only
/* Mappings and pages: fixed texts, and mappings of our own of every kind. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compel/base/cleanup.h"
#include "kernel/btf.h"
#include "kernel/maps-priv.h"
#include "kernel/maps.h"
#include "kernel/pagemap.h"
#include "kernel/proc.h"

#define PAGE 4096ul

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static const char maps_text[] =
	"00400000-00401000 r-xp 00001000 fe:00 10953064                           /tmp/a b "
	"(deleted)\n"
	"7f0000000000-7f0000002000 rw-s 00000000 00:01 2063                       /memfd:x\\012y "
	"(deleted)\n"
	"7f0000002000-7f0000003000 ---p 00000000 00:00 0 \n"
	"7f0000003000-7f0000004000 rw-p 00000000 00:00 0                          [anon:a name]\n"
	"7f0000004000-7f0000005000 r--p 00000000 fe:00 1                            /blank\\040x\n"
	"7f0000005000-7f0000006000 r--p 12345678900000 103:fffff 18446744073709551615 /long\n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

static void lines(void **state)
{
	struct vma_list list;
	const struct vma_facts *vma;

	assert_int_equal(maps_parse(maps_text, strlen(maps_text), &list), 0);
	assert_int_equal(list.n, 7);
	vma = list.items;
	assert_true(vma[0].start == 0x400000 && vma[0].end == 0x401000 && vma[0].pgoff == 0x1000);
	assert_int_equal(vma[0].prot, PROT_READ | PROT_EXEC);
	assert_true(vma[0].dev_major == 0xfe && vma[0].inode == 10953064 && vma[0].is_deleted);
	assert_string_equal(vma[0].path, "/tmp/a b");
	assert_true(vma[1].is_shared && vma[1].is_deleted);
	assert_string_equal(vma[1].path, "/memfd:x\ny");
	assert_string_equal(vma[2].path, "");
	assert_int_equal(vma[2].prot, PROT_NONE);
	assert_string_equal(vma[3].path, "[anon:a name]");
	/* Two blanks belong to the name; a backslash is nothing special. */
	assert_string_equal(vma[4].path, "  /blank\\040x");
	assert_string_equal(vma[5].path, "/long");
	assert_true(vma[5].inode == UINT64_MAX && vma[5].dev_minor == 0xfffff);
	assert_string_equal(vma[6].path, "[vsyscall]");

	assert_ptr_equal(vma_list_find(&list, 0x400fff), &vma[0]);
	assert_ptr_equal(vma_list_find(&list, 0x7f0000002000), &vma[2]);
	assert_null(vma_list_find(&list, 0x401000));
	assert_null(vma_list_find(&list, 0));
	assert_null(vma_list_find(&list, UINT64_MAX));
	vma_list_release(&list);
}

static void bad_lines(void **state)
{
	static const char *const bad[] = {
		"\n",
		"x",
		"1000-2000",
		"1000-2000 rwxq 0 0:0 0",
		"1000-2000 rwp 0 0:0 0",
		"2000-1000 rwxp 0 0:0 0 \n",
		"1000-1000 rwxp 0 0:0 0 \n",
		"1000-3000 rwxp 0 0:0 0 \n2000-4000 rwxp 0 0:0 0 \n",
		"1000-2000 rwxp 0 0:0 0x",
		"10000000000000000-20000000000000000 rwxp 0 0:0 0 ",
		"1000-2000 rwxp 0 0:0",
	};
	struct vma_list list;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(maps_parse(bad[i], strlen(bad[i]), &list), -EBADMSG);
	assert_int_equal(maps_parse("", 0, &list), 0);
	assert_int_equal(list.n, 0);
	vma_list_release(&list);
}

static void flags(void **state)
{
	uint64_t got;

	assert_int_equal(maps_parse_flags(" rd wr mr mw me gd ac ", 22, &got), 0);
	assert_true(got == (VMA_RD | VMA_WR | VMA_MR | VMA_MW | VMA_ME | VMA_GD | VMA_AC));
	assert_int_equal(maps_parse_flags(" sl zz  ss", 10, &got), 0);
	assert_true(got == (VMA_SL | VMA_SS | VMA_OTHER));
	assert_int_equal(maps_parse_flags("", 0, &got), 0);
	assert_true(got == 0);
}

static void smaps_must_fit(void **state)
{
	static const char maps[] =
		"1000-2000 rw-p 00000000 00:00 0 \n2000-5000 rw-p 00000000 00:00 0 \n";
	static const char good[] =
		"1000-2000 rw-p 00000000 00:00 0 \nSize: 4 kB\nKernelPageSize:        4 kB\n"
		"VmFlags: rd wr \n2000-5000 rw-p 00000000 00:00 0 \nSize: 1\nKernelPageSize:  2048 "
		"kB\n"
		"THPeligible:           0\nProtectionKey:         3\nVmFlags: rd ht \n";
	struct vma_list list;

	assert_int_equal(maps_parse(maps, strlen(maps), &list), 0);
	assert_int_equal(maps_parse_smaps(good, strlen(good), &list), 0);
	assert_true(list.items[0].has_flags && list.items[0].flags == (VMA_RD | VMA_WR));
	assert_true(list.items[0].page_size == 4096 && list.items[0].pkey == 0);
	assert_true(list.items[1].flags == (VMA_RD | VMA_HT) && list.items[1].page_size == 2 << 20);
	assert_int_equal(list.items[1].pkey, 3);
	for (size_t size = 1; size < strlen(good); size++)
		assert_true(maps_parse_smaps(good, size, &list) < 0);
	list.n = 1;
	assert_int_equal(maps_parse_smaps(good, strlen(good), &list), -ESTALE);
	list.n = 2;
	list.items[1].end += 4096;
	assert_int_equal(maps_parse_smaps(good, strlen(good), &list), -ESTALE);
	vma_list_release(&list);
}

static struct vma_list read_own(void)
{
	_cleanup_close_ int dir = proc_open(getpid());
	struct vma_list list;
	int err = -ESTALE;

	/* The sanitizers may map something between the two readings. */
	while (err == -ESTALE) {
		assert_int_equal(maps_read(dir, &list), 0);
		err = maps_read_flags(dir, &list, NULL);
		if (err == -ESTALE)
			vma_list_release(&list);
	}
	assert_int_equal(err, 0);
	return list;
}

static void our_own_mappings(void **state)
{
	char name[] = "/tmp/test-maps\n x.XXXXXX";
	_cleanup_close_ int fd = mkstemp(name);
	char *anon =
		mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct vma_facts *vma;
	struct vma_list list;
	struct stat st;
	char *file;

	assert_int_equal(ftruncate(fd, 3 * PAGE), 0);
	file = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, PAGE);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(mprotect(anon + PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(madvise(anon + 2 * PAGE, PAGE, MADV_DONTFORK), 0);
	assert_int_equal(madvise(anon + 3 * PAGE, PAGE, MADV_DONTDUMP), 0);
	assert_int_equal(madvise(anon + 4 * PAGE, PAGE, MADV_WIPEONFORK), 0);
	/* ASan makes mlock(3) do nothing. */
	assert_int_equal(syscall(SYS_mlock, anon + 5 * PAGE, PAGE), 0);

	list = read_own();
	vma = vma_list_find(&list, (uintptr_t)anon + PAGE);
	assert_true(vma && vma->prot == PROT_NONE && vma->start == (uintptr_t)anon + PAGE &&
		    !vma->is_shared);
	assert_true(vma_list_find(&list, (uintptr_t)anon + 2 * PAGE)->flags & VMA_DC);
	assert_true(vma_list_find(&list, (uintptr_t)anon + 3 * PAGE)->flags & VMA_DD);
	assert_true(vma_list_find(&list, (uintptr_t)anon + 4 * PAGE)->flags & VMA_WF);
	assert_true(vma_list_find(&list, (uintptr_t)anon + 5 * PAGE)->flags & VMA_LO);
	vma = vma_list_find(&list, (uintptr_t)shared);
	assert_true(vma && vma->is_shared && vma->prot == PROT_READ && vma->inode &&
		    vma->is_deleted);
	assert_string_equal(vma->path, "/dev/zero");
	vma = vma_list_find(&list, (uintptr_t)file);
	assert_true(vma && vma->pgoff == PAGE && vma->inode == st.st_ino && vma->page_size == PAGE);
	assert_string_equal(vma->path, name);
	vma = vma_list_find(&list, (uintptr_t)&list);
	assert_true(vma && vma->flags & VMA_GD);
	assert_string_equal(vma->path, "[stack]");
	vma_list_release(&list);

	unlink(name);
	list = read_own();
	vma = vma_list_find(&list, (uintptr_t)file);
	assert_true(vma->is_deleted);
	assert_string_equal(vma->path, name);
	vma_list_release(&list);
	munmap(anon, 8 * PAGE);
	munmap(shared, 2 * PAGE);
	munmap(file, PAGE);
}

/* A task that stays as it is, with mappings of many kinds. */
static pid_t start_task_with_mappings(void)
{
	pid_t pid = fork();
	char *p;

	if (pid)
		return pid;
	p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < 64; i += 8) {
		mprotect(p + i * PAGE, PAGE, PROT_NONE);
		madvise(p + (i + 1) * PAGE, PAGE, MADV_DONTDUMP);
		madvise(p + (i + 2) * PAGE, PAGE, MADV_DONTFORK);
		madvise(p + (i + 3) * PAGE, PAGE, MADV_WIPEONFORK);
		madvise(p + (i + 4) * PAGE, PAGE, MADV_NOHUGEPAGE);
		syscall(SYS_mlock, p + (i + 5) * PAGE, PAGE);
		madvise(p + (i + 6) * PAGE, PAGE, MADV_RANDOM);
	}
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* Where the CPU has protection keys. */
	pkey_mprotect(p, PAGE, PROT_READ, pkey_alloc(0, 0));
	mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE,
	     -1, 0);
	prctl(PR_SET_NAME, "ready");
	for (;;)
		pause();
}

static void words_say_what_smaps_says(void **state)
{
	_cleanup_close_ int dir = -1;
	pid_t pid = start_task_with_mappings();
	struct vma_flags *flags = vma_flags_new();
	struct vma_list by_words, by_smaps;
	char comm[PROC_COMM_LEN] = "";
	int err;

	dir = proc_open(pid);
	while (strcmp(comm, "ready") != 0)
		assert_int_equal(proc_read_comm(dir, comm), 0);
	assert_int_equal(maps_read(dir, &by_words), 0);
	assert_int_equal(maps_read(dir, &by_smaps), 0);
	assert_int_equal(smaps_read(dir, &by_smaps, NULL, NULL), 0);
	err = vma_flags_by_words(dir, &by_words, flags);
	for (size_t i = 0; err == 0 && i < by_words.n; i++) {
		assert_true(by_words.items[i].has_flags);
		assert_true(by_words.items[i].flags == by_smaps.items[i].flags);
		assert_int_equal(by_words.items[i].page_size, by_smaps.items[i].page_size);
		assert_int_equal(by_words.items[i].pkey, by_smaps.items[i].pkey);
	}
	vma_list_release(&by_words);
	vma_list_release(&by_smaps);
	vma_flags_free(flags);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* Only where the kernel has no such thing, or does not let us. */
	if (err < 0) {
		assert_true(err == -EPERM || err == -ENOENT || err == -EINVAL || err == -EACCES ||
			    err == -ENOSYS);
		skip();
	}
}

static void bad_types(void **state)
{
	uint32_t words[32] = {0x01eb9f, 24, 0, 12, 12, 4, 0, 12u << 24, 0, 0};
	struct btf_types *types;
	uint32_t id;

	assert_int_equal(btf_parse(words, 0, &types), -EBADMSG);
	assert_int_equal(btf_parse(words, 20, &types), -EBADMSG);
	assert_int_equal(btf_parse(words, 40, &types), 0);
	assert_int_equal(btf_find_function(types, "", &id), 0);
	assert_int_equal(id, 1);
	assert_int_equal(btf_find_function(types, "f", &id), -ENOENT);
	assert_int_equal(btf_member_offset(types, "s", "m", &id), -ENOENT);
	btf_free(types);
	for (size_t size = 0; size < 40; size++)
		assert_int_equal(btf_parse(words, size, &types), -EBADMSG);
	/* An unknown kind, a struct whose members lie outside, types beyond the end. */
	words[7] = 31u << 24;
	assert_int_equal(btf_parse(words, 40, &types), -EBADMSG);
	words[7] = 4u << 24 | 1;
	assert_int_equal(btf_parse(words, 40, &types), -EBADMSG);
	words[3] = 1000;
	assert_int_equal(btf_parse(words, 40, &types), -EBADMSG);
	btf_free(NULL);
}

struct found {
	struct page_run runs[4096];
	size_t n;
};

static int note(void *arg, const struct page_run *run)
{
	struct found *found = arg;

	found->runs[found->n++] = *run;
	return 0;
}

static struct found *scan(enum pagemap_source source, void *start, size_t pages,
			  const struct page_query *query)
{
	_cleanup_close_ int dir = proc_open(getpid());
	static struct found found;
	struct pagemap *pagemap;

	found.n = 0;
	assert_int_equal(pagemap_open(dir, source, &pagemap), 0);
	assert_int_equal(pagemap_scan(pagemap, (uintptr_t)start, (uintptr_t)start + pages * PAGE,
				      query, note, &found),
			 0);
	pagemap_free(pagemap);
	return &found;
}

static bool has_zero_pages_in_entries(void)
{
	_cleanup_close_ int dir = proc_open(getpid());
	struct pagemap *pagemap;
	bool knows;

	assert_int_equal(pagemap_open(dir, PAGEMAP_ENTRIES, &pagemap), 0);
	knows = pagemap_knows(pagemap, PAGE_PFNZERO);
	pagemap_free(pagemap);
	return knows;
}

static void assert_run(const struct found *found, size_t i, const char *base, size_t first,
		       size_t end)
{
	assert_true(i < found->n);
	assert_int_equal((found->runs[i].start - (uintptr_t)base) / PAGE, first);
	assert_int_equal((found->runs[i].end - (uintptr_t)base) / PAGE, end);
}

static void private_pages(enum pagemap_source source)
{
	char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile char sink;
	struct found *found;

	assert_true(p != MAP_FAILED);
	madvise(p, 64 * PAGE, MADV_NOHUGEPAGE);
	p[2 * PAGE] = 1;
	p[3 * PAGE] = 1;
	sink = p[5 * PAGE];
	(void)sink;
	p[63 * PAGE] = 1;
	found = scan(source, p, 64, &page_query_private_anon);
	assert_int_equal(found->n, 2);
	assert_run(found, 0, p, 2, 4);
	assert_run(found, 1, p, 63, 64);
	found = scan(source, p, 64, &page_query_present);
	assert_int_equal(found->n, 3);
	assert_run(found, 1, p, 5, 6);
	assert_true(found->runs[0].categories & PAGE_PRESENT);
	munmap(p, 64 * PAGE);
}

static void private_pages_by_scan(void **state)
{
	private_pages(PAGEMAP_BEST);
}

static void private_pages_by_entries(void **state)
{
	if (!has_zero_pages_in_entries())
		skip();
	private_pages(PAGEMAP_ENTRIES);
}

/* Every other page: more regions than one call returns, and one large region at the end. */
static void many_regions(void **state)
{
	const size_t n = 4000;
	char *p = mmap(NULL, 3 * n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	assert_true(p != MAP_FAILED);
	madvise(p, 3 * n * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < n; i += 2)
		p[i * PAGE] = 1;
	memset(p + n * PAGE, 1, 2 * n * PAGE);
	for (int source = PAGEMAP_BEST; source <= PAGEMAP_ENTRIES; source++) {
		struct found *found =
			scan((enum pagemap_source)source, p, 3 * n, &page_query_private_anon);

		assert_int_equal(found->n, n / 2 + 1);
		for (size_t i = 0; i < n / 2; i++)
			assert_run(found, i, p, 2 * i, 2 * i + 1);
		assert_run(found, n / 2, p, n, 3 * n);
	}
	munmap(p, 3 * n * PAGE);
}

static void file_pages_that_differ(void **state)
{
	char name[] = "/tmp/test-maps.XXXXXX";
	_cleanup_close_ int fd = mkstemp(name);
	volatile char sink;
	char *p;

	unlink(name);
	assert_int_equal(ftruncate(fd, 8 * PAGE), 0);
	p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	sink = p[PAGE];
	(void)sink;
	p[3 * PAGE] = 1;
	for (int source = PAGEMAP_BEST; source <= PAGEMAP_ENTRIES; source++) {
		struct found *found =
			scan((enum pagemap_source)source, p, 8, &page_query_private_file);

		assert_int_equal(found->n, 1);
		assert_run(found, 0, p, 3, 4);
	}
	munmap(p, 8 * PAGE);
}

static void guard_regions(void **state)
{
	char *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, 1, 8 * PAGE);
	if (madvise(p + 2 * PAGE, 3 * PAGE, MADV_GUARD_INSTALL) < 0)
		skip();
	for (int source = PAGEMAP_BEST; source <= PAGEMAP_ENTRIES; source++) {
		struct found *found = scan((enum pagemap_source)source, p, 8, &page_query_guard);

		assert_int_equal(found->n, 1);
		assert_run(found, 0, p, 2, 5);
		found = scan((enum pagemap_source)source, p, 8, &page_query_private_anon);
		assert_int_equal(found->n, 2);
		assert_run(found, 0, p, 0, 2);
		assert_run(found, 1, p, 5, 8);
	}
	munmap(p, 8 * PAGE);
}

static void what_entries_cannot_know(void **state)
{
	static const struct page_query written = {.all_of = PAGE_WRITTEN, .report = PAGE_WRITTEN};
	_cleanup_close_ int dir = proc_open(getpid());
	struct pagemap *pagemap;
	struct page_run run;
	uint64_t pos = 0;

	assert_int_equal(pagemap_open(dir, PAGEMAP_ENTRIES, &pagemap), 0);
	assert_int_equal(pagemap_scan_some(pagemap, &pos, PAGE, &written, &run, 1), -EOPNOTSUPP);
	pos = 1;
	assert_int_equal(pagemap_scan_some(pagemap, &pos, PAGE, &page_query_present, &run, 1),
			 -EINVAL);
	pagemap_free(pagemap);
	pagemap_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(flags),
		cmocka_unit_test(smaps_must_fit),
		cmocka_unit_test(our_own_mappings),
		cmocka_unit_test(words_say_what_smaps_says),
		cmocka_unit_test(bad_types),
		cmocka_unit_test(private_pages_by_scan),
		cmocka_unit_test(private_pages_by_entries),
		cmocka_unit_test(many_regions),
		cmocka_unit_test(file_pages_that_differ),
		cmocka_unit_test(guard_regions),
		cmocka_unit_test(what_entries_cannot_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
