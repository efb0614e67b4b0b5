// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options of the socket level. Saved: all that getsockopt(2) tells and setsockopt(2) takes back,
 * with the socket filter. Buffer sizes are saved as they are read, which is double of what was set;
 * half is set again, past the system's limits as root may.
 */
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "cr.h"
#include "compel/base/bits.h"
#include "files/file-kind.h"
#include "sockets/sk-opts.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/sk-opts.pb-c.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/* What an option is in the message, and whether it is one of unix and netlink sockets only. */
struct flag_option {
	int name;
	size_t has, value;
	bool is_word; /* u32, not bool */
	bool is_local;
};

#define FLAG(option, member)                                                                       \
	{                                                                                          \
		option, offsetof(SkOptsEntry, has_##member), offsetof(SkOptsEntry, member), false, \
			false                                                                      \
	}
#define WORD(option, member)                                                                      \
	{                                                                                         \
		option, offsetof(SkOptsEntry, has_##member), offsetof(SkOptsEntry, member), true, \
			false                                                                     \
	}
#define LOCAL(option, member)                                                                      \
	{                                                                                          \
		option, offsetof(SkOptsEntry, has_##member), offsetof(SkOptsEntry, member), false, \
			true                                                                       \
	}

static const struct flag_option flag_options[] = {
	FLAG(SO_REUSEADDR, reuseaddr),    FLAG(SO_REUSEPORT, so_reuseport),
	WORD(SO_PRIORITY, so_priority),   WORD(SO_RCVLOWAT, so_rcvlowat),
	FLAG(SO_DONTROUTE, so_dontroute), FLAG(SO_NO_CHECK, so_no_check),
	FLAG(SO_BROADCAST, so_broadcast), FLAG(SO_KEEPALIVE, so_keepalive),
	WORD(SO_OOBINLINE, so_oobinline), LOCAL(SO_PASSCRED, so_passcred),
	LOCAL(SO_PASSSEC, so_passsec),
};

static bool is_local_family(int fd)
{
	int family = 0;
	socklen_t n = sizeof(family);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) == 0 &&
	       (family == AF_UNIX || family == AF_NETLINK);
}

static int get_int(int fd, int name, int *ret)
{
	socklen_t n = sizeof(*ret);

	*ret = 0;
	return getsockopt(fd, SOL_SOCKET, name, ret, &n) < 0 ? -errno : 0;
}

static int collect_flags(struct cr *cr, const struct file *file, int fd, SkOptsEntry *opts)
{
	bool is_local = is_local_family(fd);

	for (size_t i = 0; i < ARRAY_SIZE(flag_options); i++) {
		const struct flag_option *o = &flag_options[i];
		char *base = (char *)opts;
		int value, err;

		if (o->is_local && !is_local)
			continue;
		err = get_int(fd, o->name, &value);
		/* Families that know nothing of an option say so. */
		if (err == -EOPNOTSUPP || err == -ENOPROTOOPT)
			continue;
		if (err)
			return log_err(cr, err, "socket %#x: get option %d", file->id, o->name);
		*(protobuf_c_boolean *)(base + o->has) = 1;
		if (o->is_word)
			*(uint32_t *)(base + o->value) = value;
		else
			*(protobuf_c_boolean *)(base + o->value) = value != 0;
	}
	return 0;
}

static int collect_sizes(struct cr *cr, const struct file *file, int fd, SkOptsEntry *opts)
{
	struct timeval snd, rcv;
	socklen_t n = sizeof(snd);
	int sndbuf, rcvbuf, locked;

	if (get_int(fd, SO_SNDBUF, &sndbuf) < 0 || get_int(fd, SO_RCVBUF, &rcvbuf) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &snd, &n) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &rcv, &n) < 0)
		return log_err(cr, -errno, "socket %#x: get buffer sizes and timeouts", file->id);
	opts->so_sndbuf = sndbuf;
	opts->so_rcvbuf = rcvbuf;
	opts->so_snd_tmo_sec = snd.tv_sec;
	opts->so_snd_tmo_usec = snd.tv_usec;
	opts->so_rcv_tmo_sec = rcv.tv_sec;
	opts->so_rcv_tmo_usec = rcv.tv_usec;
	if (get_int(fd, SO_BUF_LOCK, &locked) == 0) {
		opts->has_so_buf_lock = true;
		opts->so_buf_lock = locked;
	}
	return 0;
}

static int collect_rare(struct cr *cr, const struct file *file, int fd, SkOptsEntry *opts)
{
	struct linger linger = {};
	char device[IFNAMSIZ] = "";
	socklen_t n = sizeof(linger);
	int mark;

	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &n) == 0 && linger.l_onoff) {
		opts->has_so_linger = true;
		opts->so_linger = linger.l_linger;
	}
	if (get_int(fd, SO_MARK, &mark) == 0 && mark) {
		opts->has_so_mark = true;
		opts->so_mark = mark;
	}
	n = sizeof(device);
	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &n) == 0 && device[0])
		opts->so_bound_dev = xstrdup(device);

	/* For a filter the length counts instructions, of 8 bytes each. */
	n = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n) < 0)
		return log_err(cr, -errno, "socket %#x: get its filter", file->id);
	if (n) {
		opts->so_filter = xcalloc(n, sizeof(*opts->so_filter));
		opts->n_so_filter = n;
		if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, opts->so_filter, &n) < 0)
			return log_err(cr, -errno, "socket %#x: get its filter", file->id);
	}
	return 0;
}

int sk_opts_collect(struct cr *cr, const struct file *file, int fd, SkOptsEntry **ret)
{
	SkOptsEntry *opts = xmalloc(sizeof(*opts));
	int err;

	sk_opts_entry__init(opts);
	*ret = opts;
	err = collect_sizes(cr, file, fd, opts);
	if (!err)
		err = collect_flags(cr, file, fd, opts);
	if (!err)
		err = collect_rare(cr, file, fd, opts);
	return err;
}

void sk_opts_free(SkOptsEntry *opts)
{
	if (!opts)
		return;
	free(opts->so_filter);
	free(opts->so_bound_dev);
	free(opts);
}

static int set(struct cr *cr, const struct file *file, int fd, int name, const void *value,
	       socklen_t n)
{
	if (setsockopt(fd, SOL_SOCKET, name, value, n) < 0)
		return log_err(cr, -errno, "socket %#x: set option %d", file->id, name);
	return 0;
}

static int set_int(struct cr *cr, const struct file *file, int fd, int name, int value)
{
	return set(cr, file, fd, name, &value, sizeof(value));
}

/* The value, if the message has it. */
static bool get_value(const SkOptsEntry *opts, const struct flag_option *o, int *ret)
{
	const char *base = (const char *)opts;

	if (!*(const protobuf_c_boolean *)(base + o->has))
		return false;
	*ret = o->is_word ? (int)*(const uint32_t *)(base + o->value)
			  : *(const protobuf_c_boolean *)(base + o->value);
	return true;
}

static int restore_flags(struct cr *cr, const struct file *file, const SkOptsEntry *opts,
			 const SkOptsEntry *fresh, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_options); i++) {
		const struct flag_option *o = &flag_options[i];
		int value, now, err;

		if (!get_value(opts, o, &value) || (get_value(fresh, o, &now) && now == value))
			continue;
		err = set_int(cr, file, fd, o->name, value);
		if (err)
			return err;
	}
	return 0;
}

static int restore_sizes(struct cr *cr, const struct file *file, const SkOptsEntry *opts,
			 const SkOptsEntry *fresh, int fd)
{
	struct timeval snd = {opts->so_snd_tmo_sec, opts->so_snd_tmo_usec};
	struct timeval rcv = {opts->so_rcv_tmo_sec, opts->so_rcv_tmo_usec};
	bool is_sized = opts->so_sndbuf != fresh->so_sndbuf || opts->so_rcvbuf != fresh->so_rcvbuf;
	int err = 0;

	if (opts->so_sndbuf != fresh->so_sndbuf)
		err = set_int(cr, file, fd, SO_SNDBUFFORCE, opts->so_sndbuf / 2);
	if (!err && opts->so_rcvbuf != fresh->so_rcvbuf)
		err = set_int(cr, file, fd, SO_RCVBUFFORCE, opts->so_rcvbuf / 2);
	/* Setting a size locks it; whether it was locked is a flag of its own. */
	if (!err && opts->has_so_buf_lock &&
	    (is_sized || !fresh->has_so_buf_lock || opts->so_buf_lock != fresh->so_buf_lock))
		err = set_int(cr, file, fd, SO_BUF_LOCK, opts->so_buf_lock);
	if (!err && (snd.tv_sec || snd.tv_usec))
		err = set(cr, file, fd, SO_SNDTIMEO, &snd, sizeof(snd));
	if (!err && (rcv.tv_sec || rcv.tv_usec))
		err = set(cr, file, fd, SO_RCVTIMEO, &rcv, sizeof(rcv));
	return err;
}

int sk_opts_restore(struct cr *cr, const struct file *file, const SkOptsEntry *opts,
		    const SkOptsEntry *fresh, int fd)
{
	int err;

	err = restore_sizes(cr, file, opts, fresh, fd);
	if (!err)
		err = restore_flags(cr, file, opts, fresh, fd);
	if (!err && opts->has_so_linger) {
		struct linger linger = {1, opts->so_linger};

		err = set(cr, file, fd, SO_LINGER, &linger, sizeof(linger));
	}
	if (!err && opts->has_so_mark)
		err = set_int(cr, file, fd, SO_MARK, opts->so_mark);
	if (!err && opts->so_bound_dev)
		err = set(cr, file, fd, SO_BINDTODEVICE, opts->so_bound_dev,
			  strlen(opts->so_bound_dev) + 1);
	if (!err && opts->n_so_filter) {
		struct sock_fprog prog = {opts->n_so_filter, (struct sock_filter *)opts->so_filter};

		err = set(cr, file, fd, SO_ATTACH_FILTER, &prog, sizeof(prog));
	}
	return err;
}
