/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats-dump and stats-restore: what a run counted, for programs that watch over it, in the work
 * directory beside the log. Times are microseconds in 32 bits (over 71 minutes they stay at the
 * most there is), counts are pages. Written after everything else, so that the times are those of
 * the whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "engine/stats.h"
#include "images/lib/image.h"
#include "images/stats.pb-c.h"
#include "plugin/plugin.h"
#include "util/alloc.h"
#include "util/log.h"

static uint32_t stats_time32(const struct stats *stats, enum stats_time time)
{
	return (uint32_t)MIN(stats_get_time(stats, time), (uint64_t)UINT32_MAX);
}

static void dump_entry_fill(const struct stats *stats, DumpStatsEntry *entry)
{
	entry->freezing_time = stats_time32(stats, STATS_FREEZING_TIME);
	entry->frozen_time = stats_time32(stats, STATS_FROZEN_TIME);
	entry->memdump_time = stats_time32(stats, STATS_MEMDUMP_TIME);
	entry->memwrite_time = stats_time32(stats, STATS_MEMWRITE_TIME);
	entry->pages_scanned = stats_get(stats, STATS_PAGES_SCANNED);
	entry->pages_skipped_parent = stats_get(stats, STATS_PAGES_SKIPPED_PARENT);
	entry->pages_written = stats_get(stats, STATS_PAGES_WRITTEN);
	entry->has_irmap_resolve = true;
	entry->irmap_resolve = stats_time32(stats, STATS_IRMAP_RESOLVE);
	entry->pages_lazy = stats_get(stats, STATS_PAGES_LAZY);
	entry->has_page_pipes = true;
	entry->page_pipes = stats_get(stats, STATS_PAGE_PIPES);
	entry->has_page_pipe_bufs = true;
	entry->page_pipe_bufs = stats_get(stats, STATS_PAGE_PIPE_BUFS);
	entry->has_shpages_scanned = true;
	entry->shpages_scanned = stats_get(stats, STATS_SHPAGES_SCANNED);
	entry->has_shpages_skipped_parent = true;
	entry->shpages_skipped_parent = stats_get(stats, STATS_SHPAGES_SKIPPED_PARENT);
	entry->has_shpages_written = true;
	entry->shpages_written = stats_get(stats, STATS_SHPAGES_WRITTEN);
}

static void restore_entry_fill(const struct stats *stats, RestoreStatsEntry *entry)
{
	entry->pages_compared = stats_get(stats, STATS_PAGES_COMPARED);
	entry->pages_skipped_cow = stats_get(stats, STATS_PAGES_SKIPPED_COW);
	entry->forking_time = stats_time32(stats, STATS_FORKING_TIME);
	entry->restore_time = stats_time32(stats, STATS_RESTORE_TIME);
	entry->has_pages_restored = true;
	entry->pages_restored = stats_get(stats, STATS_PAGES_RESTORED);
}

/* All in one piece, the pointers first. */
static PluginStatsEntry **plugin_entries(const struct cr *cr, size_t *ret_n)
{
	_cleanup_free_ struct plugin_statistic *all = plugins_statistics(cr, ret_n);
	PluginStatsEntry **list = xcalloc(*ret_n + 1, sizeof(*list) + sizeof(**list));
	PluginStatsEntry *entries = (PluginStatsEntry *)(list + *ret_n + 1);

	for (size_t i = 0; i < *ret_n; i++) {
		list[i] = &entries[i];
		plugin_stats_entry__init(list[i]);
		list[i]->plugin = (char *)all[i].plugin;
		list[i]->hook = (char *)all[i].hook;
		list[i]->calls = all[i].calls;
		list[i]->microseconds = all[i].microseconds;
		list[i]->bytes = all[i].bytes;
	}
	return list;
}

int stats_write(struct cr *cr, enum stats_of of)
{
	const unsigned int flags = IMAGE_DIR_PARTIAL | IMAGE_DIR_NO_DIGESTS;
	DumpStatsEntry dump = DUMP_STATS_ENTRY__INIT;
	RestoreStatsEntry restore = RESTORE_STATS_ENTRY__INIT;
	StatsEntry entry = STATS_ENTRY__INIT;
	_cleanup_image_dir_ struct image_dir *dir = NULL;
	_cleanup_free_ PluginStatsEntry **plugins = plugin_entries(cr, &entry.n_plugins);
	int err;

	entry.plugins = plugins;
	if (of == STATS_OF_DUMP) {
		dump_entry_fill(cr->stats, &dump);
		entry.dump = &dump;
	} else {
		restore_entry_fill(cr->stats, &restore);
		entry.restore = &restore;
	}

	err = image_dir_open_write(cr->work_dir, flags, &dir);
	if (err < 0) {
		log_warn(cr, "statistics: work directory: %s", strerrordesc_np(-err));
		return err;
	}
	err = image_write_one(dir, of == STATS_OF_DUMP ? IMAGE_STATS_DUMP : IMAGE_STATS_RESTORE, 0,
			      &entry.base);
	if (!err)
		err = image_dir_commit(dir, NULL);
	if (err < 0)
		log_warn(cr, "statistics: %s", image_last_error(dir));
	return err;
}

static void print_time(const struct stats *stats, const char *what, enum stats_time time)
{
	printf("%s: %" PRIu64 " us\n", what, stats_get_time(stats, time));
}

static void print_count(const struct stats *stats, const char *what, enum stats_counter counter)
{
	uint64_t count = stats_get(stats, counter);

	printf("%s: %" PRIu64 " (0x%" PRIx64 ")\n", what, count, count);
}

void stats_display(struct cr *cr, enum stats_of of)
{
	const struct stats *stats = cr->stats;

	if (of == STATS_OF_DUMP) {
		puts("Displaying dump stats:");
		print_time(stats, "Freezing time", STATS_FREEZING_TIME);
		print_time(stats, "Frozen time", STATS_FROZEN_TIME);
		print_time(stats, "Memory dump time", STATS_MEMDUMP_TIME);
		print_time(stats, "Memory write time", STATS_MEMWRITE_TIME);
		print_time(stats, "IRMAP resolve time", STATS_IRMAP_RESOLVE);
		print_count(stats, "Memory pages scanned", STATS_PAGES_SCANNED);
		print_count(stats, "Memory pages skipped from parent", STATS_PAGES_SKIPPED_PARENT);
		print_count(stats, "Memory pages written", STATS_PAGES_WRITTEN);
		print_count(stats, "Lazy memory pages", STATS_PAGES_LAZY);
	} else {
		puts("Displaying restore stats:");
		print_count(stats, "Pages compared", STATS_PAGES_COMPARED);
		print_count(stats, "Pages skipped COW", STATS_PAGES_SKIPPED_COW);
		print_count(stats, "Pages restored", STATS_PAGES_RESTORED);
		print_time(stats, "Restore time", STATS_RESTORE_TIME);
		print_time(stats, "Forking time", STATS_FORKING_TIME);
	}
	fflush(stdout);
}
