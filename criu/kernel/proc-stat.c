// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/PID/stat: one line of 52 fields, in the order of struct proc_stat. The name in parentheses
 * may hold anything, also blanks, newlines and parentheses, so it ends at the last ")" of the text.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <string.h>

#include "compel/base/bits.h"
#include "kernel/proc-priv.h"

static int32_t next_i32(struct scan *s)
{
	scan_char(s, ' ');
	return scan_i32(s, 10);
}

static uint32_t next_u32(struct scan *s)
{
	scan_char(s, ' ');
	return scan_u32(s, 10);
}

static uint64_t next_u64(struct scan *s)
{
	scan_char(s, ' ');
	return scan_u64(s, 10);
}

static int64_t next_i64(struct scan *s)
{
	scan_char(s, ' ');
	return scan_i64(s, 10);
}

static void scan_comm(struct scan *s, char *ret, size_t size)
{
	const char *open = s->at, *close = memrchr(s->at, ')', (size_t)(s->end - s->at));
	size_t len;

	if (!close || *open != '(' || (size_t)(close - open - 1) > size - 1) {
		scan_fail(s);
		return;
	}
	len = (size_t)(close - open - 1);
	memcpy(ret, open + 1, len);
	ret[len] = '\0';
	s->at = close + 1;
}

static void scan_ids_and_times(struct scan *s, struct proc_stat *st)
{
	st->ppid = next_i32(s);
	st->pgrp = next_i32(s);
	st->session = next_i32(s);
	st->tty_nr = next_i32(s);
	st->tpgid = next_i32(s);
	st->flags = next_u32(s);
	st->minflt = next_u64(s);
	st->cminflt = next_u64(s);
	st->majflt = next_u64(s);
	st->cmajflt = next_u64(s);
	st->utime = next_u64(s);
	st->stime = next_u64(s);
	st->cutime = next_i64(s);
	st->cstime = next_i64(s);
	st->priority = next_i64(s);
	st->nice = next_i64(s);
	st->num_threads = next_i64(s);
	next_i64(s); /* itrealvalue: always 0 since 2.6.17 */
	st->starttime = next_u64(s);
}

static void scan_memory_and_rest(struct scan *s, struct proc_stat *st)
{
	st->vsize = next_u64(s);
	st->rss = next_i64(s);
	st->rsslim = next_u64(s);
	st->start_code = next_u64(s);
	st->end_code = next_u64(s);
	st->start_stack = next_u64(s);
	st->kstkesp = next_u64(s);
	st->kstkeip = next_u64(s);
	st->signal = next_u64(s);
	st->blocked = next_u64(s);
	st->sigignore = next_u64(s);
	st->sigcatch = next_u64(s);
	st->wchan = next_u64(s);
	st->nswap = next_u64(s);
	st->cnswap = next_u64(s);
	st->exit_signal = next_i32(s);
	st->processor = next_i32(s);
	st->rt_priority = next_u32(s);
	st->policy = next_u32(s);
	st->delayacct_blkio_ticks = next_u64(s);
	st->guest_time = next_u64(s);
	st->cguest_time = next_i64(s);
	st->start_data = next_u64(s);
	st->end_data = next_u64(s);
	st->start_brk = next_u64(s);
	st->arg_start = next_u64(s);
	st->arg_end = next_u64(s);
	st->env_start = next_u64(s);
	st->env_end = next_u64(s);
	st->exit_code = next_i32(s);
}

int proc_parse_stat(const char *text, size_t size, struct proc_stat *ret)
{
	struct scan s = scan_of(text, size);
	struct proc_stat st = {};

	st.pid = scan_i32(&s, 10);
	scan_char(&s, ' ');
	if (scan_at_end(&s))
		return -EBADMSG;
	scan_comm(&s, st.comm, sizeof(st.comm));
	scan_char(&s, ' ');
	if (scan_at_end(&s))
		return -EBADMSG;
	st.state = *s.at++;
	scan_ids_and_times(&s, &st);
	scan_memory_and_rest(&s, &st);
	/* Fields that a later kernel adds are none of our business. */
	if (!scan_ok(&s) || (!scan_at_end(&s) && *s.at != ' ' && *s.at != '\n'))
		return -EBADMSG;
	*ret = st;
	return 0;
}

int proc_read_stat(int dir, struct proc_stat *ret)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, "stat", &text);

	return err < 0 ? err : proc_parse_stat(text.data, text.size, ret);
}
