// SPDX-License-Identifier: GPL-2.0-only
/*
 * The GNU build-id of an ELF file: the note that says which build of a program or library it is, so
 * that a restore onto another build is refused. Looked for as the image format has it: 64 and 32
 * bit, in PT_NOTE segments within the first MiB.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "files/files-priv.h"
#include "util/alloc.h"
#include "util/fd.h"

#define LOOK_AT_MOST (1 << 20)

/* Looks through the notes in buf; the number of words, 0 if it is not there. */
static int find_note(const char *buf, size_t size, uint32_t **ret)
{
	size_t at = 0;

	while (at + sizeof(Elf64_Nhdr) <= size) {
		const Elf64_Nhdr *note = (const Elf64_Nhdr *)(buf + at);
		uint64_t name = at + sizeof(*note);
		uint64_t desc = name + round_up(note->n_namesz, 4);
		uint64_t end = desc + round_up(note->n_descsz, 4);

		if (end > size)
			return 0;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    memcmp(buf + name, "GNU", 4) == 0 && note->n_descsz) {
			*ret = xcalloc(1, round_up(note->n_descsz, 4));
			memcpy(*ret, buf + desc, note->n_descsz);
			return round_up(note->n_descsz, 4) / 4;
		}
		at = end;
	}
	return 0;
}

static int notes_at(int fd, uint64_t offset, uint64_t size, uint32_t **ret)
{
	_cleanup_free_ char *notes = NULL;

	if (!size || offset >= LOOK_AT_MOST || size > LOOK_AT_MOST - offset)
		return 0;
	notes = xmalloc(size);
	if (pread_exact(fd, notes, size, offset) < 0)
		return 0;
	return find_note(notes, size, ret);
}

int build_id_read(int fd, uint32_t **ret)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf64_Ehdr e64;
		Elf32_Ehdr e32;
	} head = {};
	_cleanup_free_ char *headers = NULL;
	uint64_t offset, size;
	unsigned n, each;
	ssize_t got;
	bool is64;
	int words;

	got = pread_all(fd, &head, sizeof(head), 0);
	if (got < 0)
		return got;
	if (got < (ssize_t)sizeof(head.e32) || memcmp(head.ident, ELFMAG, SELFMAG) != 0)
		return 0;
	is64 = head.ident[EI_CLASS] == ELFCLASS64;
	if (is64 && got < (ssize_t)sizeof(head.e64))
		return 0;
	offset = is64 ? head.e64.e_phoff : head.e32.e_phoff;
	n = is64 ? head.e64.e_phnum : head.e32.e_phnum;
	each = is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if ((is64 ? head.e64.e_phentsize : head.e32.e_phentsize) != each || offset >= LOOK_AT_MOST)
		return 0;
	headers = xmalloc((size_t)n * each);
	if (pread_exact(fd, headers, (size_t)n * each, offset) < 0)
		return 0;

	for (unsigned i = 0; i < n; i++) {
		const Elf64_Phdr *p64 = (const Elf64_Phdr *)(headers + (size_t)i * each);
		const Elf32_Phdr *p32 = (const Elf32_Phdr *)(headers + (size_t)i * each);

		if ((is64 ? p64->p_type : p32->p_type) != PT_NOTE)
			continue;
		offset = is64 ? p64->p_offset : p32->p_offset;
		size = is64 ? p64->p_filesz : p32->p_filesz;
		words = notes_at(fd, offset, size, ret);
		if (words)
			return words;
	}
	return 0;
}
