// SPDX-License-Identifier: GPL-2.0-only
/* Restore: where the processes of the tasks, forked from the coordinator, and it itself meet. */
#include <errno.h>

#include "cr.h"
#include "plugin/legacy-host.h"
#include "plugin/priv.h"
#include "util/log.h"

/* Any plugin knows all tasks, in the same order. */
static size_t index_of(const struct plugins *plugins, pid_t pid)
{
	const struct plugin *plugin = list_first_entry(&plugins->all, struct plugin, node);

	for (size_t i = 0; i < plugin->n_listed; i++)
		if (plugin->listed[i]->pid == pid)
			return i;
	return SIZE_MAX;
}

int plugins_prepare_fork(struct cr *cr, int first_free_fd)
{
	struct plugins *plugins = cr->plugins;
	int err;

	if (!plugins_are_loaded(cr))
		return 0;
	plugins->first_free_fd = first_free_fd;
	err = legacy_host_prepare_fork(cr);
	if (err)
		return err;
	return activity_new(cr, list_first_entry(&plugins->all, struct plugin, node)->n_listed);
}

void plugins_enter_task(struct cr *cr, pid_t pid)
{
	struct plugins *plugins = cr->plugins;

	if (!plugins_are_loaded(cr))
		return;
	plugins->own_index = index_of(plugins, pid);
	plugins->own_pid = pid;
}
