// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vDSO is a small ELF library that the kernel maps into each task, with functions for system
 * calls that need not enter the kernel, and beside it data (vvar) whose layout belongs to that very
 * kernel. A task keeps the addresses of these functions. On another kernel the saved code would
 * read data that is not there. So its functions are overwritten by jumps to those of the present
 * vDSO, which is mapped somewhere near; one that is not there any more becomes the system call that
 * it stands for.
 *
 * Here is what needs no system calls: symbols (from the dynamic section, since a loaded image has
 * no section headers) and code. x86-64 only; 32-bit tasks have another one. Tests:
 * test/unit/mem/test-vdso.c
 */
#include "mem/vdso.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "compel/base/bits.h"

struct image {
	const uint8_t *data;
	size_t size;
	uint64_t base; /* address that the image was linked for */
};

/* size bytes at an address of the image, or NULL; also if it is not aligned (to a power of two). */
static const void *at(const struct image *image, uint64_t address, uint64_t size, uint64_t align)
{
	uint64_t offset = address - image->base;

	if (offset > image->size || size > image->size - offset || offset % align)
		return NULL;
	return image->data + offset;
}

static const Elf64_Phdr *find_header(const struct image *image, const Elf64_Ehdr *ehdr,
				     uint32_t type)
{
	for (uint16_t i = 0; i < ehdr->e_phnum; i++) {
		const Elf64_Phdr *phdr =
			(const void *)(image->data + ehdr->e_phoff + i * sizeof(*phdr));

		if (phdr->p_type == type)
			return phdr;
	}
	return NULL;
}

static const Elf64_Ehdr *check_elf(const struct image *image)
{
	const Elf64_Ehdr *ehdr = (const void *)image->data;

	if (image->size < sizeof(*ehdr) || memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 ||
	    ehdr->e_ident[EI_CLASS] != ELFCLASS64 || ehdr->e_machine != EM_X86_64 ||
	    ehdr->e_phentsize != sizeof(Elf64_Phdr) || ehdr->e_phoff > image->size ||
	    ehdr->e_phnum * sizeof(Elf64_Phdr) > image->size - ehdr->e_phoff || ehdr->e_phoff % 8)
		return NULL;
	return ehdr;
}

struct dynamic {
	uint64_t symtab, strtab, strsz, hash, gnu_hash;
};

static int read_dynamic(const struct image *image, const Elf64_Phdr *phdr, struct dynamic *ret)
{
	const Elf64_Dyn *dyn;

	dyn = at(image, phdr->p_vaddr, phdr->p_memsz, 8);
	if (!dyn)
		return -EBADMSG;
	*ret = (struct dynamic){0};
	for (size_t i = 0; i < phdr->p_memsz / sizeof(*dyn) && dyn[i].d_tag != DT_NULL; i++) {
		switch (dyn[i].d_tag) {
		case DT_SYMTAB:
			ret->symtab = dyn[i].d_un.d_ptr;
			break;
		case DT_STRTAB:
			ret->strtab = dyn[i].d_un.d_ptr;
			break;
		case DT_STRSZ:
			ret->strsz = dyn[i].d_un.d_val;
			break;
		case DT_HASH:
			ret->hash = dyn[i].d_un.d_ptr;
			break;
		case DT_GNU_HASH:
			ret->gnu_hash = dyn[i].d_un.d_ptr;
			break;
		}
	}
	return 0;
}

/* A GNU hash table does not say how many symbols there are: one more than the last of the last
 * chain. */
static int count_by_gnu_hash(const struct image *image, uint64_t address, uint32_t *ret)
{
	const uint32_t *head = at(image, address, 4 * sizeof(*head), 4);
	const uint32_t *buckets, *chain;
	uint64_t chains;
	uint32_t last = 0;

	if (!head)
		return -EBADMSG;
	buckets = at(image, address + 16 + head[2] * 8ull, head[0] * 4ull, 4);
	if (!buckets)
		return -EBADMSG;
	for (uint32_t i = 0; i < head[0]; i++)
		last = MAX(last, buckets[i]);
	*ret = head[1];
	if (last < head[1])
		return 0;
	chains = address + 16 + head[2] * 8ull + head[0] * 4ull;
	for (;; last++) {
		chain = at(image, chains + (last - head[1]) * 4ull, 4, 4);
		if (!chain)
			return -EBADMSG;
		if (*chain & 1)
			break;
	}
	*ret = last + 1;
	return 0;
}

static int count_symbols(const struct image *image, const struct dynamic *dynamic, uint32_t *ret)
{
	const uint32_t *head;

	if (!dynamic->hash)
		return dynamic->gnu_hash ? count_by_gnu_hash(image, dynamic->gnu_hash, ret)
					 : -EBADMSG;
	head = at(image, dynamic->hash, 2 * sizeof(*head), 4);
	if (!head)
		return -EBADMSG;
	*ret = head[1];
	return 0;
}

static int add_symbol(const struct image *image, const struct dynamic *dynamic,
		      const Elf64_Sym *symbol, struct vdso_symbols *ret)
{
	struct vdso_symbol *item = &ret->items[ret->n];
	const char *name;
	size_t length;

	if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF)
		return 0;
	if (symbol->st_name >= dynamic->strsz || ret->n == VDSO_MAX_SYMBOLS)
		return -EBADMSG;
	name = at(image, dynamic->strtab + symbol->st_name, dynamic->strsz - symbol->st_name, 1);
	if (!name || !at(image, symbol->st_value, symbol->st_size, 1))
		return -EBADMSG;
	length = strnlen(name, dynamic->strsz - symbol->st_name);
	if (length >= VDSO_NAME_MAX)
		return -EBADMSG;
	memcpy(item->name, name, length);
	item->name[length] = '\0';
	item->offset = symbol->st_value - image->base;
	item->size = symbol->st_size;
	ret->n++;
	return 0;
}

static int open_image(const void *data, size_t size, struct image *ret, struct dynamic *dynamic)
{
	const Elf64_Phdr *load, *header;
	const Elf64_Ehdr *ehdr;

	*ret = (struct image){data, size, 0};
	ehdr = check_elf(ret);
	if (!ehdr)
		return -EBADMSG;
	load = find_header(ret, ehdr, PT_LOAD);
	header = find_header(ret, ehdr, PT_DYNAMIC);
	if (!load || !header)
		return -EBADMSG;
	ret->base = load->p_vaddr - load->p_offset;
	return read_dynamic(ret, header, dynamic);
}

int vdso_parse(const void *data, size_t size, struct vdso_symbols *ret)
{
	const Elf64_Sym *symbols;
	struct dynamic dynamic;
	struct image image;
	uint32_t n;
	int err;

	*ret = (struct vdso_symbols){0};
	err = open_image(data, size, &image, &dynamic);
	if (!err)
		err = count_symbols(&image, &dynamic, &n);
	if (err)
		return err;
	symbols = at(&image, dynamic.symtab, (uint64_t)n * sizeof(*symbols), 8);
	if (!symbols)
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++) {
		err = add_symbol(&image, &dynamic, &symbols[i], ret);
		if (err)
			return err;
	}
	return 0;
}

const struct vdso_symbol *vdso_find(const struct vdso_symbols *symbols, const char *name)
{
	for (size_t i = 0; i < symbols->n; i++)
		if (strcmp(symbols->items[i].name, name) == 0)
			return &symbols->items[i];
	return NULL;
}

/* The build-id among the notes from data on, or NULL. */
static const uint8_t *find_build_id(const uint8_t *data, uint64_t size, uint32_t *ret_size)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		const Elf64_Nhdr *note = (const void *)data;
		uint64_t name = round_up(note->n_namesz, 4),
			 whole = sizeof(*note) + name + round_up(note->n_descsz, 4);

		if (whole > size)
			return NULL;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    memcmp(data + sizeof(*note), "GNU", 4) == 0) {
			*ret_size = note->n_descsz;
			return data + sizeof(*note) + name;
		}
		data += whole;
		size -= whole;
	}
	return NULL;
}

static const uint8_t *build_id(const void *data, size_t size, uint32_t *ret_size)
{
	struct image image = {data, size, 0};
	const Elf64_Ehdr *ehdr = check_elf(&image);
	const Elf64_Phdr *phdr = ehdr ? find_header(&image, ehdr, PT_NOTE) : NULL;
	const uint8_t *notes = phdr ? at(&image, phdr->p_offset, phdr->p_filesz, 4) : NULL;

	return notes ? find_build_id(notes, phdr->p_filesz, ret_size) : NULL;
}

static bool is_same_build(const void *a, const void *b, size_t size)
{
	uint32_t size_a, size_b;
	const uint8_t *id_a = build_id(a, size, &size_a);
	const uint8_t *id_b = build_id(b, size, &size_b);

	return id_a && id_b && size_a && size_a == size_b && memcmp(id_a, id_b, size_a) == 0;
}

struct range {
	uint64_t start, end; /* offsets in the image */
};

/* What a kernel that is built once more may say differently, and nothing executes: notes and
 * strings. */
static int find_labels(const void *data, size_t size, struct range ret[2])
{
	struct dynamic dynamic;
	const Elf64_Phdr *notes;
	struct image image;
	int err;

	err = open_image(data, size, &image, &dynamic);
	if (err)
		return err;
	notes = find_header(&image, data, PT_NOTE);
	if (!notes || !at(&image, notes->p_vaddr, notes->p_filesz, 1) ||
	    !at(&image, dynamic.strtab, dynamic.strsz, 1))
		return -EBADMSG;
	ret[0].start = notes->p_vaddr - image.base;
	ret[0].end = ret[0].start + notes->p_filesz;
	ret[1].start = dynamic.strtab - image.base;
	ret[1].end = ret[1].start + dynamic.strsz;
	return 0;
}

static bool is_same_code(const uint8_t *a, const uint8_t *b, size_t size)
{
	struct vdso_symbols symbols_a, symbols_b;
	struct range labels[2], others[2];

	if (find_labels(a, size, labels) || find_labels(b, size, others) ||
	    memcmp(labels, others, sizeof(labels)) != 0)
		return false;
	for (size_t i = 0; i < size; i++)
		if (a[i] != b[i] && !(i >= labels[0].start && i < labels[0].end) &&
		    !(i >= labels[1].start && i < labels[1].end))
			return false;
	return !vdso_parse(a, size, &symbols_a) && !vdso_parse(b, size, &symbols_b) &&
	       memcmp(&symbols_a, &symbols_b, sizeof(symbols_a)) == 0;
}

bool vdso_is_same(const void *a, const void *b, size_t size)
{
	return memcmp(a, b, size) == 0 || is_same_build(a, b, size) || is_same_code(a, b, size);
}

/* Names come with and without "__vdso_". */
static const struct {
	const char *name;
	uint32_t number;
} system_calls[] = {
	{"__vdso_clock_gettime", SYS_clock_gettime},
	{"__vdso_gettimeofday", SYS_gettimeofday},
	{"__vdso_clock_getres", SYS_clock_getres},
	{"__vdso_time", SYS_time},
	{"__vdso_getcpu", SYS_getcpu},
	{"__vdso_getrandom", SYS_getrandom},
	{"clock_gettime", SYS_clock_gettime},
	{"gettimeofday", SYS_gettimeofday},
	{"clock_getres", SYS_clock_getres},
	{"time", SYS_time},
	{"getcpu", SYS_getcpu},
	{"getrandom", SYS_getrandom},
};

/* mov $number, %eax; syscall; ret */
static size_t make_system_call(uint8_t code[16], uint32_t number)
{
	static const uint8_t rest[] = {0x0f, 0x05, 0xc3};

	code[0] = 0xb8;
	memcpy(code + 1, &number, 4);
	memcpy(code + 5, rest, sizeof(rest));
	return 8;
}

/* jmp to, if that is within reach; else movabs $to, %rax; jmp *%rax (no function here has variable
 * arguments) */
static size_t make_jump(uint8_t code[16], uint64_t from, uint64_t to)
{
	int64_t distance = (int64_t)(to - (from + 5));
	int32_t near = (int32_t)distance;

	if (near == distance) {
		code[0] = 0xe9;
		memcpy(code + 1, &near, 4);
		return 5;
	}
	code[0] = 0x48;
	code[1] = 0xb8;
	memcpy(code + 2, &to, 8);
	code[10] = 0xff;
	code[11] = 0xe0;
	return 12;
}

static size_t make_code(uint8_t code[16], const struct vdso_symbol *symbol, uint64_t from,
			const struct vdso_symbols *own, uint64_t own_at)
{
	const struct vdso_symbol *target = vdso_find(own, symbol->name);

	if (target)
		return make_jump(code, from, own_at + target->offset);
	for (size_t i = 0; i < ARRAY_SIZE(system_calls); i++)
		if (strcmp(system_calls[i].name, symbol->name) == 0)
			return make_system_call(code, system_calls[i].number);
	return 0;
}

int vdso_redirect(void *image, size_t size, uint64_t saved_at, const struct vdso_symbols *saved,
		  const struct vdso_symbols *own, uint64_t own_at, const char **ret_name)
{
	for (size_t i = 0; i < saved->n; i++) {
		const struct vdso_symbol *symbol = &saved->items[i];
		uint8_t code[16];
		size_t length = make_code(code, symbol, saved_at + symbol->offset, own, own_at);

		*ret_name = symbol->name;
		/* A function that neither the present vDSO has nor we know (SGX) does not use the
		 * data of the kernel. */
		if (!length)
			continue;
		if ((symbol->size && symbol->size < length) || length > size - symbol->offset)
			return -EBADMSG;
		memcpy((uint8_t *)image + symbol->offset, code, length);
	}
	return 0;
}
