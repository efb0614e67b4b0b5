/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters and times of a run, in a shared mapping made before anything forks. Counters are added
 * to from any thread or process; a time is begun and ended by one at a time.
 */
#include <stddef.h>
#include <sys/mman.h>

#include "util/stats.h"
#include "util/time.h"

struct stats {
	uint64_t counters[STATS_COUNTERS];
	struct {
		uint64_t begun_us; /* 0: not running */
		uint64_t total_us;
	} times[STATS_TIMES];
};

struct stats *stats_new(void)
{
	void *at = mmap(NULL, sizeof(struct stats), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void stats_free(struct stats *stats)
{
	if (stats)
		munmap(stats, sizeof(*stats));
}

void stats_add(struct stats *stats, enum stats_counter counter, uint64_t amount)
{
	if (stats)
		__atomic_add_fetch(&stats->counters[counter], amount, __ATOMIC_RELAXED);
}

uint64_t stats_get(const struct stats *stats, enum stats_counter counter)
{
	return stats ? __atomic_load_n(&stats->counters[counter], __ATOMIC_RELAXED) : 0;
}

void stats_begin(struct stats *stats, enum stats_time time)
{
	if (stats && !stats->times[time].begun_us)
		stats->times[time].begun_us = time_now_us();
}

void stats_end(struct stats *stats, enum stats_time time)
{
	if (!stats || !stats->times[time].begun_us)
		return;
	stats->times[time].total_us += time_now_us() - stats->times[time].begun_us;
	stats->times[time].begun_us = 0;
}

uint64_t stats_get_time(const struct stats *stats, enum stats_time time)
{
	return stats ? stats->times[time].total_us : 0;
}
