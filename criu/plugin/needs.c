// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a plugin needs of this host, checked before anything is touched; and the numbers of drivers,
 * from /proc/devices, which its matches name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "plugin/priv.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/hash.h"
#include "util/log.h"

/* "Character devices:", then lines "  1 mem", up to an empty line. */
static void read_drivers(struct plugins *plugins)
{
	_cleanup_free_ char *line = NULL;
	FILE *file = fopen("/proc/devices", "re");
	size_t size = 0;

	plugins->has_majors = true;
	if (!file)
		return;
	while (getline(&line, &size, file) > 1) {
		unsigned int major;
		char name[64];

		if (sscanf(line, "%u %63s", &major, name) == 2)
			hash_put(&plugins->majors, hash_str(name), (void *)((uintptr_t)major + 1));
	}
	fclose(file);
}

int driver_major(struct cr *cr, const char *driver)
{
	struct plugins *plugins = cr->plugins;
	uintptr_t found;

	if (!plugins->has_majors)
		read_drivers(plugins);
	found = (uintptr_t)hash_get(&plugins->majors, hash_str(driver));
	return found ? (int)(found - 1) : -ENOENT;
}

static bool has_capability(int number)
{
	cap_flag_value_t value = CAP_CLEAR;
	cap_t caps = cap_get_proc();
	bool has;

	has = caps && cap_get_flag(caps, number, CAP_EFFECTIVE, &value) == 0 && value == CAP_SET;
	cap_free(caps);
	return has;
}

static bool has_kernel(const char *release)
{
	unsigned int want[3] = {0}, have[3] = {0};
	struct utsname name;

	uname(&name);
	sscanf(release, "%u.%u.%u", &want[0], &want[1], &want[2]);
	sscanf(name.release, "%u.%u.%u", &have[0], &have[1], &have[2]);
	for (size_t i = 0; i < 3; i++)
		if (have[i] != want[i])
			return have[i] > want[i];
	return true;
}

int plugin_check_needs(struct cr *cr, const struct plugin *plugin)
{
	for (size_t i = 0; i < plugin->decl.n_needs; i++) {
		const struct criu_need *need = &plugin->decl.needs[i];
		const char *name = plugin->decl.name;

		switch (need->kind) {
		case CRIU_NEED_CAPABILITY:
			if (has_capability(need->number))
				continue;
			return log_refuse(cr, -EPERM, "plugin %s: needs the capability %d (%s)",
					  name, need->number,
					  need->text ? need->text : "see capabilities(7)");
		case CRIU_NEED_DRIVER:
			if (driver_major(cr, need->text) >= 0)
				continue;
			return log_refuse(cr, -ENODEV,
					  "plugin %s: needs the driver %s, which "
					  "/proc/devices does not have",
					  name, need->text);
		case CRIU_NEED_KERNEL:
			if (has_kernel(need->text))
				continue;
			return log_refuse(cr, -ENOSYS, "plugin %s: needs kernel %s or newer", name,
					  need->text);
		case CRIU_NEED_PATH:
			if (access(need->text, F_OK) == 0)
				continue;
			return log_refuse(cr, -ENOENT, "plugin %s: needs %s, which is not there",
					  name, need->text);
		}
		return log_refuse(cr, -EINVAL, "plugin %s: its need %zu is of an unknown kind",
				  name, i + 1);
	}
	return 0;
}
