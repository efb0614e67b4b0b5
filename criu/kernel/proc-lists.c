// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of /proc/PID that are tables: limits, cgroup, id maps, offsets of the time namespace, POSIX
 * timers. A list is as long as the kernel makes it; what is not a row is an error.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "compel/base/bits.h"
#include "kernel/proc-priv.h"
#include "util/alloc.h"
#include "util/path.h"

/* ---- limits ---- */

static uint64_t scan_limit(struct scan *s)
{
	scan_blanks(s);
	return scan_try(s, "unlimited") ? UINT64_MAX : scan_u64(s, 10);
}

int proc_parse_limits(const char *text, size_t size, struct proc_limit ret[PROC_N_LIMITS])
{
	/* The kernel's rows have no numbers; they come in any order for all that is promised. */
	static const struct {
		const char *title;
		int resource;
	} rows[] = {
		{"Max cpu time", RLIMIT_CPU},
		{"Max file size", RLIMIT_FSIZE},
		{"Max data size", RLIMIT_DATA},
		{"Max stack size", RLIMIT_STACK},
		{"Max core file size", RLIMIT_CORE},
		{"Max resident set", RLIMIT_RSS},
		{"Max processes", RLIMIT_NPROC},
		{"Max open files", RLIMIT_NOFILE},
		{"Max locked memory", RLIMIT_MEMLOCK},
		{"Max address space", RLIMIT_AS},
		{"Max file locks", RLIMIT_LOCKS},
		{"Max pending signals", RLIMIT_SIGPENDING},
		{"Max msgqueue size", RLIMIT_MSGQUEUE},
		{"Max nice priority", RLIMIT_NICE},
		{"Max realtime priority", RLIMIT_RTPRIO},
		{"Max realtime timeout", RLIMIT_RTTIME},
	};
	struct proc_limit limits[PROC_N_LIMITS] = {};
	struct scan s = scan_of(text, size), line;
	unsigned int seen = 0;

	_Static_assert(ARRAY_SIZE(rows) == PROC_N_LIMITS, "a row for each limit");
	while (scan_line(&s, &line)) {
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			struct proc_limit *limit = &limits[rows[i].resource];

			if (!scan_try(&line, rows[i].title))
				continue;
			limit->soft = scan_limit(&line);
			limit->hard = scan_limit(&line);
			seen |= 1u << rows[i].resource;
			break;
		}
		if (!scan_ok(&line))
			return -EBADMSG;
	}
	if (seen != (1u << PROC_N_LIMITS) - 1)
		return -EBADMSG;
	memcpy(ret, limits, sizeof(limits));
	return 0;
}

int proc_read_limits(int dir, struct proc_limit ret[PROC_N_LIMITS])
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, "limits", &text);

	return err < 0 ? err : proc_parse_limits(text.data, text.size, ret);
}

/* ---- cgroup ---- */

/* "4:cpu,cpuacct:/path": the texts end where the line's separators were. */
static int parse_cgroup_line(char *line, struct proc_cgroup *ret)
{
	struct scan s = scan_of(line, strlen(line));
	char *controllers, *path;

	ret->hierarchy = scan_u32(&s, 10);
	scan_char(&s, ':');
	if (!scan_ok(&s))
		return -EBADMSG;
	controllers = line + (s.at - line);
	path = strchr(controllers, ':');
	if (!path)
		return -EBADMSG;
	*path++ = '\0';
	if (*path != '/')
		return -EBADMSG;
	ret->is_deleted = path_strip_deleted(path);
	ret->controllers = controllers;
	ret->path = path;
	return 0;
}

int proc_parse_cgroup(const char *text, size_t size, struct proc_cgroups *ret)
{
	struct proc_cgroups list = {.text = xstrndup(text, size)};
	size_t capacity = 0;
	int err = 0;
	char *next = list.text;

	while (*next && err == 0) {
		char *line = strsep(&next, "\n");

		list.items = array_grow(list.items, &capacity, list.n + 1, sizeof(*list.items));
		err = parse_cgroup_line(line, &list.items[list.n++]);
		if (!next)
			break;
	}
	if (err < 0) {
		proc_cgroups_release(&list);
		return err;
	}
	*ret = list;
	return 0;
}

int proc_read_cgroup(int dir, struct proc_cgroups *ret)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, "cgroup", &text);

	return err < 0 ? err : proc_parse_cgroup(text.data, text.size, ret);
}

void proc_cgroups_release(struct proc_cgroups *cgroups)
{
	free(cgroups->items);
	free(cgroups->text);
	*cgroups = (struct proc_cgroups){};
}

/* ---- timens_offsets ---- */

static bool scan_offset(struct scan *s, const char *clock, int64_t *ret_sec, uint32_t *ret_nsec)
{
	struct scan line;

	if (!scan_line(s, &line))
		return false;
	scan_text(&line, clock);
	scan_blanks(&line);
	*ret_sec = scan_i64(&line, 10);
	scan_blanks(&line);
	*ret_nsec = scan_u32(&line, 10);
	scan_end(&line);
	return scan_ok(&line) && *ret_nsec < 1000000000;
}

int proc_parse_timens_offsets(const char *text, size_t size, struct proc_timens_offsets *ret)
{
	struct scan s = scan_of(text, size);
	struct proc_timens_offsets offsets;

	if (!scan_offset(&s, "monotonic ", &offsets.monotonic_sec, &offsets.monotonic_nsec) ||
	    !scan_offset(&s, "boottime ", &offsets.boottime_sec, &offsets.boottime_nsec))
		return -EBADMSG;
	*ret = offsets;
	return 0;
}

int proc_read_timens_offsets(int dir, struct proc_timens_offsets *ret)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, "timens_offsets", &text);

	return err < 0 ? err : proc_parse_timens_offsets(text.data, text.size, ret);
}

/* ---- uid_map, gid_map ---- */

int proc_parse_id_map(const char *text, size_t size, struct proc_id_extent **ret, size_t *ret_n)
{
	struct scan s = scan_of(text, size), line;
	_cleanup_free_ struct proc_id_extent *extents = NULL;
	size_t n = 0, capacity = 0;

	while (scan_line(&s, &line)) {
		struct proc_id_extent extent;

		scan_blanks(&line);
		extent.inside = scan_u32(&line, 10);
		scan_blanks(&line);
		extent.outside = scan_u32(&line, 10);
		scan_blanks(&line);
		extent.count = scan_u32(&line, 10);
		scan_end(&line);
		if (!scan_ok(&line) || extent.count == 0)
			return -EBADMSG;
		extents = array_grow(extents, &capacity, n + 1, sizeof(*extents));
		extents[n++] = extent;
	}
	*ret = TAKE_PTR(extents);
	*ret_n = n;
	return 0;
}

int proc_read_id_map(int dir, const char *name, struct proc_id_extent **ret, size_t *ret_n)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, name, &text);

	return err < 0 ? err : proc_parse_id_map(text.data, text.size, ret, ret_n);
}

/* ---- timers ---- */

static int32_t scan_notify(struct scan *s, pid_t *ret_target)
{
	static const struct {
		const char *name;
		int32_t notify;
	} ways[] = {{"signal/", SIGEV_SIGNAL}, {"none/", SIGEV_NONE}, {"thread/", SIGEV_THREAD}};
	int32_t notify = -1;

	for (size_t i = 0; i < ARRAY_SIZE(ways) && notify < 0; i++) {
		if (scan_try(s, ways[i].name))
			notify = ways[i].notify;
	}
	if (notify < 0)
		scan_fail(s);
	if (scan_try(s, "tid."))
		notify |= SIGEV_THREAD_ID;
	else
		scan_text(s, "pid.");
	*ret_target = scan_i32(s, 10);
	return notify;
}

/* Four lines: "ID: 1", "signal: 14/00007ffe5a1b2c30", "notify: signal/pid.123", "ClockID: 0". */
static bool scan_timer(struct scan *s, struct proc_timer *ret)
{
	scan_text(s, "ID: ");
	ret->id = scan_i32(s, 10);
	scan_text(s, "\nsignal: ");
	ret->signo = scan_i32(s, 10);
	scan_char(s, '/');
	/* A null pointer is "(null)" on some kernels. */
	ret->sival = scan_try(s, "(null)") ? 0 : scan_u64(s, 16);
	scan_text(s, "\nnotify: ");
	ret->notify = scan_notify(s, &ret->target);
	scan_text(s, "\nClockID: ");
	ret->clock_id = scan_i32(s, 10);
	scan_char(s, '\n');
	return scan_ok(s);
}

int proc_parse_timers(const char *text, size_t size, struct proc_timer **ret, size_t *ret_n)
{
	struct scan s = scan_of(text, size);
	_cleanup_free_ struct proc_timer *timers = NULL;
	size_t n = 0, capacity = 0;

	while (!scan_at_end(&s)) {
		timers = array_grow(timers, &capacity, n + 1, sizeof(*timers));
		if (!scan_timer(&s, &timers[n++]))
			return -EBADMSG;
	}
	*ret = TAKE_PTR(timers);
	*ret_n = n;
	return 0;
}

int proc_read_timers(int dir, struct proc_timer **ret, size_t *ret_n)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, "timers", &text);

	return err < 0 ? err : proc_parse_timers(text.data, text.size, ret, ret_n);
}
