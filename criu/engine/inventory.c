// SPDX-License-Identifier: GPL-2.0-only
/*
 * inventory.img: what holds for the whole dump, and the mark that there is one. It names the kernel
 * objects of the tool itself (a task whose namespace has the same number had none of its own), the
 * set of control groups number 1, the security module, how the network was locked, the plugins that
 * took part, and a number by which this run can be told from all others.
 */
#include "engine/inventory.h"

#include <fcntl.h>
#include <string.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "images/inventory.pb-c.h"
#include "images/lib/image.h"
#include "mem/mem.h"
#include "options.h"
#include "plugin/plugin.h"
#include "task/dump.h"
#include "util/fd.h"
#include "util/log.h"

#define IMAGE_VERSION 2
#define OWN_CG_SET    1
#define UUID_LENGTH   36

/* The format's numbers; the option knows a fourth way, which is to do nothing. */
static uint32_t lock_method(enum option_network_lock lock)
{
	switch (lock) {
	case NETWORK_LOCK_IPTABLES:
		return 0;
	case NETWORK_LOCK_NFTABLES:
		return 1;
	default:
		return 2;
	}
}

static int new_run_id(struct cr *cr, char ret[UUID_LENGTH + 2])
{
	ssize_t n =
		fd_read_file_into(AT_FDCWD, "/proc/sys/kernel/random/uuid", ret, UUID_LENGTH + 2);

	if (n < 0)
		return log_err(cr, (int)n, "/proc/sys/kernel/random/uuid: read");
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

int inventory_dump(struct cr *cr)
{
	InventoryEntry entry = INVENTORY_ENTRY__INIT;
	PluginsEntry plugins = PLUGINS_ENTRY__INIT;
	_cleanup_free_ const char **needed = NULL;
	char run_id[UUID_LENGTH + 2];
	int err = new_run_id(cr, run_id);

	if (err < 0)
		return err;
	needed = plugins_needed(cr, &plugins.n_plugins);
	plugins.plugins = (char **)needed;
	entry.img_version = IMAGE_VERSION;
	entry.has_fdinfo_per_id = entry.fdinfo_per_id = true;
	entry.root_ids = &cr->dump->root_ids;
	entry.has_ns_per_id = entry.ns_per_id = true;
	entry.has_root_cg_set = !cr->opts->unprivileged;
	entry.root_cg_set = OWN_CG_SET;
	entry.has_lsmtype = true;
	entry.lsmtype = cr->dump->lsm;
	entry.has_tcp_close = entry.tcp_close = cr->opts->tcp_close;
	entry.has_network_lock_method = true;
	entry.network_lock_method = lock_method(cr->opts->network_lock);
	entry.plugins_entry = &plugins;
	entry.dump_criu_run_id = run_id;
	entry.has_allow_uprobes = entry.allow_uprobes = mem_has_uprobes(cr);
	err = image_dir_commit(cr->images, &entry.base);
	if (err < 0)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	return 0;
}
