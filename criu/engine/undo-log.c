/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is said of undo records: while a run takes back what it made, and by `criu recover`. The
 * guardian has nobody to tell. A record whose directory is not found counts as done, for mostly it
 * was removed; since it may as well have been moved, its user is told what to look for.
 */
#include <stdio.h>

#include "cr.h"
#include "engine/journal.h"
#include "engine/undo.h"
#include "util/log.h"

/* "remove /tmp/dir pages-1.img" */
static void describe(const struct journal_record *record, char *ret, size_t size)
{
	size_t at = (size_t)snprintf(ret, size, "%s", record->kind);

	for (size_t i = 0; i < record->n_fields && at < size; i++)
		at += (size_t)snprintf(ret + at, size - at, " %s", record->fields[i]);
}

void undo_log(struct cr *cr, int level, const struct journal_record *record, int ret)
{
	char text[512];

	describe(record, text, sizeof(text));
	if (ret < 0)
		log_err(cr, ret, "undo: %s", text);
	else if (ret == UNDO_NO_DIR)
		log_warn(cr,
			 "undo: %s: its directory is not there; unless it was removed, what is "
			 "named is still in it",
			 text);
	else
		log_emit(cr->log, level, __FILE__, __LINE__, "undo: %s: done", text);
}
