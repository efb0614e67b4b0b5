// SPDX-License-Identifier: LGPL-2.1-only
/*
 * A blob as the linker leaves it: an ELF file with one loadable piece. Taken from it: the bytes,
 * the size in memory, and the global symbols that are not hidden, which are the entries. Refused:
 * relocations of any kind and symbols that are not defined, for nobody would resolve them in the
 * process the blob is copied to. Every offset is checked against the file's size.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compel/base/cleanup.h"

#include "compel/cli/elf.h"

#if defined(__x86_64__)
#define ELF_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#endif

static int refuse(const char *path, const char *why)
{
	fprintf(stderr, "compel: %s: %s\n", path, why);
	return -1;
}

static bool is_inside(const struct elf_blob *b, uint64_t offset, uint64_t size)
{
	return offset <= b->file_size && size <= b->file_size - offset;
}

static int map_file(const char *path, struct elf_blob *b)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return refuse(path, "cannot be opened");
	if (st.st_size < (off_t)sizeof(Elf64_Ehdr))
		return refuse(path, "too short for an ELF file");
	b->file_size = st.st_size;
	b->file = mmap(NULL, b->file_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (b->file == MAP_FAILED) {
		b->file = NULL;
		return refuse(path, "cannot be mapped");
	}
	return 0;
}

static int check_header(const char *path, const struct elf_blob *b)
{
	const Elf64_Ehdr *h = b->file;

	if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
	    h->e_machine != ELF_MACHINE)
		return refuse(path, "not an ELF file for this architecture");
	if (h->e_type != ET_DYN)
		return refuse(path, "not linked with `compel ldflags`");
	if (h->e_shentsize != sizeof(Elf64_Shdr) || h->e_phentsize != sizeof(Elf64_Phdr) ||
	    !is_inside(b, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)) ||
	    !is_inside(b, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)))
		return refuse(path, "its section or program headers are damaged");
	return 0;
}

static int read_image(const char *path, struct elf_blob *b)
{
	const Elf64_Ehdr *h = b->file;
	const Elf64_Phdr *p = (const void *)((char *)b->file + h->e_phoff);
	const Elf64_Phdr *load = NULL;

	for (unsigned int i = 0; i < h->e_phnum; i++) {
		if (p[i].p_type != PT_LOAD)
			continue;
		if (load)
			return refuse(path, "has more than one loadable piece");
		load = &p[i];
	}
	if (!load || load->p_vaddr != 0 || load->p_filesz > load->p_memsz ||
	    !is_inside(b, load->p_offset, load->p_filesz))
		return refuse(path, "has no loadable piece at address 0");

	b->blob.image = (char *)b->file + load->p_offset;
	b->blob.image_size = load->p_filesz;
	b->blob.memory_size = load->p_memsz;
	return 0;
}

static int compare_symbols(const void *a, const void *b)
{
	return strcmp(((const struct compel_symbol *)a)->name,
		      ((const struct compel_symbol *)b)->name);
}

static int read_symbols(const char *path, struct elf_blob *b, const Elf64_Shdr *table)
{
	const Elf64_Ehdr *h = b->file;
	const Elf64_Shdr *sections = (const void *)((char *)b->file + h->e_shoff);
	const Elf64_Sym *sym = (const void *)((char *)b->file + table->sh_offset);
	size_t count = table->sh_size / sizeof(*sym);
	const Elf64_Shdr *strings;
	const char *names;

	if (table->sh_link >= h->e_shnum)
		return refuse(path, "its symbol table is damaged");
	strings = &sections[table->sh_link];
	names = (char *)b->file + strings->sh_offset;
	if (!is_inside(b, table->sh_offset, table->sh_size) ||
	    !is_inside(b, strings->sh_offset, strings->sh_size) || !strings->sh_size ||
	    names[strings->sh_size - 1])
		return refuse(path, "its symbol table is damaged");

	b->symbols = calloc(count, sizeof(*b->symbols));
	if (!b->symbols)
		return refuse(path, "out of memory");
	for (size_t i = 1; i < count; i++) {
		unsigned int type = ELF64_ST_TYPE(sym[i].st_info);

		if (ELF64_ST_BIND(sym[i].st_info) == STB_LOCAL ||
		    sym[i].st_name >= strings->sh_size)
			continue;
		if (sym[i].st_shndx == SHN_UNDEF)
			return refuse(path, "has a symbol that is not defined");
		if ((type != STT_FUNC && type != STT_OBJECT) ||
		    ELF64_ST_VISIBILITY(sym[i].st_other) != STV_DEFAULT ||
		    sym[i].st_value >= b->blob.memory_size)
			continue;
		b->symbols[b->blob.nr_symbols].name = names + sym[i].st_name;
		b->symbols[b->blob.nr_symbols++].offset = sym[i].st_value;
	}
	qsort(b->symbols, b->blob.nr_symbols, sizeof(*b->symbols), compare_symbols);
	b->blob.symbols = b->symbols;
	return 0;
}

static int read_sections(const char *path, struct elf_blob *b)
{
	const Elf64_Ehdr *h = b->file;
	const Elf64_Shdr *s = (const void *)((char *)b->file + h->e_shoff);

	for (unsigned int i = 0; i < h->e_shnum; i++) {
		if ((s[i].sh_type == SHT_RELA || s[i].sh_type == SHT_REL) && s[i].sh_size)
			return refuse(path, "has relocations: some datum holds an address");
		if (s[i].sh_type == SHT_SYMTAB && !b->symbols && read_symbols(path, b, &s[i]) < 0)
			return -1;
	}
	if (!b->blob.nr_symbols)
		return refuse(path, "has no entry (mark functions with compel_entry)");
	return 0;
}

int elf_blob_read(const char *path, struct elf_blob *ret_blob)
{
	struct elf_blob b = {.blob.name = path};

	if (map_file(path, &b) < 0 || check_header(path, &b) < 0 || read_image(path, &b) < 0 ||
	    read_sections(path, &b) < 0) {
		elf_blob_free(&b);
		return -1;
	}
	*ret_blob = b;
	return 0;
}

void elf_blob_free(struct elf_blob *b)
{
	if (b->file)
		munmap(b->file, b->file_size);
	free(b->symbols);
}
