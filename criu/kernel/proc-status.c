// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/PID/status: lines "Key:<tab>value". The keys are a table in the order of the kernel's file,
 * so that each line is found by one comparison with the entry behind the last one; keys that we do
 * not know are passed over, keys that must be there are counted.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "kernel/proc-priv.h"
#include "util/alloc.h"

struct key {
	const char *name;
	void (*parse)(struct scan *value, struct proc_status *st, size_t offset);
	size_t offset;
	bool is_needed;
};

#define AT(st, offset, type) ((type *)((char *)(st) + (offset)))

static void parse_name(struct scan *s, struct proc_status *st, size_t offset)
{
	size_t n = 0;

	/* "\n" and "\\" are escaped here, nothing else is. */
	while (s->at < s->end) {
		char c = *s->at++;

		if (n == sizeof(st->name) - 1) {
			scan_fail(s);
			return;
		}
		if (c == '\\')
			c = scan_try_char(s, 'n') ? '\n' : (scan_char(s, '\\'), '\\');
		st->name[n++] = c;
	}
	st->name[n] = '\0';
}

static void parse_state(struct scan *s, struct proc_status *st, size_t offset)
{
	if (s->at == s->end)
		scan_fail(s);
	else
		st->state = *s->at;
	s->at = s->end;
}

static void parse_octal(struct scan *s, struct proc_status *st, size_t offset)
{
	*AT(st, offset, uint32_t) = scan_u32(s, 8);
}

static void parse_u32(struct scan *s, struct proc_status *st, size_t offset)
{
	*AT(st, offset, uint32_t) = scan_u32(s, 10);
}

static void parse_pid(struct scan *s, struct proc_status *st, size_t offset)
{
	*AT(st, offset, pid_t) = scan_i32(s, 10);
}

static void parse_bool(struct scan *s, struct proc_status *st, size_t offset)
{
	uint32_t value = scan_u32(s, 10);

	*AT(st, offset, bool) = value != 0;
	if (value > 1)
		scan_fail(s);
}

static void parse_hex(struct scan *s, struct proc_status *st, size_t offset)
{
	*AT(st, offset, uint64_t) = scan_u64(s, 16);
}

static void parse_kib(struct scan *s, struct proc_status *st, size_t offset)
{
	scan_blanks(s);
	*AT(st, offset, uint64_t) = scan_u64(s, 10);
	scan_text(s, " kB");
	st->has_mm = true;
}

static void parse_four(struct scan *s, struct proc_status *st, size_t offset)
{
	for (int i = 0; i < 4; i++) {
		if (i)
			scan_char(s, '\t');
		AT(st, offset, uint32_t)[i] = scan_u32(s, 10);
	}
}

static void parse_groups(struct scan *s, struct proc_status *st, size_t offset)
{
	size_t capacity = 0;

	free(st->groups);
	st->groups = NULL;
	st->n_groups = 0;
	scan_blanks(s);
	while (!scan_at_end(s)) {
		st->groups =
			array_grow(st->groups, &capacity, st->n_groups + 1, sizeof(*st->groups));
		st->groups[st->n_groups++] = scan_u32(s, 10);
		scan_blanks(s);
	}
}

static void parse_ids(struct scan *s, struct proc_status *st, size_t offset)
{
	struct proc_ids *ids = AT(st, offset, struct proc_ids);

	ids->n = 0;
	do {
		if (ids->n == ARRAY_SIZE(ids->id)) {
			scan_fail(s);
			return;
		}
		ids->id[ids->n++] = scan_i32(s, 10);
	} while (scan_try_char(s, '\t'));
}

static void parse_kthread(struct scan *s, struct proc_status *st, size_t offset)
{
	parse_bool(s, st, offsetof(struct proc_status, is_kthread));
	st->has_kthread = true;
}

static void parse_filters(struct scan *s, struct proc_status *st, size_t offset)
{
	st->seccomp_filters = scan_u32(s, 10);
	st->has_seccomp_filters = true;
}

static void parse_sigq(struct scan *s, struct proc_status *st, size_t offset)
{
	st->sigq_used = scan_u64(s, 10);
	scan_char(s, '/');
	st->sigq_max = scan_u64(s, 10);
}

#define FIELD(member) offsetof(struct proc_status, member)

static const struct key keys[] = {
	{"Name", parse_name, 0, true},
	{"Umask", parse_octal, FIELD(umask), false},
	{"State", parse_state, 0, true},
	{"Tgid", parse_pid, FIELD(tgid), true},
	{"Ngid", parse_pid, FIELD(ngid), false},
	{"Pid", parse_pid, FIELD(pid), true},
	{"PPid", parse_pid, FIELD(ppid), true},
	{"TracerPid", parse_pid, FIELD(tracer_pid), true},
	{"Uid", parse_four, FIELD(uid), true},
	{"Gid", parse_four, FIELD(gid), true},
	{"FDSize", parse_u32, FIELD(fd_size), true},
	{"Groups", parse_groups, 0, true},
	{"NStgid", parse_ids, FIELD(ns_tgid), false},
	{"NSpid", parse_ids, FIELD(ns_pid), false},
	{"NSpgid", parse_ids, FIELD(ns_pgid), false},
	{"NSsid", parse_ids, FIELD(ns_sid), false},
	{"Kthread", parse_kthread, 0, false},
	{"VmPeak", parse_kib, FIELD(vm_peak), false},
	{"VmSize", parse_kib, FIELD(vm_size), false},
	{"VmLck", parse_kib, FIELD(vm_locked), false},
	{"VmPin", parse_kib, FIELD(vm_pinned), false},
	{"VmHWM", parse_kib, FIELD(vm_hwm), false},
	{"VmRSS", parse_kib, FIELD(vm_rss), false},
	{"RssAnon", parse_kib, FIELD(rss_anon), false},
	{"RssFile", parse_kib, FIELD(rss_file), false},
	{"RssShmem", parse_kib, FIELD(rss_shmem), false},
	{"VmData", parse_kib, FIELD(vm_data), false},
	{"VmStk", parse_kib, FIELD(vm_stack), false},
	{"VmExe", parse_kib, FIELD(vm_exe), false},
	{"VmLib", parse_kib, FIELD(vm_lib), false},
	{"VmPTE", parse_kib, FIELD(vm_pte), false},
	{"VmSwap", parse_kib, FIELD(vm_swap), false},
	{"HugetlbPages", parse_kib, FIELD(hugetlb), false},
	{"CoreDumping", parse_bool, FIELD(core_dumping), false},
	{"THP_enabled", parse_bool, FIELD(thp_enabled), false},
	{"Threads", parse_u32, FIELD(threads), true},
	{"SigQ", parse_sigq, 0, true},
	{"SigPnd", parse_hex, FIELD(sig_pending), true},
	{"ShdPnd", parse_hex, FIELD(shd_pending), true},
	{"SigBlk", parse_hex, FIELD(sig_blocked), true},
	{"SigIgn", parse_hex, FIELD(sig_ignored), true},
	{"SigCgt", parse_hex, FIELD(sig_caught), true},
	{"CapInh", parse_hex, FIELD(cap_inheritable), true},
	{"CapPrm", parse_hex, FIELD(cap_permitted), true},
	{"CapEff", parse_hex, FIELD(cap_effective), true},
	{"CapBnd", parse_hex, FIELD(cap_bounding), true},
	{"CapAmb", parse_hex, FIELD(cap_ambient), false},
	{"NoNewPrivs", parse_bool, FIELD(no_new_privs), false},
	{"Seccomp", parse_u32, FIELD(seccomp), false},
	{"Seccomp_filters", parse_filters, 0, false},
};

_Static_assert(ARRAY_SIZE(keys) <= 64, "the set of keys seen is one word");

/* The index of the key, looking at hint first; -1 if it is not in the table. */
static int find_key(const char *name, size_t len, size_t hint)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t at = (hint + i) % ARRAY_SIZE(keys);

		/* By length first: what is looked for may hold zero bytes. */
		if (strlen(keys[at].name) == len && memcmp(keys[at].name, name, len) == 0)
			return (int)at;
	}
	return -1;
}

static bool has_all_needed(uint64_t seen)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].is_needed && !(seen & 1ull << i))
			return false;
	}
	return true;
}

static bool parse_lines(struct scan *s, struct proc_status *st)
{
	struct scan line;
	uint64_t seen = 0;
	size_t hint = 0;

	while (scan_line(s, &line)) {
		size_t len;
		const char *name = scan_until(&line, ':', &len);
		int at = hint < ARRAY_SIZE(keys) ? find_key(name, len, hint) : -1;

		if (at < 0)
			continue;
		scan_char(&line, ':');
		scan_char(&line, '\t');
		keys[at].parse(&line, st, keys[at].offset);
		scan_end(&line);
		if (!scan_ok(&line))
			return false;
		seen |= 1ull << at;
		/* Nothing behind the last key is ours: no need to compare those lines with the
		 * whole table. */
		hint = (size_t)at + 1;
	}
	return has_all_needed(seen);
}

int proc_parse_status(const char *text, size_t size, struct proc_status *ret)
{
	struct scan s = scan_of(text, size);
	struct proc_status st = {};

	if (!parse_lines(&s, &st)) {
		proc_status_release(&st);
		return -EBADMSG;
	}
	*ret = st;
	return 0;
}

int proc_read_status(int dir, struct proc_status *ret)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, "status", &text);

	return err < 0 ? err : proc_parse_status(text.data, text.size, ret);
}

void proc_status_release(struct proc_status *status)
{
	free(status->groups);
	status->groups = NULL;
	status->n_groups = 0;
}
