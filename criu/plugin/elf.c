// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be told of a file without loading it. Is it a whole shared object of this machine? The
 * dynamic linker maps what the headers name and trusts that it is there: of a file that was cut
 * off, by a copy that failed say, it touches pages beyond the end, which kills the tool with
 * SIGBUS. So headers and segments are checked before it is asked.
 *
 * And its notes (CRIU_PLUGIN_ABSENT_WITHOUT): paths without which the plugin would say that it is
 * absent. Loading and unloading takes as long as a good part of the dump of a small tree, so one
 * that has nothing to do here is better not loaded at all.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/fd.h"

#define MAX_SEGMENTS 512
#define MAX_NOTES    (64u << 10)

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#endif

static const char *check_header(const ElfW(Ehdr) * header)
{
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return "is no shared object";
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_type != ET_DYN)
		return "is no shared object of 64 bits";
#ifdef OWN_MACHINE
	if (header->e_machine != OWN_MACHINE)
		return "is for another machine";
#endif
	if (header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum > MAX_SEGMENTS)
		return "has a header that makes no sense";
	return NULL;
}

/* Where that cannot be told, probe() tells. */
static bool is_missing(const char *path)
{
	return access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

static const char *look_at_note(const char *text, size_t size, char **ret_lacks)
{
	if (size < 2 || *text != '/' || memchr(text, 0, size) != text + size - 1)
		return "has a note of criu that makes no sense";
	if (!*ret_lacks && is_missing(text))
		*ret_lacks = xstrdup(text);
	return NULL;
}

static size_t padded(size_t size, size_t align)
{
	return (size + align - 1) & ~(align - 1);
}

const char *plugin_notes_problem(const char *notes, size_t size, size_t align, char **ret_lacks)
{
	const char *problem = NULL;
	ElfW(Nhdr) note;

	align = align == 8 ? 8 : 4;
	while (!problem && size >= sizeof(note)) {
		size_t text, end;

		memcpy(&note, notes, sizeof(note));
		text = padded(sizeof(note) + note.n_namesz, align);
		end = text + note.n_descsz;
		/* Whosever note this is, nothing can be found behind it. */
		if (end > size)
			break;
		if (note.n_type == CRIU_NOTE_ABSENT_WITHOUT &&
		    note.n_namesz == sizeof(CRIU_NOTE_NAME) &&
		    memcmp(notes + sizeof(note), CRIU_NOTE_NAME, sizeof(CRIU_NOTE_NAME)) == 0)
			problem = look_at_note(notes + text, note.n_descsz, ret_lacks);
		end = padded(end, align);
		if (end > size)
			break;
		notes += end;
		size -= end;
	}
	return problem;
}

static const char *check_notes(int fd, const ElfW(Phdr) * segment, char **ret_lacks)
{
	_cleanup_free_ char *notes = NULL;

	if (segment->p_type != PT_NOTE || segment->p_filesz > MAX_NOTES)
		return NULL;
	notes = xmalloc(segment->p_filesz + 1);
	if (pread(fd, notes, segment->p_filesz, (off_t)segment->p_offset) !=
	    (ssize_t)segment->p_filesz)
		return "is cut off";
	return plugin_notes_problem(notes, segment->p_filesz, segment->p_align, ret_lacks);
}

static const char *check_segments(int fd, const struct stat *st, const ElfW(Ehdr) * header,
				  char **ret_lacks)
{
	const size_t size = header->e_phnum * sizeof(ElfW(Phdr));
	_cleanup_free_ ElfW(Phdr) *segments = xmalloc(size + 1);
	const char *problem = NULL;

	if (pread(fd, segments, size, (off_t)header->e_phoff) != (ssize_t)size)
		return "is cut off";
	for (size_t i = 0; !problem && i < header->e_phnum; i++) {
		if (segments[i].p_offset > (uint64_t)st->st_size ||
		    segments[i].p_filesz > (uint64_t)st->st_size - segments[i].p_offset)
			return "is cut off";
		problem = check_notes(fd, &segments[i], ret_lacks);
	}
	return problem;
}

const char *plugin_file_problem(const char *path, char **ret_lacks)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *lacks = NULL;
	ElfW(Ehdr) header;
	struct stat st;
	const char *problem;

	/* The linker says better why it cannot be opened. */
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	if (!S_ISREG(st.st_mode))
		return "is no regular file";
	if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return "file too short";
	problem = check_header(&header);
	if (!problem)
		problem = check_segments(fd, &st, &header, &lacks);
	if (!problem)
		*ret_lacks = TAKE_PTR(lacks);
	return problem;
}
