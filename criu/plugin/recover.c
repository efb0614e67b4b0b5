// SPDX-License-Identifier: GPL-2.0-only
/*
 * Undoing what a plugin has recorded, when the tool that loaded it is gone. In a process of its
 * own, so that whatever the plugin does there harms nobody and ends in time.
 */
#include "plugin/recover.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "plugin/priv.h"
#include "util/log.h"
#include "util/str.h"
#include "util/time.h"

#define TIMEOUT_S 60

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Number of bytes, or -EBADMSG. */
static ssize_t from_hex(const char *hex, uint8_t *bytes, size_t size)
{
	size_t n = strlen(hex);

	if (n % 2 || n / 2 > size)
		return -EBADMSG;
	for (size_t i = 0; i < n / 2; i++) {
		int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EBADMSG;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return (ssize_t)(n / 2);
}

/* In the child. What the plugin says goes to its standard error. */
static int call_recover(const char *path, const char *name, const void *record, size_t size)
{
	void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	struct plugin plugin = {.state = PLUGIN_ACTIVE};
	struct cr cr = {.log = log_new(NULL)};
	struct call call = {.cr = &cr, .plugin = &plugin, .phase = -1};
	int err;

	if (!handle)
		return -ENOENT;
	plugin.exported = dlsym(handle, "CRIU_PLUGIN");
	if (!plugin.exported || plugin.exported->abi != CRIU_PLUGIN_ABI)
		return -ENOENT;
	memcpy(&plugin.decl, plugin.exported,
	       MIN((size_t)plugin.exported->size, sizeof(plugin.decl)));
	if (!str_equal(plugin.decl.name, name) || !plugin.decl.recover)
		return -ENOENT;
	call.deadline_us = time_now_us() + TIMEOUT_S * 1000000ull;
	call.view = (struct criu_call){
		.size = sizeof(call.view),
		.plugin = plugin.exported,
		.hook = "recover",
		.core = &call,
	};
	err = plugin.decl.recover(&call.view, record, size);
	log_free(cr.log);
	return err > 0 ? -EPROTO : err;
}

int plugin_recover(const char *path, const char *name, const char *hex)
{
	uint8_t record[4096];
	ssize_t size = from_hex(hex, record, sizeof(record));
	int status;
	pid_t pid;

	if (size < 0)
		return (int)size;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		sigset_t alarms;

		/* The guardian has all signals blocked. */
		sigemptyset(&alarms);
		sigaddset(&alarms, SIGALRM);
		sigprocmask(SIG_UNBLOCK, &alarms, NULL);
		signal(SIGALRM, SIG_DFL);
		alarm(TIMEOUT_S);
		_exit(-call_recover(path, name, record, (size_t)size) & 0xff);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGALRM ? -ETIMEDOUT : -EFAULT;
	return -WEXITSTATUS(status);
}
