// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/PID/fdinfo/N. Each line begins with a key; what follows is the kernel's own form of each
 * kind, decimal here and hexadecimal there. Keys that we do not know are passed over (drivers add
 * their own), but a line that begins like one of ours and does not go on like it is an error: half
 * a watch would be restored wrong.
 */
#include "kernel/fdinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "kernel/proc-priv.h"
#include "util/alloc.h"

struct parse {
	struct fdinfo *info;
	size_t capacity;
};

static struct fdinfo_item *add_item(struct parse *p, enum fdinfo_kind kind)
{
	struct fdinfo *info = p->info;
	struct fdinfo_item *item;

	info->items =
		array_grow(info->items, &p->capacity, info->n_items + 1, sizeof(*info->items));
	item = &info->items[info->n_items++];
	*item = (struct fdinfo_item){.kind = kind};
	return item;
}

/* ---- what every file has ---- */

static void parse_pos(struct scan *s, struct parse *p)
{
	p->info->pos = scan_i64(s, 10);
}

static void parse_flags(struct scan *s, struct parse *p)
{
	p->info->flags = scan_u32(s, 8);
}

static void parse_mnt_id(struct scan *s, struct parse *p)
{
	p->info->mnt_id = scan_i32(s, 10);
	p->info->has |= FDINFO_MNT_ID;
}

static void parse_ino(struct scan *s, struct parse *p)
{
	p->info->ino = scan_u64(s, 10);
	p->info->has |= FDINFO_INO;
}

static void parse_lock(struct scan *s, struct parse *p)
{
	if (lock_parse_line(s, &add_item(p, FDINFO_LOCK)->lock) < 0)
		scan_fail(s);
}

/* ---- eventfd, signalfd, timerfd ---- */

static void parse_eventfd_count(struct scan *s, struct parse *p)
{
	p->info->eventfd_count = scan_u64(s, 16);
	p->info->has |= FDINFO_EVENTFD;
}

static void parse_eventfd_id(struct scan *s, struct parse *p)
{
	p->info->eventfd_id = scan_i32(s, 10);
	p->info->has |= FDINFO_EVENTFD_ID;
}

static void parse_eventfd_semaphore(struct scan *s, struct parse *p)
{
	if (scan_u32(s, 10))
		p->info->has |= FDINFO_SEMAPHORE;
}

static void parse_sigmask(struct scan *s, struct parse *p)
{
	p->info->sigmask = scan_u64(s, 16);
	p->info->has |= FDINFO_SIGNALFD;
}

static void parse_clockid(struct scan *s, struct parse *p)
{
	p->info->timerfd.clock_id = scan_i32(s, 10);
	p->info->has |= FDINFO_TIMERFD;
}

static void parse_ticks(struct scan *s, struct parse *p)
{
	p->info->timerfd.ticks = scan_u64(s, 10);
}

static void parse_settime_flags(struct scan *s, struct parse *p)
{
	p->info->timerfd.settime_flags = scan_u32(s, 8);
}

/* "(seconds, nanoseconds)" */
static void scan_time(struct scan *s, uint64_t *ret_sec, uint64_t *ret_nsec)
{
	scan_char(s, '(');
	*ret_sec = scan_u64(s, 10);
	scan_text(s, ", ");
	*ret_nsec = scan_u64(s, 10);
	scan_char(s, ')');
	if (*ret_nsec >= 1000000000)
		scan_fail(s);
}

static void parse_it_value(struct scan *s, struct parse *p)
{
	scan_time(s, &p->info->timerfd.value_sec, &p->info->timerfd.value_nsec);
}

static void parse_it_interval(struct scan *s, struct parse *p)
{
	scan_time(s, &p->info->timerfd.interval_sec, &p->info->timerfd.interval_nsec);
}

/* ---- epoll, inotify, fanotify ---- */

static void parse_tfd(struct scan *s, struct parse *p)
{
	struct fdinfo_epoll *epoll = &add_item(p, FDINFO_EPOLL_TARGET)->epoll;

	epoll->tfd = scan_i32(s, 10);
	scan_text(s, " events:");
	scan_blanks(s);
	epoll->events = scan_u32(s, 16);
	scan_text(s, " data:");
	scan_blanks(s);
	epoll->data = scan_u64(s, 16);
	scan_blanks(s);
	/* 4.13 and later. */
	if (!scan_try(s, "pos:"))
		return;
	epoll->pos = scan_i64(s, 10);
	scan_text(s, " ino:");
	epoll->ino = scan_u64(s, 16);
	scan_text(s, " sdev:");
	epoll->sdev = scan_u32(s, 16);
	epoll->has_inode = true;
}

static unsigned int scan_nibble(struct scan *s)
{
	struct scan digit = {.at = s->at, .end = s->at + 1};
	uint64_t value;

	if (scan_at_end(s)) {
		scan_fail(s);
		return 0;
	}
	value = scan_u64(&digit, 16);
	if (!scan_ok(&digit))
		scan_fail(s);
	else
		s->at++;
	return (unsigned int)value;
}

/* Nothing, where the filesystem could not give a handle. */
static void scan_handle(struct scan *s, struct fdinfo_handle *ret)
{
	scan_blanks(s);
	if (!scan_try(s, "fhandle-bytes:"))
		return;
	ret->bytes = scan_u32(s, 16);
	scan_text(s, " fhandle-type:");
	ret->type = (int32_t)scan_u32(s, 16);
	scan_text(s, " f_handle:");
	if (ret->bytes > sizeof(ret->data)) {
		scan_fail(s);
		return;
	}
	for (uint32_t i = 0; i < ret->bytes && scan_ok(s); i++) {
		unsigned int high = scan_nibble(s);

		ret->data[i] = (uint8_t)(high << 4 | scan_nibble(s));
	}
}

static void parse_inotify(struct scan *s, struct parse *p)
{
	struct fdinfo_inotify *watch = &add_item(p, FDINFO_INOTIFY_WATCH)->inotify;

	watch->wd = (int32_t)scan_u32(s, 16);
	scan_text(s, " ino:");
	watch->ino = scan_u64(s, 16);
	scan_text(s, " sdev:");
	watch->sdev = scan_u32(s, 16);
	scan_text(s, " mask:");
	watch->mask = scan_u32(s, 16);
	scan_text(s, " ignored_mask:");
	watch->ignored_mask = scan_u32(s, 16);
	scan_handle(s, &watch->handle);
}

static void scan_mark_masks(struct scan *s, struct fdinfo_fanotify_mark *mark)
{
	scan_text(s, " mflags:");
	mark->mflags = scan_u32(s, 16);
	scan_text(s, " mask:");
	mark->mask = scan_u64(s, 16);
	scan_text(s, " ignored_mask:");
	mark->ignored_mask = scan_u64(s, 16);
}

static void parse_fanotify(struct scan *s, struct parse *p)
{
	struct fdinfo_fanotify_mark *mark;

	if (scan_try(s, "flags:")) {
		p->info->fanotify_flags = scan_u32(s, 16);
		scan_text(s, " event-flags:");
		p->info->fanotify_event_flags = scan_u32(s, 16);
		p->info->has |= FDINFO_FANOTIFY;
	} else if (scan_try(s, "ino:")) {
		mark = &add_item(p, FDINFO_FANOTIFY_INODE)->fanotify;
		mark->ino = scan_u64(s, 16);
		scan_text(s, " sdev:");
		mark->sdev = scan_u32(s, 16);
		scan_mark_masks(s, mark);
		scan_handle(s, &mark->handle);
	} else if (scan_try(s, "mnt_id:")) {
		mark = &add_item(p, FDINFO_FANOTIFY_MOUNT)->fanotify;
		mark->mnt_id = (int32_t)scan_u32(s, 16);
		scan_mark_masks(s, mark);
	} else {
		scan_text(s, "sdev:");
		mark = &add_item(p, FDINFO_FANOTIFY_SB)->fanotify;
		mark->sdev = scan_u32(s, 16);
		scan_mark_masks(s, mark);
	}
}

/* ---- pidfd, unix sockets, terminals, TUN, BPF, dma-buf ---- */

static void parse_pid(struct scan *s, struct parse *p)
{
	p->info->pidfd.pid = scan_i32(s, 10);
	p->info->has |= FDINFO_PIDFD;
}

static void parse_nspid(struct scan *s, struct parse *p)
{
	p->info->pidfd.n_ns = 0;
	do {
		if (p->info->pidfd.n_ns == ARRAY_SIZE(p->info->pidfd.ns_pid)) {
			scan_fail(s);
			return;
		}
		p->info->pidfd.ns_pid[p->info->pidfd.n_ns++] = scan_i32(s, 10);
	} while (scan_try_char(s, '\t'));
}

static void parse_scm_fds(struct scan *s, struct parse *p)
{
	p->info->scm_fds = scan_u32(s, 10);
	p->info->has |= FDINFO_SCM;
}

static void parse_tty_index(struct scan *s, struct parse *p)
{
	p->info->tty_index = scan_u32(s, 10);
	p->info->has |= FDINFO_TTY;
}

static void parse_iff(struct scan *s, struct parse *p)
{
	size_t len = (size_t)(s->end - s->at);

	if (len >= sizeof(p->info->tun_iff)) {
		scan_fail(s);
		return;
	}
	memcpy(p->info->tun_iff, s->at, len);
	p->info->tun_iff[len] = '\0';
	s->at = s->end;
	p->info->has |= FDINFO_TUN;
}

static void parse_map_type(struct scan *s, struct parse *p)
{
	p->info->bpf_map.type = scan_u32(s, 10);
	p->info->has |= FDINFO_BPF_MAP;
}

static void parse_key_size(struct scan *s, struct parse *p)
{
	p->info->bpf_map.key_size = scan_u32(s, 10);
}

static void parse_value_size(struct scan *s, struct parse *p)
{
	p->info->bpf_map.value_size = scan_u32(s, 10);
}

static void parse_max_entries(struct scan *s, struct parse *p)
{
	p->info->bpf_map.max_entries = scan_u32(s, 10);
}

/* "%#x": zero has no prefix. */
static uint64_t scan_alternate_hex(struct scan *s)
{
	scan_try(s, "0x");
	return scan_u64(s, 16);
}

static void parse_map_flags(struct scan *s, struct parse *p)
{
	uint64_t flags = scan_alternate_hex(s);

	p->info->bpf_map.map_flags = (uint32_t)flags;
	if (flags > UINT32_MAX)
		scan_fail(s);
}

static void parse_map_extra(struct scan *s, struct parse *p)
{
	p->info->bpf_map.extra = scan_alternate_hex(s);
}

static void parse_memlock(struct scan *s, struct parse *p)
{
	p->info->bpf_map.memlock = scan_u64(s, 10);
}

static void parse_map_id(struct scan *s, struct parse *p)
{
	p->info->bpf_map.id = scan_u32(s, 10);
}

static void parse_frozen(struct scan *s, struct parse *p)
{
	p->info->bpf_map.frozen = scan_u32(s, 10) != 0;
}

static void parse_prog_type(struct scan *s, struct parse *p)
{
	scan_u32(s, 10);
	p->info->has |= FDINFO_BPF_PROG;
}

static void parse_exp_name(struct scan *s, struct parse *p)
{
	s->at = s->end;
	p->info->has |= FDINFO_DMABUF;
}

/* Blanks behind the key are skipped before the parser is called. */
static const struct {
	const char *key;
	void (*parse)(struct scan *s, struct parse *p);
} keys[] = {
	{"pos:", parse_pos},
	{"flags:", parse_flags},
	{"mnt_id:", parse_mnt_id},
	{"ino:", parse_ino},
	{"lock:", parse_lock},
	{"eventfd-count:", parse_eventfd_count},
	{"eventfd-id:", parse_eventfd_id},
	{"eventfd-semaphore:", parse_eventfd_semaphore},
	{"sigmask:", parse_sigmask},
	{"clockid:", parse_clockid},
	{"ticks:", parse_ticks},
	{"settime flags:", parse_settime_flags},
	{"it_value:", parse_it_value},
	{"it_interval:", parse_it_interval},
	{"tfd:", parse_tfd},
	{"inotify wd:", parse_inotify},
	{"fanotify ", parse_fanotify},
	{"Pid:", parse_pid},
	{"NSpid:", parse_nspid},
	{"scm_fds:", parse_scm_fds},
	{"tty-index:", parse_tty_index},
	{"iff:", parse_iff},
	{"map_type:", parse_map_type},
	{"key_size:", parse_key_size},
	{"value_size:", parse_value_size},
	{"max_entries:", parse_max_entries},
	{"map_flags:", parse_map_flags},
	{"map_extra:", parse_map_extra},
	{"memlock:", parse_memlock},
	{"map_id:", parse_map_id},
	{"frozen:", parse_frozen},
	{"prog_type:", parse_prog_type},
	{"exp_name:", parse_exp_name},
};

static bool parse_line(struct scan *line, struct parse *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!scan_try(line, keys[i].key))
			continue;
		scan_blanks(line);
		keys[i].parse(line, p);
		scan_blanks(line);
		scan_end(line);
		return scan_ok(line);
	}
	return true;
}

int fdinfo_parse(const char *text, size_t size, struct fdinfo *ret)
{
	struct scan s = scan_of(text, size), line;
	struct fdinfo info = {};
	struct parse p = {.info = &info};

	while (scan_line(&s, &line)) {
		if (!parse_line(&line, &p)) {
			fdinfo_release(&info);
			return -EBADMSG;
		}
	}
	*ret = info;
	return 0;
}

int fdinfo_read(int dir, int fd, struct fdinfo *ret)
{
	_cleanup_text_ struct proc_text text;
	char path[64] = "fdinfo/", *end;
	int err;

	if (fd < 0)
		return -EBADF;
	end = proc_put_decimal(path + strlen(path), (uint64_t)fd);
	*end = '\0';
	err = proc_text_read(dir, path, &text);
	return err < 0 ? err : fdinfo_parse(text.data, text.size, ret);
}

void fdinfo_release(struct fdinfo *info)
{
	free(info->items);
	info->items = NULL;
	info->n_items = 0;
}
