// SPDX-License-Identifier: GPL-2.0-only
/* Feeds the parsers of /proc/PID with anything: the first byte chooses the file. */
#include <stdlib.h>

#include "compel/base/bits.h"
#include "kernel/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_stat(const char *text, size_t size)
{
	struct proc_stat st;

	if (proc_parse_stat(text, size, &st) == 0 && st.comm[sizeof(st.comm) - 1] != '\0')
		abort();
}

static void fuzz_status(const char *text, size_t size)
{
	struct proc_status status;

	if (proc_parse_status(text, size, &status) < 0)
		return;
	if (status.ns_pid.n > PROC_PID_LEVELS || (status.n_groups && !status.groups))
		abort();
	proc_status_release(&status);
}

static void fuzz_limits(const char *text, size_t size)
{
	struct proc_limit limits[PROC_N_LIMITS];

	proc_parse_limits(text, size, limits);
}

static void fuzz_cgroup(const char *text, size_t size)
{
	struct proc_cgroups cgroups;

	if (proc_parse_cgroup(text, size, &cgroups) < 0)
		return;
	for (size_t i = 0; i < cgroups.n; i++) {
		if (cgroups.items[i].path[0] != '/')
			abort();
	}
	proc_cgroups_release(&cgroups);
}

static void fuzz_timens(const char *text, size_t size)
{
	struct proc_timens_offsets offsets;

	proc_parse_timens_offsets(text, size, &offsets);
}

static void fuzz_id_map(const char *text, size_t size)
{
	struct proc_id_extent *extents;
	size_t n;

	if (proc_parse_id_map(text, size, &extents, &n) == 0)
		free(extents);
}

static void fuzz_children(const char *text, size_t size)
{
	pid_t *pids;
	size_t n;

	if (proc_parse_children(text, size, &pids, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (pids[i] <= 0)
			abort();
	}
	free(pids);
}

static void fuzz_timers(const char *text, size_t size)
{
	struct proc_timer *timers;
	size_t n;

	if (proc_parse_timers(text, size, &timers, &n) == 0)
		free(timers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *text, size_t size) = {
		fuzz_stat,   fuzz_status, fuzz_limits,   fuzz_cgroup,
		fuzz_timens, fuzz_id_map, fuzz_children, fuzz_timers,
	};

	if (size)
		parsers[data[0] % ARRAY_SIZE(parsers)]((const char *)data + 1, size - 1);
	return 0;
}
