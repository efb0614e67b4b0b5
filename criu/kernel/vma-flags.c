// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flags of many mappings without printing smaps for each. A BPF iterator gives the kernel's word of
 * flags of every mapping at once (vma-words.c); what a bit means differs between kernels and is
 * written nowhere we could read it, but the text that smaps prints is a function of that word
 * alone. So each different word, of which a task has a dozen, is looked up once where smaps shows
 * it: in our own mappings of the kinds that every process has (stack, vDSO, segments of an
 * executable), and then in smaps of the task, which is read only as far as something is unknown.
 * Where that fails in any way, smaps is read as a whole, as on kernels without BPF.
 *
 * Page sizes are not in the word: mappings that may have another than the common one are asked for
 * with PROCMAP_QUERY.
 */
#include "kernel/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "kernel/maps-priv.h"
#include "kernel/proc-priv.h"
#include "kernel/proc.h"
#include "kernel/vma-words.h"
#include "util/alloc.h"
#include "util/hash.h"
#include "util/str.h"

struct meaning {
	struct meaning *next;
	uint64_t flags;
	uint8_t pkey;
};

/* What is known about words. */
struct dictionary {
	struct hash by_word;
	struct meaning *all;
	struct vma_facts gate; /* has_flags: it was seen */
};

static void dictionary_release(struct dictionary *d)
{
	while (d->all) {
		struct meaning *m = d->all;

		d->all = m->next;
		free(m);
	}
	hash_release(&d->by_word);
}

/* -EBADMSG if the word was seen with another meaning: then it does not say all. */
static int learn(struct dictionary *d, uint64_t word, const struct vma_facts *vma)
{
	struct meaning *m = hash_get(&d->by_word, word);

	if (m)
		return m->flags == vma->flags && m->pkey == vma->pkey ? 0 : -EBADMSG;
	m = xcalloc(1, sizeof(*m));
	m->flags = vma->flags;
	m->pkey = vma->pkey;
	m->next = d->all;
	d->all = m;
	hash_put(&d->by_word, word, m);
	return 0;
}

/* ---- our own mappings ---- */

/*
 * Mappings that are made to be looked at: memory as tasks have most of. What smaps of a task shows
 * it finds out page by page, which for large memory takes much longer than all this.
 */
static const struct {
	int prot, flags, advice; /* advice -1: none */
} examples[] = {
	{PROT_READ | PROT_WRITE, MAP_PRIVATE, -1},
	{PROT_READ | PROT_WRITE, MAP_PRIVATE, MADV_NOHUGEPAGE},
	{PROT_READ | PROT_WRITE, MAP_PRIVATE, MADV_HUGEPAGE},
	{PROT_READ | PROT_WRITE, MAP_PRIVATE, MADV_DONTDUMP},
	{PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, -1},
	{PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, MADV_HUGEPAGE},
	{PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, MADV_DONTDUMP},
	{PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_STACK, -1},
	{PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, -1},
	{PROT_READ | PROT_EXEC, MAP_PRIVATE, -1},
	{PROT_READ, MAP_PRIVATE, -1},
	{PROT_NONE, MAP_PRIVATE, -1},
	{PROT_NONE, MAP_PRIVATE | MAP_NORESERVE, -1},
	{PROT_READ | PROT_WRITE, MAP_SHARED, -1},
	{PROT_READ | PROT_WRITE, MAP_SHARED, MADV_NOHUGEPAGE},
	{PROT_READ, MAP_SHARED, -1},
};

struct gallery {
	uint64_t start, end;
};

/* Each stands between pages that are mapped otherwise, or neighbours would become one. */
static void gallery_open(struct gallery *ret)
{
	const size_t page = 4096, size = (2 * ARRAY_SIZE(examples) + 1) * page;
	char *at = mmap(NULL, size, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*ret = (struct gallery){0};
	if (at == MAP_FAILED)
		return;
	*ret = (struct gallery){(uintptr_t)at, (uintptr_t)at + size};
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		char *place = at + (2 * i + 1) * page;

		if (mmap(place, page, examples[i].prot,
			 examples[i].flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED &&
		    examples[i].advice >= 0)
			(void)madvise(place, page, examples[i].advice);
	}
}

static void gallery_close(const struct gallery *gallery)
{
	if (gallery->end)
		munmap((void *)(uintptr_t)gallery->start, gallery->end - gallery->start);
}

/* Shown for every task, but no mapping of it: nothing gives a word for it. */
static bool is_gate(const struct vma_facts *vma)
{
	return str_equal(vma->path, "[vsyscall]");
}

/* Those that no other thread of ours changes while we look. */
static bool is_settled(const struct vma_facts *vma, const struct gallery *gallery, const char *exe)
{
	return (vma->start >= gallery->start && vma->end <= gallery->end) ||
	       str_equal(vma->path, "[stack]") || str_starts_with(vma->path, "[vdso") ||
	       str_starts_with(vma->path, "[vvar") || str_equal(vma->path, exe);
}

static int learn_settled(struct dictionary *d, const struct vma_list *list,
			 const struct vma_word *words, size_t n, const struct gallery *gallery,
			 const char *exe)
{
	size_t at = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct vma_facts *vma = &list->items[i];
		int err;

		if (is_gate(vma))
			d->gate = *vma;
		while (at < n && words[at].start < vma->start)
			at++;
		if (at == n || words[at].start != vma->start || words[at].end != vma->end ||
		    !is_settled(vma, gallery, exe))
			continue;
		err = learn(d, words[at].word, vma);
		if (err < 0)
			return err;
	}
	return 0;
}

static int learn_from_us_once(struct dictionary *d, const struct vma_words *source,
			      const struct gallery *gallery)
{
	_cleanup_close_ int dir = proc_open(getpid());
	_cleanup_free_ struct vma_word *words = NULL;
	_cleanup_free_ char *exe = NULL;
	struct vma_list list;
	size_t n;
	int err = dir < 0 ? dir : proc_read_link(dir, "exe", &exe);

	if (err == 0)
		err = maps_read(dir, &list);
	if (err < 0)
		return err;
	err = smaps_read(dir, &list, NULL, NULL);
	if (err == 0)
		err = vma_words_read(source, getpid(), &words, &n);
	if (err == 0)
		err = learn_settled(d, &list, words, n, gallery, exe);
	vma_list_release(&list);
	return err;
}

static int learn_from_us(struct dictionary *d, const struct vma_words *source)
{
	struct gallery gallery;
	int err = -ESTALE;

	gallery_open(&gallery);
	/* Reading needs memory, so that our own mappings may change under it: not so the next time,
	 * unless other threads map, too. */
	for (int i = 0; i < 4 && err == -ESTALE; i++)
		err = learn_from_us_once(d, source, &gallery);
	gallery_close(&gallery);
	return err;
}

/* ---- the task ---- */

struct task_pass {
	struct dictionary *dictionary;
	const struct vma_list *list;
	const struct vma_word *words;
	size_t n_words;
	size_t known; /* all words before this one are in the dictionary */
	int err;
};

/* Moves known over what is known by now; is that everything? */
static bool knows_all(struct task_pass *pass)
{
	while (pass->known < pass->n_words &&
	       hash_get(&pass->dictionary->by_word, pass->words[pass->known].word))
		pass->known++;
	return pass->known == pass->n_words;
}

static bool learn_records(void *arg, size_t first, size_t end)
{
	struct task_pass *pass = arg;

	for (size_t i = first; i < end && i < pass->n_words && pass->err == 0; i++)
		pass->err = learn(pass->dictionary, pass->words[i].word, &pass->list->items[i]);
	return pass->err < 0 || knows_all(pass);
}

/* The words are of these mappings, one by one; only the gate area, above all others, has none. */
static bool is_same(const struct vma_list *list, const struct vma_word *words, size_t n)
{
	if (n != list->n && !(n + 1 == list->n && is_gate(&list->items[n])))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (words[i].start != list->items[i].start || words[i].end != list->items[i].end)
			return false;
	}
	return true;
}

static int query_page_size(int maps_fd, uint64_t address, uint32_t *ret)
{
	/* struct procmap_query: size, flags, address, start, end, vma_flags, page_size, … */
	uint64_t query[13] = {sizeof(query), 0, address};

	if (ioctl(maps_fd, _IOC(_IOC_READ | _IOC_WRITE, 'f', 17, sizeof(query)), query) < 0)
		return -errno;
	if (query[6] == 0 || query[6] > UINT32_MAX)
		return -EBADMSG;
	*ret = (uint32_t)query[6];
	return 0;
}

static int fill(int maps_fd, const struct dictionary *d, const struct vma_word *words, size_t n,
		struct vma_list *list)
{
	const uint64_t special = VMA_HT | VMA_PF | VMA_MM | VMA_IO;

	for (size_t i = 0; i < n; i++) {
		const struct meaning *m = hash_get(&d->by_word, words[i].word);
		struct vma_facts *vma = &list->items[i];
		int err;

		vma->flags = m->flags;
		vma->pkey = m->pkey;
		vma->page_size = 4096;
		vma->has_flags = true;
		if (!(vma->flags & special))
			continue;
		err = query_page_size(maps_fd, vma->start, &vma->page_size);
		if (err < 0)
			return err;
	}
	/* The gate area is the same in all tasks. */
	if (n < list->n) {
		struct vma_facts *gate = &list->items[n];

		if (!d->gate.has_flags)
			return -ENOENT;
		gate->flags = d->gate.flags;
		gate->pkey = d->gate.pkey;
		gate->page_size = d->gate.page_size;
		gate->has_flags = true;
	}
	return 0;
}

/* What is known to all tasks that are looked at. */
struct vma_flags {
	pthread_mutex_t lock;
	struct vma_words *source;
	struct dictionary dictionary;
	bool is_open;
	int err; /* of opening: it is tried once */
};

struct vma_flags *vma_flags_new(void)
{
	struct vma_flags *flags = xcalloc(1, sizeof(*flags));

	pthread_mutex_init(&flags->lock, NULL);
	return flags;
}

void vma_flags_free(struct vma_flags *flags)
{
	if (!flags)
		return;
	if (flags->source)
		vma_words_free(flags->source);
	dictionary_release(&flags->dictionary);
	pthread_mutex_destroy(&flags->lock);
	free(flags);
}

static int open_once(struct vma_flags *flags)
{
	if (flags->is_open)
		return flags->err;
	flags->is_open = true;
	flags->err = vma_words_open(&flags->source);
	if (flags->err == 0)
		flags->err = learn_from_us(&flags->dictionary, flags->source);
	return flags->err;
}

static int explain(int dir, struct dictionary *d, const struct vma_word *words, size_t n,
		   struct vma_list *list)
{
	_cleanup_close_ int maps_fd = proc_open_file(dir, "maps", O_RDONLY);
	struct task_pass pass = {.dictionary = d, .list = list, .words = words, .n_words = n};
	int err = maps_fd < 0 ? maps_fd : 0;

	if (err == 0 && !knows_all(&pass))
		err = smaps_read(dir, list, learn_records, &pass);
	if (err == 0)
		err = pass.err;
	if (err == 0 && !knows_all(&pass))
		err = -ESTALE;
	return err < 0 ? err : fill(maps_fd, d, words, n, list);
}

int vma_flags_by_words(int dir, struct vma_list *list, struct vma_flags *flags)
{
	_cleanup_free_ struct vma_word *words = NULL;
	struct proc_stat st;
	size_t n;
	int err = proc_read_stat(dir, &st);

	if (err < 0)
		return err;
	pthread_mutex_lock(&flags->lock);
	err = open_once(flags);
	if (err == 0)
		err = vma_words_read(flags->source, st.pid, &words, &n);
	if (err == 0)
		err = is_same(list, words, n) ? explain(dir, &flags->dictionary, words, n, list)
					      : -ESTALE;
	pthread_mutex_unlock(&flags->lock);
	return err;
}
