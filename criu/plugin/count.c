// SPDX-License-Identifier: GPL-2.0-only
/* How often each hook was called and what that took: for the report. Workers count as well. */
#include <stdio.h>

#include "cr.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/report.h"

/* Hooks are named by constants. */
void plugin_count(struct plugin *plugin, const char *hook, uint64_t microseconds)
{
	for (size_t i = 0; i < PLUGIN_HOOKS; i++) {
		struct plugin_count *count = &plugin->counts[i];
		const char *none = NULL;

		if (!__atomic_load_n(&count->hook, __ATOMIC_ACQUIRE))
			(void)__atomic_compare_exchange_n(&count->hook, &none, hook, false,
							  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&count->hook, __ATOMIC_ACQUIRE) != hook)
			continue;
		__atomic_fetch_add(&count->calls, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&count->microseconds, microseconds, __ATOMIC_RELAXED);
		return;
	}
}

void plugin_counts_report(struct cr *cr, const struct plugin *plugin)
{
	for (size_t i = 0; i < PLUGIN_HOOKS && plugin->counts[i].hook; i++) {
		const struct plugin_count *count = &plugin->counts[i];
		char name[96];

		snprintf(name, sizeof(name), "plugin %s %s", plugin->decl.name, count->hook);
		log_info(cr, "%s: %llu calls, %llu us", name, (unsigned long long)count->calls,
			 (unsigned long long)count->microseconds);
		if (cr->report)
			report_step_add(cr->report, name, count->microseconds, 0);
	}
	if (cr->report && plugin->bytes) {
		char name[96];

		snprintf(name, sizeof(name), "plugin %s images", plugin->decl.name);
		report_step_add(cr->report, name, 0, plugin->bytes);
	}
}

struct plugin_statistic *plugins_statistics(const struct cr *cr, size_t *ret_n)
{
	struct plugin_statistic *all = NULL;
	const struct plugin *plugin;
	size_t n = 0, capacity = 0;

	*ret_n = 0;
	if (!cr->plugins)
		return NULL;
	plugins_for_each (plugin, cr->plugins) {
		for (size_t i = 0; i < PLUGIN_HOOKS && plugin->counts[i].hook; i++) {
			const struct plugin_count *count = &plugin->counts[i];

			all = array_grow(all, &capacity, n + 1, sizeof(*all));
			all[n++] = (struct plugin_statistic){plugin->decl.name, count->hook,
							     count->calls, count->microseconds, 0};
		}
		if (!plugin->bytes)
			continue;
		all = array_grow(all, &capacity, n + 1, sizeof(*all));
		all[n++] =
			(struct plugin_statistic){plugin->decl.name, "images", 0, 0, plugin->bytes};
	}
	*ret_n = n;
	return all;
}
