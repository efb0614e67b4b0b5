/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Marks what the host may jump to: functions with this mark keep their names and get a constant
 * BLOB_X_<name> in the generated header. Everything else in a blob is hidden.
 */
#ifndef COMPEL_PIE_ENTRY_H
#define COMPEL_PIE_ENTRY_H

#define compel_entry __attribute__((used, visibility("default")))

#endif
