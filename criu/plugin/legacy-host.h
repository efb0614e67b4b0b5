/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tool offers to plugins of the interface of CRIU 4.2: symbols of fixed names. */
#ifndef CRIU_PLUGIN_LEGACY_HOST_H
#define CRIU_PLUGIN_LEGACY_HOST_H

#include <stddef.h>

struct cr;

/* Before the first init(): what the symbols say is of this run from now on. inventory is NULL on
 * dump, and where the images are of a version that listed no plugins. */
int legacy_host_start(struct cr *cr, const char *const *inventory, size_t n_inventory);
/* Just before the first fork: its descriptors go out of the way of the tasks'. */
int legacy_host_prepare_fork(struct cr *cr);
void legacy_host_stop(struct cr *cr);

#endif
