/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters and times of a run, in memory that all its processes share; engine/stats.h writes and
 * prints them. Their names are those of the fields of stats-dump and stats-restore. Every function
 * copes with a stats of NULL.
 */
#ifndef CRIU_UTIL_STATS_H
#define CRIU_UTIL_STATS_H

#include <stdint.h>

struct stats;

enum stats_counter {
	STATS_PAGES_SCANNED,        /* pages of memory that were looked at */
	STATS_PAGES_SKIPPED_PARENT, /* of these: unchanged since the parent images */
	STATS_PAGES_WRITTEN,
	STATS_PAGES_LAZY, /* left to be sent lazily */
	STATS_PAGE_PIPES,
	STATS_PAGE_PIPE_BUFS,
	STATS_SHPAGES_SCANNED, /* the same for shared memory */
	STATS_SHPAGES_SKIPPED_PARENT,
	STATS_SHPAGES_WRITTEN,
	STATS_PAGES_COMPARED, /* restore */
	STATS_PAGES_SKIPPED_COW,
	STATS_PAGES_RESTORED,
	STATS_COUNTERS,
};

enum stats_time {
	STATS_FREEZING_TIME, /* from the first task being stopped to the last */
	STATS_FROZEN_TIME,   /* from the last one being stopped to the first one running again */
	STATS_MEMDUMP_TIME,
	STATS_MEMWRITE_TIME,
	STATS_IRMAP_RESOLVE,
	STATS_FORKING_TIME, /* restore: until all tasks exist */
	STATS_RESTORE_TIME, /* restore: until they run */
	STATS_TIMES,
};

struct stats *stats_new(void);
void stats_free(struct stats *stats);

void stats_add(struct stats *stats, enum stats_counter counter, uint64_t amount);
uint64_t stats_get(const struct stats *stats, enum stats_counter counter);

/* Spans of a time add up; a span begun twice goes on, one ended without having begun is nothing. */
void stats_begin(struct stats *stats, enum stats_time time);
void stats_end(struct stats *stats, enum stats_time time);
/* Microseconds. */
uint64_t stats_get_time(const struct stats *stats, enum stats_time time);

#endif
