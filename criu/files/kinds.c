// SPDX-License-Identifier: GPL-2.0-only
/* The kinds of open files, in the order in which they are asked "is it yours?". */
#include "files/file-kind.h"
#include "files/kinds.h"

const struct file_kind *const file_kinds[] = {
#define FILE_KIND(name) &file_kind_##name,
#include "files/kinds.def"
	NULL,
};
