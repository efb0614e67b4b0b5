/* SPDX-License-Identifier: GPL-2.0-only */
/* Statistics: counted by many, written as an image that reads back. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cr.h"
#include "engine/stats.h"
#include "images/lib/image.h"
#include "images/stats.pb-c.h"
#include "util/log.h"
#include "util/report.h"

static void test_counters(void **state)
{
	struct stats *stats = stats_new();
	uint64_t time;

	for (int i = 0; i < 4; i++) {
		if (fork())
			continue;
		for (int n = 0; n < 1000; n++)
			stats_add(stats, STATS_PAGES_RESTORED, 2);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	assert_int_equal(stats_get(stats, STATS_PAGES_RESTORED), 8000);

	stats_end(stats, STATS_FROZEN_TIME);
	assert_int_equal(stats_get_time(stats, STATS_FROZEN_TIME), 0);
	stats_begin(stats, STATS_FROZEN_TIME);
	usleep(2000);
	stats_begin(stats, STATS_FROZEN_TIME);
	stats_end(stats, STATS_FROZEN_TIME);
	time = stats_get_time(stats, STATS_FROZEN_TIME);
	assert_true(time >= 2000);
	stats_end(stats, STATS_FROZEN_TIME);
	assert_int_equal(stats_get_time(stats, STATS_FROZEN_TIME), time);
	stats_free(stats);
	stats_add(NULL, STATS_PAGES_LAZY, 1);
	stats_begin(NULL, STATS_FROZEN_TIME);
	assert_int_equal(stats_get(NULL, STATS_PAGES_LAZY), 0);
}

static void test_images(void **state)
{
	char path[] = "/tmp/test-stats.XXXXXX";
	struct cr cr = {.stats = stats_new(), .report = report_new()};
	struct image_dir *dir = NULL;
	StatsEntry *entry = NULL;

	cr.log = log_new(cr.report);
	assert_non_null(mkdtemp(path));
	cr.work_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stats_add(cr.stats, STATS_PAGES_WRITTEN, 1ULL << 33);
	stats_add(cr.stats, STATS_PAGES_COMPARED, 5);
	assert_int_equal(stats_write(&cr, STATS_OF_DUMP), 0);
	assert_int_equal(stats_write(&cr, STATS_OF_RESTORE), 0);

	assert_int_equal(image_dir_open_read(cr.work_dir, 0, &dir), 0);
	assert_int_equal(image_read_one(dir, IMAGE_STATS_DUMP, 0, &entry), 0);
	assert_non_null(entry->dump);
	assert_null(entry->restore);
	assert_true(entry->dump->pages_written == 1ULL << 33);
	image_message_free(entry);
	assert_int_equal(image_read_one(dir, IMAGE_STATS_RESTORE, 0, &entry), 0);
	assert_null(entry->dump);
	assert_int_equal(entry->restore->pages_compared, 5);
	image_message_free(entry);
	image_dir_free(dir);

	unlinkat(cr.work_dir, "stats-dump", 0);
	unlinkat(cr.work_dir, "stats-restore", 0);
	rmdir(path);
	/* The directory is gone: it says so, but that is not what a run fails of. */
	assert_true(stats_write(&cr, STATS_OF_DUMP) < 0);
	assert_null(report_cause_get(cr.report));
	log_set_level(cr.log, 0);
	close(cr.work_dir);
	log_free(cr.log);
	report_free(cr.report);
	stats_free(cr.stats);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
