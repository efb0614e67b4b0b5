// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading the arguments of options. A reader gets the text of one argument and the member of struct
 * options that it goes to; it looks at nothing but the text, except that a descriptor named must be
 * open. Simple values come first, then the little languages of single options (--external,
 * --inherit-fd, --cpu-cap ...), which are CRIU's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cli/option-kinds.h"
#include "util/alloc.h"

/* A decimal number in text[0..len) within min..max. */
static int number_parse(const char *text, size_t len, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, text[i] - '0', &n))
			return -EINVAL;
	}
	if (n < min || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

/* The items of an array one longer, the last one zeroed; opts owns the memory, old and new. */
static void *items_extend(struct options *opts, const void *items, size_t n, size_t size)
{
	char *longer = options_keep(opts, xcalloc(n + 1, size));

	if (n)
		memcpy(longer, items, n * size);
	return longer;
}

static void strings_append(struct options *opts, struct option_strings *list, const char *text)
{
	list->items = items_extend(opts, list->items, list->n, sizeof(*list->items));
	list->items[list->n++] = options_keep_string(opts, text);
}

static struct option_pair *pairs_extend(struct options *opts, struct option_pairs *list)
{
	list->items = items_extend(opts, list->items, list->n, sizeof(*list->items));
	return &list->items[list->n++];
}

static const char *keep_part(struct options *opts, const char *text, size_t len)
{
	return options_keep(opts, xstrndup(text, len));
}

static int read_flag(const struct option_input *in, void *member)
{
	*(bool *)member = in->on;
	return 0;
}

/* Nothing adds one, "vv" (of -vvv) adds three, "4" sets. Scripts give more than the highest level,
 * to be sure of all. */
static int read_verbosity(const struct option_input *in, void *member)
{
	int *level = member;
	uint64_t n;
	int ret;

	if (!in->text) {
		*level += 1;
		return 0;
	}
	if (*in->text && in->text[strspn(in->text, "v")] == '\0') {
		*level += 1 + strlen(in->text);
		return 0;
	}
	ret = number_parse(in->text, strlen(in->text), 0, INT_MAX, &n);
	if (ret < 0)
		return ret;
	*level = n;
	return 0;
}

static int read_string(const struct option_input *in, void *member)
{
	*(const char **)member = options_keep_string(in->opts, in->text);
	return 0;
}

static int read_path(const struct option_input *in, void *member)
{
	if (!*in->text)
		return -EINVAL;
	if (strlen(in->text) >= PATH_MAX)
		return -ENAMETOOLONG;
	return read_string(in, member);
}

static int read_strings(const struct option_input *in, void *member)
{
	if (!*in->text)
		return -EINVAL;
	strings_append(in->opts, member, in->text);
	return 0;
}

static int read_scan_paths(const struct option_input *in, void *member)
{
	if (*in->text != '/')
		return -EINVAL;
	strings_append(in->opts, member, in->text);
	return 0;
}

static int read_comma_list(const struct option_input *in, void *member)
{
	const char *text = in->text;
	for (;;) {
		size_t len = strcspn(text, ",");

		if (len == 0)
			return -EINVAL;
		strings_append(in->opts, member, keep_part(in->opts, text, len));
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

static int read_pid(const struct option_input *in, void *member)
{
	uint64_t n;
	int ret = number_parse(in->text, strlen(in->text), 1, INT_MAX, &n);

	if (ret == 0)
		*(pid_t *)member = n;
	return ret;
}

static int read_seconds(const struct option_input *in, void *member)
{
	uint64_t n;
	int ret = number_parse(in->text, strlen(in->text), 0, UINT_MAX, &n);

	if (ret == 0)
		*(unsigned int *)member = n;
	return ret;
}

static int read_port(const struct option_input *in, void *member)
{
	uint64_t n;
	int ret = number_parse(in->text, strlen(in->text), 1, UINT16_MAX, &n);

	if (ret == 0)
		*(uint16_t *)member = n;
	return ret;
}

/* The number of an open descriptor in text[0..len). */
static int fd_parse(const char *text, size_t len, int *ret_fd)
{
	uint64_t n;
	int ret = number_parse(text, len, 0, INT_MAX, &n);

	if (ret < 0)
		return ret;
	if (fcntl((int)n, F_GETFD) < 0)
		return -errno;
	*ret_fd = n;
	return 0;
}

static int read_fd(const struct option_input *in, void *member)
{
	/* The default of the table: none. */
	if (strcmp(in->text, "-1") == 0) {
		*(int *)member = -1;
		return 0;
	}
	return fd_parse(in->text, strlen(in->text), member);
}

static void numbers_append(struct options *opts, struct option_numbers *list, uint64_t n)
{
	list->items = items_extend(opts, list->items, list->n, sizeof(*list->items));
	list->items[list->n++] = n;
}

static int read_close_fd(const struct option_input *in, void *member)
{
	int fd;
	int ret = fd_parse(in->text, strlen(in->text), &fd);

	if (ret == 0)
		numbers_append(in->opts, member, fd);
	return ret;
}

static int read_size(const struct option_input *in, void *member)
{
	static const char units[] = "KMG";
	size_t len = strlen(in->text);
	const char *unit = len ? strchr(units, in->text[len - 1] & ~0x20) : NULL;
	int shift = unit && *unit ? 10 * (int)(unit - units + 1) : 0;
	uint64_t n;
	int ret = number_parse(in->text, shift ? len - 1 : len, 0, UINT64_MAX >> shift, &n);

	if (ret == 0)
		*(uint64_t *)member = n << shift;
	return ret;
}

/* Where word (of len bytes) stands in a comma-separated list of words, from 0; -EINVAL if it is not
 * there. */
static int words_find(const char *words, const char *word, size_t len)
{
	for (int i = 0;; i++) {
		size_t n = strcspn(words, ",");

		if (n == len && strncmp(words, word, n) == 0)
			return i;
		if (!words[n])
			return -EINVAL;
		words += n + 1;
	}
}

/* The member is an enum whose numbers are the places in the values column. */
static int read_choice(const struct option_input *in, void *member)
{
	int i = words_find(in->spec->values, in->text, strlen(in->text));

	if (i < 0)
		return i;
	*(unsigned int *)member = i;
	return 0;
}

static int read_cgroup_mode(const struct option_input *in, void *member)
{
	/* In the order of the values column. */
	static const enum option_cgroup_mode modes[] = {
		CGROUP_MODE_NONE, CGROUP_MODE_PROPS,  CGROUP_MODE_SOFT,
		CGROUP_MODE_FULL, CGROUP_MODE_STRICT, CGROUP_MODE_IGNORE,
	};
	const char *word = in->text ?: in->spec->standard;
	int i = words_find(in->spec->values, word, strlen(word));

	if (i < 0)
		return i;
	*(enum option_cgroup_mode *)member = modes[i];
	return 0;
}

static int read_cgroup_root(const struct option_input *in, void *member)
{
	const char *colon = *in->text == '/' ? NULL : strchr(in->text, ':');
	const char *path = colon ? colon + 1 : in->text;
	struct option_pair *pair;

	if (*path != '/' || colon == in->text)
		return -EINVAL;
	pair = pairs_extend(in->opts, member);
	if (colon)
		pair->key = keep_part(in->opts, in->text, colon - in->text);
	pair->value = options_keep_string(in->opts, path);
	return 0;
}

static int read_cpu_cap(const struct option_input *in, void *member)
{
	const char *text = in->text;
	static const struct {
		const char *word;
		unsigned int bits;
	} words[] = {
		{"cpu", CPU_CAP_CPU}, {"fpu", CPU_CAP_FPU},
		{"ins", CPU_CAP_INS}, {"all", CPU_CAP_CPU | CPU_CAP_FPU | CPU_CAP_INS},
		{"none", 0},
	};
	unsigned int caps = 0;

	for (text = text ?: "all";;) {
		bool is_taken_back = *text == '^';
		size_t len = strcspn(text += is_taken_back, ",");
		size_t i;

		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (strlen(words[i].word) == len && strncmp(words[i].word, text, len) == 0)
				break;
		if (i == ARRAY_SIZE(words))
			return -EINVAL;
		/* "none" forgets what stands before it, "^none" means nothing. */
		if (words[i].bits == 0 && !is_taken_back)
			caps = 0;
		else if (is_taken_back)
			caps &= ~words[i].bits;
		else
			caps |= words[i].bits;
		if (!text[len])
			break;
		text += len + 1;
	}
	*(unsigned int *)member = caps ? caps | CPU_CAP_IMAGE : 0;
	return 0;
}

/* TYPE[ID] or TYPE[ID]:VALUE; the first ']' that ends the text or is followed by ':' closes the id.
 */
static int read_external(const struct option_input *in, void *member)
{
	static const char types[] = "file,tty,unix,dev,mnt,net,pid,veth,macvlan,netdev";
	struct option_externals *list = member;
	const char *open = strchr(in->text, '['), *close;
	struct option_external *item;

	if (!open || words_find(types, in->text, open - in->text) < 0)
		return -EINVAL;
	for (close = strchr(open, ']'); close && close[1] && close[1] != ':';)
		close = strchr(close + 1, ']');
	if (!close)
		return -EINVAL;

	list->items = items_extend(in->opts, list->items, list->n, sizeof(*list->items));
	item = &list->items[list->n++];
	item->text = options_keep_string(in->opts, in->text);
	item->type = keep_part(in->opts, in->text, open - in->text);
	item->id = keep_part(in->opts, open + 1, close - open - 1);
	if (close[1])
		item->value = options_keep_string(in->opts, close + 2);
	return 0;
}

static int read_inherit_fd(const struct option_input *in, void *member)
{
	struct option_inherits *list = member;
	bool is_debug = strncmp(in->text, "debug[", 6) == 0;
	const char *number = in->text + (is_debug ? 6 : 3), *close;
	struct option_inherit *item;
	int fd, ret;

	if (!is_debug && strncmp(in->text, "fd[", 3) != 0)
		return -EINVAL;
	close = strstr(number, "]:");
	if (!close || !close[2])
		return -EINVAL;
	ret = fd_parse(number, close - number, &fd);
	if (ret < 0)
		return ret;

	list->items = items_extend(in->opts, list->items, list->n, sizeof(*list->items));
	item = &list->items[list->n++];
	item->fd = fd;
	item->is_debug = is_debug;
	item->key = options_keep_string(in->opts, close + 2);
	return 0;
}

static int read_unix_sk(const struct option_input *in, void *member)
{
	const char *text = in->text;
	*(bool *)member = in->on;
	if (!text)
		return 0;
	for (;;) {
		size_t len = strcspn(text, ",");
		uint64_t inode;
		int ret = number_parse(text, len, 1, UINT32_MAX, &inode);

		if (ret < 0)
			return ret;
		numbers_append(in->opts, &in->opts->ext_unix_sk_inodes, inode);
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

/* KEY<separator>VALUE, neither empty. */
static int read_pair(struct options *opts, struct option_pairs *list, const char *text,
		     char separator)
{
	const char *middle = strchr(text, separator);
	struct option_pair *pair;

	if (!middle || middle == text || !middle[1])
		return -EINVAL;
	pair = pairs_extend(opts, list);
	pair->key = keep_part(opts, text, middle - text);
	pair->value = options_keep_string(opts, middle + 1);
	return 0;
}

static int read_veth_pair(const struct option_input *in, void *member)
{
	return read_pair(in->opts, member, in->text, '=');
}

static int read_ext_mount(const struct option_input *in, void *member)
{
	if (strcmp(in->text, "auto") == 0) {
		in->opts->ext_mount_map_auto = true;
		return 0;
	}
	return read_pair(in->opts, member, in->text, ':');
}

static int read_empty_ns(const struct option_input *in, void *member)
{
	if (strcmp(in->text, "net") != 0)
		return -EINVAL;
	*(unsigned int *)member |= CLONE_NEWNET;
	return 0;
}

static int read_join_ns(const struct option_input *in, void *member)
{
	struct option_join_nss *list = member;
	const char *colon = strchr(in->text, ':'), *comma;
	struct option_join_ns *item;

	if (!colon || words_find("ipc,net,time,user,uts", in->text, colon - in->text) < 0)
		return -EINVAL;
	comma = strchr(colon, ',');
	if (!colon[1] || comma == colon + 1)
		return -EINVAL;

	list->items = items_extend(in->opts, list->items, list->n, sizeof(*list->items));
	item = &list->items[list->n++];
	item->ns = keep_part(in->opts, in->text, colon - in->text);
	item->file = keep_part(in->opts, colon + 1,
			       comma ? (size_t)(comma - colon - 1) : strlen(colon + 1));
	if (comma)
		item->extra = options_keep_string(in->opts, comma + 1);
	return 0;
}

static int read_lsm_profile(const struct option_input *in, void *member)
{
	const char *colon = strchr(in->text, ':');

	if (!colon || !colon[1] || words_find("apparmor,selinux", in->text, colon - in->text) < 0)
		return -EINVAL;
	return read_string(in, member);
}

static int read_plugin_opt(const struct option_input *in, void *member)
{
	const char *dot = strchr(in->text, '.');

	if (!dot || dot == in->text || strcspn(dot + 1, "=") == 0 ||
	    strcspn(in->text, "=") < (size_t)(dot - in->text))
		return -EINVAL;
	strings_append(in->opts, member, in->text);
	return 0;
}

static int read_check_all(const struct option_input *in, void *member)
{
	in->opts->extra = true;
	in->opts->experimental = true;
	return 0;
}

const struct option_kind option_kinds[N_OPTION_KINDS] = {
	[KIND_FLAG] = {ARGUMENT_NONE, NULL, read_flag},
	[KIND_VERBOSITY] = {ARGUMENT_OPTIONAL, "a level, 0 or more", read_verbosity},
	[KIND_STRING] = {ARGUMENT_REQUIRED, NULL, read_string},
	[KIND_PATH] = {ARGUMENT_REQUIRED, "a path that is not empty", read_path},
	[KIND_STRINGS] = {ARGUMENT_REQUIRED, "a word that is not empty", read_strings},
	[KIND_SCAN_PATHS] = {ARGUMENT_REQUIRED, "a path that begins with /", read_scan_paths},
	[KIND_COMMA_LIST] = {ARGUMENT_REQUIRED, "words with commas between", read_comma_list},
	[KIND_PID] = {ARGUMENT_REQUIRED, "the number of a process, above 0", read_pid},
	[KIND_SECONDS] = {ARGUMENT_REQUIRED, "a number of seconds, 0 or more", read_seconds},
	[KIND_PORT] = {ARGUMENT_REQUIRED, "a number from 1 to 65535", read_port},
	[KIND_FD] = {ARGUMENT_REQUIRED, "the number of an open descriptor", read_fd},
	[KIND_CLOSE_FD] = {ARGUMENT_REQUIRED, "the number of an open descriptor", read_close_fd},
	[KIND_SIZE] = {ARGUMENT_REQUIRED, "a number of bytes, which may end with K, M or G",
		       read_size},
	[KIND_CHOICE] = {ARGUMENT_REQUIRED, NULL, read_choice},
	[KIND_CGROUP_MODE] = {ARGUMENT_OPTIONAL, NULL, read_cgroup_mode},
	[KIND_CGROUP_ROOT] = {ARGUMENT_REQUIRED, "/PATH or CONTROLLER:/PATH", read_cgroup_root},
	[KIND_CPU_CAP] = {ARGUMENT_OPTIONAL, NULL, read_cpu_cap},
	[KIND_EXTERNAL] =
		{ARGUMENT_REQUIRED,
		 "TYPE[ID] or TYPE[ID]:VALUE where TYPE is one of file, tty, unix, dev, mnt, net, "
		 "pid, veth, macvlan, netdev",
		 read_external},
	[KIND_INHERIT_FD] = {ARGUMENT_REQUIRED, "fd[N]:KEY or debug[N]:TEXT, N an open descriptor",
			     read_inherit_fd},
	[KIND_UNIX_SK] = {ARGUMENT_OPTIONAL, "inode numbers with commas between", read_unix_sk},
	[KIND_VETH_PAIR] = {ARGUMENT_REQUIRED, "INNER=OUTER", read_veth_pair},
	[KIND_EXT_MOUNT] = {ARGUMENT_REQUIRED, NULL, read_ext_mount},
	[KIND_EMPTY_NS] = {ARGUMENT_REQUIRED, NULL, read_empty_ns},
	[KIND_JOIN_NS] = {ARGUMENT_REQUIRED,
			  "NS:PID or NS:FILE where NS is one of ipc, net, time, user, uts",
			  read_join_ns},
	[KIND_LSM_PROFILE] = {ARGUMENT_REQUIRED, "apparmor:NAME or selinux:NAME", read_lsm_profile},
	[KIND_PLUGIN_OPT] = {ARGUMENT_REQUIRED, "NAME.KEY=VALUE or NAME.KEY", read_plugin_opt},
	[KIND_CHECK_ALL] = {ARGUMENT_NONE, NULL, read_check_all},
};
