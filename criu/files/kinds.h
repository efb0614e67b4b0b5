/* SPDX-License-Identifier: GPL-2.0-only */
/* Declares what kinds.def lists. */
#ifndef CRIU_FILES_KINDS_H
#define CRIU_FILES_KINDS_H

#include "files/file-kind.h"

#define FILE_KIND(name) extern const struct file_kind file_kind_##name;
#include "files/kinds.def"

#endif
