/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of the counters of util/stats.h: the images stats-dump and stats-restore, and
 * --display-stats. */
#ifndef CRIU_ENGINE_STATS_H
#define CRIU_ENGINE_STATS_H

#include <stdbool.h>

#include "util/stats.h"

struct cr;

enum stats_of { STATS_OF_DUMP, STATS_OF_RESTORE };

/* Writes stats-dump or stats-restore into the work directory. 0 or -errno, told as a warning: it is
 * no reason for a run to fail. */
int stats_write(struct cr *cr, enum stats_of of);

/* Prints the same on stdout. */
void stats_display(struct cr *cr, enum stats_of of);

#endif
