// SPDX-License-Identifier: GPL-2.0-only
/* Feeds the parsers of fdinfo, locks and mountinfo with anything: the first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "compel/base/bits.h"
#include "kernel/fdinfo.h"
#include "kernel/mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_fdinfo(const char *text, size_t size)
{
	struct fdinfo info;

	if (fdinfo_parse(text, size, &info) < 0)
		return;
	for (size_t i = 0; i < info.n_items; i++) {
		if (info.items[i].kind == FDINFO_INOTIFY_WATCH &&
		    info.items[i].inotify.handle.bytes > sizeof(info.items[i].inotify.handle.data))
			abort();
	}
	fdinfo_release(&info);
}

static void fuzz_locks(const char *text, size_t size)
{
	struct lock_facts *locks;
	size_t n;

	if (locks_parse(text, size, &locks, &n) == 0)
		free(locks);
}

static void fuzz_mountinfo(const char *text, size_t size)
{
	struct mount_list list;

	if (mountinfo_parse(text, size, &list) < 0)
		return;
	for (size_t i = 0; i < list.n; i++) {
		const struct mount_facts *m = &list.items[i];

		/* Touches every text, so that a stray pointer is found. */
		if (m->mountpoint[0] != '/' ||
		    strlen(m->root) + strlen(m->options) + strlen(m->fstype) + strlen(m->source) +
				    strlen(m->sb_options) ==
			    SIZE_MAX)
			abort();
	}
	mount_list_release(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *text, size_t size) = {fuzz_fdinfo, fuzz_locks,
									 fuzz_mountinfo};

	if (size)
		parsers[data[0] % ARRAY_SIZE(parsers)]((const char *)data + 1, size - 1);
	return 0;
}
