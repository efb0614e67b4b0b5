// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a file a whole shared object of this machine? The dynamic linker maps what the headers name
 * and trusts that it is there: of a file that was cut off, by a copy that failed say, it touches
 * pages beyond the end, which kills the tool with SIGBUS. So headers and segments are checked
 * before it is asked.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "plugin/priv.h"
#include "util/fd.h"

#define MAX_SEGMENTS 512

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

const char *plugin_file_problem(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
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
	for (size_t i = 0; !problem && i < header.e_phnum; i++) {
		const off_t at = (off_t)(header.e_phoff + i * sizeof(ElfW(Phdr)));
		ElfW(Phdr) segment;

		if (pread(fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment) ||
		    segment.p_offset > (uint64_t)st.st_size ||
		    segment.p_filesz > (uint64_t)st.st_size - segment.p_offset)
			problem = "is cut off";
	}
	return problem;
}
