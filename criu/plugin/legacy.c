// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plugins of the interface of CRIU 4.2. Their hooks have neither task nor file nor context in their
 * arguments, so they are called one at a time, in the process that CRIU 4.2 would call them in.
 * What is done differently (PLUGIN-CONTRACT.md, section 7): they come in the byte order of their
 * file names, phase hooks go to all of them, an object goes on to the next plugin past one that
 * fails on it without having claimed it, the retry flag is false before the call, no result is
 * lost, and exit() always runs and is told what is final.
 */
#include "plugin/legacy.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "plugin/legacy-host.h"
#include "plugin/priv.h"
#include "run.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/str.h"

struct legacy {
	const char *name;
	cr_plugin_init_t *init;
	cr_plugin_fini_t *exit;
	void *hooks[CR_PLUGIN_HOOK__MAX];
	bool is_begun;
};

static const struct {
	const char *symbol, *name;
} hook_names[CR_PLUGIN_HOOK__MAX] = {
	[CR_PLUGIN_HOOK__DUMP_UNIX_SK] = {"cr_plugin_dump_unix_sk", "DUMP_UNIX_SK"},
	[CR_PLUGIN_HOOK__RESTORE_UNIX_SK] = {"cr_plugin_restore_unix_sk", "RESTORE_UNIX_SK"},
	[CR_PLUGIN_HOOK__DUMP_EXT_FILE] = {"cr_plugin_dump_file", "DUMP_EXT_FILE"},
	[CR_PLUGIN_HOOK__RESTORE_EXT_FILE] = {"cr_plugin_restore_file", "RESTORE_EXT_FILE"},
	[CR_PLUGIN_HOOK__DUMP_EXT_MOUNT] = {"cr_plugin_dump_ext_mount", "DUMP_EXT_MOUNT"},
	[CR_PLUGIN_HOOK__RESTORE_EXT_MOUNT] = {"cr_plugin_restore_ext_mount", "RESTORE_EXT_MOUNT"},
	[CR_PLUGIN_HOOK__DUMP_EXT_LINK] = {"cr_plugin_dump_ext_link", "DUMP_EXT_LINK"},
	[CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA] = {"cr_plugin_handle_device_vma", "HANDLE_DEVICE_VMA"},
	[CR_PLUGIN_HOOK__UPDATE_VMA_MAP] = {"cr_plugin_update_vma_map", "UPDATE_VMA_MAP"},
	[CR_PLUGIN_HOOK__RESUME_DEVICES_LATE] = {"cr_plugin_resume_devices_late",
						 "RESUME_DEVICES_LATE"},
	[CR_PLUGIN_HOOK__PAUSE_DEVICES] = {"cr_plugin_pause_devices", "PAUSE_DEVICES"},
	[CR_PLUGIN_HOOK__CHECKPOINT_DEVICES] = {"cr_plugin_checkpoint_devices",
						"CHECKPOINT_DEVICES"},
	[CR_PLUGIN_HOOK__POST_FORKING] = {"cr_plugin_post_forking", "POST_FORKING"},
	[CR_PLUGIN_HOOK__RESTORE_INIT] = {"cr_plugin_restore_init", "RESTORE_INIT"},
	[CR_PLUGIN_HOOK__DUMP_DEVICES_LATE] = {"cr_plugin_dump_devices_late", "DUMP_DEVICES_LATE"},
};

/* ---- load ---- */

static int from_descriptor(struct cr *cr, struct legacy *legacy, const char *path,
			   const cr_plugin_desc_t *desc)
{
	if (desc->version > CRIU_PLUGIN_VERSION || desc->max_hooks > CR_PLUGIN_HOOK__MAX)
		return log_refuse(cr, -EPROTO,
				  "%s: is of version %#x with %u hooks; this criu knows version "
				  "%#x with %u",
				  path, desc->version, desc->max_hooks, CRIU_PLUGIN_VERSION,
				  CR_PLUGIN_HOOK__MAX);
	legacy->name = str_is_empty(desc->name) ? path : desc->name;
	legacy->init = desc->init;
	legacy->exit = desc->exit;
	memcpy(legacy->hooks, desc->hooks, desc->max_hooks * sizeof(*desc->hooks));
	return 0;
}

/* The symbols of v0.1; true if there is any. */
static bool from_symbols(struct legacy *legacy, const char *path, void *handle)
{
	bool any;

	legacy->name = path;
	legacy->init = (cr_plugin_init_t *)dlsym(handle, "cr_plugin_init");
	legacy->exit = (cr_plugin_fini_t *)dlsym(handle, "cr_plugin_fini");
	any = legacy->init || legacy->exit;
	for (size_t i = 0; i < CR_PLUGIN_HOOK__MAX; i++) {
		legacy->hooks[i] = dlsym(handle, hook_names[i].symbol);
		any |= legacy->hooks[i] != NULL;
	}
	return any;
}

int legacy_add(struct cr *cr, const char *file, const char *path, void *handle)
{
	const cr_plugin_desc_t *desc = dlsym(handle, "CR_PLUGIN_DESC");
	struct legacy *legacy = xcalloc(1, sizeof(*legacy));
	struct plugin *plugin;
	int err;

	/* A plugin of v0.1 goes by its path, which lives as long as the plugin. */
	plugin = registry_new(cr, file, path, handle);
	plugin->legacy = legacy;
	plugin->state = PLUGIN_ACTIVE;
	err = desc ? from_descriptor(cr, legacy, plugin->path, desc) : 0;
	if (!desc && !from_symbols(legacy, plugin->path, handle)) {
		log_warn(cr, "%s: is not loaded: is no plugin", path);
		registry_drop(plugin);
		return 0;
	}
	plugin->decl.name = legacy->name;
	log_info(cr, "plugin %s: %s, interface v0.2", legacy->name ? legacy->name : file, path);
	return err;
}

/* ---- calls ---- */

struct legacy_call {
	const struct legacy *legacy;
	int hook;
	int pid, id, fd;
	const struct stat *st;
	bool retry;
	const char *path;
	uint64_t address, old_pgoff, new_pgoff;
	int stage, ret;
	int result; /* as the plugin returned it */
};

static int dispatch(const struct legacy_call *call, void *hook, struct legacy_call *out)
{
	switch (call->hook) {
	case CR_PLUGIN_HOOK__PAUSE_DEVICES:
	case CR_PLUGIN_HOOK__CHECKPOINT_DEVICES:
	case CR_PLUGIN_HOOK__RESUME_DEVICES_LATE:
	case CR_PLUGIN_HOOK__DUMP_DEVICES_LATE:
		return ((cr_plugin_pause_devices_t *)hook)(call->pid);
	case CR_PLUGIN_HOOK__RESTORE_INIT:
	case CR_PLUGIN_HOOK__POST_FORKING:
		return ((cr_plugin_restore_init_t *)hook)();
	case CR_PLUGIN_HOOK__DUMP_EXT_FILE:
		return ((cr_plugin_dump_file_t *)hook)(call->fd, call->id);
	case CR_PLUGIN_HOOK__RESTORE_EXT_FILE:
		return ((cr_plugin_restore_file_t *)hook)(call->id, &out->retry);
	case CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA:
		return ((cr_plugin_handle_device_vma_t *)hook)(call->fd, call->st);
	case CR_PLUGIN_HOOK__UPDATE_VMA_MAP:
		return ((cr_plugin_update_vma_map_t *)hook)(
			call->path, call->address, call->old_pgoff, &out->new_pgoff, &out->fd);
	default:
		return -ENOTSUP;
	}
}

/* What the core's guard sees is success: the meaning of results is this interface's own. */
static int call_hook(struct criu_call *view, void *arg)
{
	struct legacy_call *call = arg;

	call->result = dispatch(call, call->legacy->hooks[call->hook], call);
	return 0;
}

static int call_init(struct criu_call *view, void *arg)
{
	struct legacy_call *call = arg;

	call->result = call->legacy->init(call->stage);
	return 0;
}

static int call_exit(struct criu_call *view, void *arg)
{
	const struct legacy_call *call = arg;

	call->legacy->exit(call->stage, call->ret);
	return 0;
}

static int guarded(struct cr *cr, struct plugin *plugin, const char *hook,
		   int (*body)(struct criu_call *, void *), struct legacy_call *call)
{
	const struct call_about about = {.hook = hook, .phase = -1};

	call->legacy = plugin->legacy;
	return plugin_call(cr, plugin, &about, body, call, NULL);
}

/* 0 with call->result, or -errno, logged: it crashed, or took too long. */
static int call_one(struct cr *cr, struct plugin *plugin, struct legacy_call *call)
{
	return guarded(cr, plugin, hook_names[call->hook].name, call_hook, call);
}

static bool has_hook(const struct plugin *plugin, int hook)
{
	return plugin->legacy && plugin->legacy->is_begun && plugin->legacy->hooks[hook];
}

static bool any_has_hook(const struct cr *cr, int hook)
{
	const struct plugin *plugin;

	if (!cr->plugins)
		return false;
	plugins_for_each (plugin, cr->plugins)
		if (plugin->legacy && plugin->legacy->hooks[hook])
			return true;
	return false;
}

bool legacy_dumps_files(const struct cr *cr)
{
	return any_has_hook(cr, CR_PLUGIN_HOOK__DUMP_EXT_FILE);
}

bool legacy_restores_files(const struct cr *cr)
{
	return any_has_hook(cr, CR_PLUGIN_HOOK__RESTORE_EXT_FILE);
}

bool legacy_claims_vmas(const struct cr *cr)
{
	return any_has_hook(cr, CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA);
}

bool legacy_updates_vmas(const struct cr *cr)
{
	return any_has_hook(cr, CR_PLUGIN_HOOK__UPDATE_VMA_MAP);
}

/* ---- init, exit ---- */

static int stage_of(const struct cr *cr)
{
	switch ((int)cr->plugins->operation) {
	case CRIU_DUMP:
		return CR_PLUGIN_STAGE__DUMP;
	case PLUGINS_PRE_DUMP:
		return CR_PLUGIN_STAGE__PRE_DUMP;
	default:
		return CR_PLUGIN_STAGE__RESTORE;
	}
}

static int begin(struct cr *cr, struct plugin *plugin)
{
	struct legacy_call call = {.stage = stage_of(cr)};
	int err = 0;

	if (plugin->legacy->init)
		err = guarded(cr, plugin, "init", call_init, &call);
	if (!err && call.result)
		err = log_refuse(cr, call.result < 0 ? call.result : -EIO,
				 "plugin %s: init: failed with %d", plugin->legacy->name,
				 call.result);
	plugin->legacy->is_begun = !err;
	return err;
}

int legacy_init(struct cr *cr, const char *const *inventory, size_t n_inventory)
{
	struct plugin *plugin;
	int err;

	if (!cr->plugins)
		return 0;
	err = legacy_host_start(cr, inventory, n_inventory);
	plugins_for_each (plugin, cr->plugins)
		if (!err && plugin->legacy && !plugin->legacy->is_begun)
			err = begin(cr, plugin);
	return err;
}

void legacy_exit(struct cr *cr, int ret)
{
	struct plugin *plugin;

	if (!cr->plugins)
		return;
	plugins_for_each (plugin, cr->plugins) {
		struct legacy_call call = {.stage = stage_of(cr), .ret = ret};

		if (!plugin->legacy || !plugin->legacy->is_begun)
			continue;
		plugin->legacy->is_begun = false;
		if (plugin->legacy->exit)
			(void)guarded(cr, plugin, "exit", call_exit, &call);
	}
}

/* ---- phases ---- */

/* A positive value is no error, but for DUMP_DEVICES_LATE, as in CRIU 4.2. */
static int judge(struct cr *cr, const struct plugin *plugin, const struct legacy_call *call)
{
	const char *name = hook_names[call->hook].name;
	int result = call->result;

	if (result == -ENOTSUP || result == 0 ||
	    (result > 0 && call->hook != CR_PLUGIN_HOOK__DUMP_DEVICES_LATE))
		return 0;
	return log_refuse(cr, result < 0 ? result : -EIO, "plugin %s: %s(%d): failed with %d",
			  plugin->legacy->name, name, call->pid, result);
}

/* To all; the first failure ends it. */
static int broadcast(struct cr *cr, int hook, pid_t pid)
{
	struct plugin *plugin;
	int err = 0;

	plugins_for_each (plugin, cr->plugins) {
		struct legacy_call call = {.hook = hook, .pid = pid};

		if (err || !has_hook(plugin, hook))
			continue;
		err = call_one(cr, plugin, &call);
		if (!err)
			err = judge(cr, plugin, &call);
	}
	return err;
}

/* All plugins know the same tasks; *once marks those that had it. */
static int for_tasks(struct cr *cr, int hook, bool is_once)
{
	struct plugin *any;
	struct plugin_task *task;
	int err = 0;

	if (!cr->plugins || !any_has_hook(cr, hook))
		return 0;
	any = list_first_entry(&cr->plugins->all, struct plugin, node);
	list_for_each_entry (task, &any->tasks, node) {
		if (err || !task->is_listed || (is_once && task->had_legacy_pause))
			continue;
		if (is_once)
			task->had_legacy_pause = true;
		err = broadcast(cr, hook, task->view.host_pid);
	}
	return err;
}

int legacy_pause(struct cr *cr)
{
	return for_tasks(cr, CR_PLUGIN_HOOK__PAUSE_DEVICES, true);
}

int legacy_checkpoint(struct cr *cr)
{
	return for_tasks(cr, CR_PLUGIN_HOOK__CHECKPOINT_DEVICES, false);
}

int legacy_resume_late(struct cr *cr)
{
	return for_tasks(cr, CR_PLUGIN_HOOK__RESUME_DEVICES_LATE, false);
}

int legacy_dump_late(struct cr *cr)
{
	const struct plugin *any;

	if (!cr->plugins || !any_has_hook(cr, CR_PLUGIN_HOOK__DUMP_DEVICES_LATE))
		return 0;
	any = list_first_entry(&cr->plugins->all, struct plugin, node);
	return broadcast(cr, CR_PLUGIN_HOOK__DUMP_DEVICES_LATE,
			 any->n_listed ? any->listed[0]->host_pid : 0);
}

int legacy_restore_init(struct cr *cr)
{
	return cr->plugins ? broadcast(cr, CR_PLUGIN_HOOK__RESTORE_INIT, 0) : 0;
}

int legacy_post_forking(struct cr *cr)
{
	return cr->plugins ? broadcast(cr, CR_PLUGIN_HOOK__POST_FORKING, 0) : 0;
}

/* ---- objects ---- */

/* What a plugin was asked about. */
static void describe(const struct legacy_call *question, char *ret, size_t size)
{
	if (question->path)
		snprintf(ret, size, "mapping of %s at %" PRIx64, question->path, question->address);
	else if (question->st)
		snprintf(ret, size, "mapping of device %u:%u", major(question->st->st_rdev),
			 minor(question->st->st_rdev));
	else
		snprintf(ret, size, "file %#x", (unsigned int)question->id);
}

/*
 * From one plugin to the next until one takes the object. Who fails may just not know it: the first
 * error counts only if nobody takes it. 0 with the call of the one who did, -ENOTSUP, unlogged, or
 * -errno, logged.
 */
static int ask_all(struct cr *cr, const struct legacy_call *question, struct legacy_call *ret,
		   bool (*is_taken)(const struct legacy_call *call))
{
	const struct plugin *failed = NULL;
	struct plugin *plugin;
	int error = 0, err;
	char what[512];

	plugins_for_each (plugin, cr->plugins) {
		if (!has_hook(plugin, question->hook))
			continue;
		*ret = *question;
		err = call_one(cr, plugin, ret);
		if (err)
			return err;
		if (is_taken(ret))
			return 0;
		if (ret->result < 0 && ret->result != -ENOTSUP && !failed) {
			failed = plugin;
			error = ret->result;
		}
	}
	if (!failed)
		return -ENOTSUP;
	describe(question, what, sizeof(what));
	return log_refuse(cr, error,
			  "plugin %s: %s: %s: failed with %d, and no other plugin takes it",
			  failed->legacy->name, hook_names[question->hook].name, what, error);
}

static bool is_not_negative(const struct legacy_call *call)
{
	return call->result >= 0;
}

/* A descriptor counts whatever was returned with it, as in CRIU 4.2. */
static bool is_answer(const struct legacy_call *call)
{
	return call->result == 1 || (call->result == 0 && call->fd >= 0);
}

int legacy_dump_file(struct cr *cr, int fd, uint32_t id)
{
	const struct legacy_call question = {
		.hook = CR_PLUGIN_HOOK__DUMP_EXT_FILE, .fd = fd, .id = (int)id};
	struct legacy_call answer;

	return ask_all(cr, &question, &answer, is_not_negative);
}

int legacy_claim_vma(struct cr *cr, int fd, const struct stat *st)
{
	const struct legacy_call question = {
		.hook = CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA, .fd = fd, .st = st};
	struct legacy_call answer;

	return ask_all(cr, &question, &answer, is_not_negative);
}

int legacy_restore_file(struct cr *cr, uint32_t id, int *ret_fd)
{
	const struct legacy_call question = {.hook = CR_PLUGIN_HOOK__RESTORE_EXT_FILE,
					     .id = (int)id};
	struct legacy_call answer;
	int err = ask_all(cr, &question, &answer, is_not_negative);

	if (err == -ENOTSUP)
		return log_refuse(cr, err, "files.img: file %#x: no plugin restores it", id);
	if (err)
		return err;
	if (answer.retry)
		return PLUGIN_WAITS;
	*ret_fd = answer.result;
	return 0;
}

int legacy_update_vma(struct cr *cr, const char *path, uint64_t address, uint64_t *pgoff,
		      int *ret_fd)
{
	const struct legacy_call question = {.hook = CR_PLUGIN_HOOK__UPDATE_VMA_MAP,
					     .path = path,
					     .address = address,
					     .old_pgoff = *pgoff,
					     .new_pgoff = *pgoff,
					     .fd = -1};
	struct legacy_call answer;
	int err = ask_all(cr, &question, &answer, is_answer);

	/* 0 says "done, or not mine": as it was saved. */
	if (err == -ENOTSUP)
		return 0;
	if (err)
		return err;
	*pgoff = answer.new_pgoff;
	*ret_fd = answer.fd;
	return 0;
}
