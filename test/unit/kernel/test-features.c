// SPDX-License-Identifier: GPL-2.0-only
/* The table of features: complete, without doubles, every probe comes to an answer and leaves
 * nothing behind. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/features.h"

static void names_are_unique(void **state)
{
	enum feature found;

	for (size_t i = 0; i < features_count(); i++) {
		enum feature feature = (enum feature)i;

		assert_int_equal(feature_find(feature_name(feature), &found), 0);
		assert_int_equal(found, feature);
		assert_in_range(feature_category(feature), FEATURE_MUST, FEATURE_EXPERIMENTAL);
		assert_true(*feature_missing_text(feature) && *feature_remedy(feature));
	}
	assert_int_equal(feature_find("no such feature", &found), -ENOENT);
}

/* check --feature of CRIU 4.2 knows these. */
static void known_names(void **state)
{
	static const char *const names[] = {
		"mnt_id",
		"mem_dirty_track",
		"aio_remap",
		"timerfd",
		"tun",
		"tun_ns",
		"userns",
		"fdinfo_lock",
		"seccomp_suspend",
		"seccomp_filters",
		"loginuid",
		"cgroupns",
		"autofs",
		"tcp_half_closed",
		"compat_cr",
		"uffd",
		"uffd-noncoop",
		"can_map_vdso",
		"sk_ns",
		"sk_unix_file",
		"net_diag_raw",
		"nsid",
		"link_nsid",
		"kcmp_epoll",
		"timens",
		"external_net_ns",
		"clone3_set_tid",
		"newifindex",
		"nftables",
		"has_ipt_legacy",
		"pidfd_store",
		"ns_pid",
		"apparmor_stacking",
		"network_lock_nftables",
		"sockopt_buf_lock",
		"memfd_hugetlb",
		"move_mount_set_group",
		"openat2",
		"get_rseq_conf",
		"ipv6_freebind",
		"pagemap_scan",
		"timer_cr_ids",
		"overlayfs_maps",
		"breakpoints",
		"pagemap_scan_guard_pages",
	};
	enum feature found;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(feature_find(names[i], &found), 0);
}

static size_t count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void probes_answer(void **state)
{
	struct features *features = features_new();
	size_t before = count_descriptors();

	for (size_t i = 0; i < features_count(); i++) {
		int answer = feature_probe(features, (enum feature)i);

		print_message("%-26s %s%s\n", feature_name((enum feature)i),
			      answer == 1   ? "yes"
			      : answer == 0 ? "no"
					    : "unknown: ",
			      answer < 0 ? strerror(-answer) : "");
		assert_true(answer <= 1);
		assert_true(feature_has(features, (enum feature)i) == (answer == 1));
	}
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_true(feature_has(features, FEATURE_PROC_MNT_ID));
	assert_true(feature_has(features, FEATURE_MEMFD));
	features_free(features);
	features_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(known_names),
		cmocka_unit_test(probes_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
