// SPDX-License-Identifier: GPL-2.0-only
/*
 * How every ioctl begins and ends: who may ask, what is copied, what is logged. A file of kfd is
 * for the process that opened it: others get EBADF, but for the operations of checkpoint and
 * restore, which the very thread that traces the opener's first thread may use, too, and which need
 * CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the first user namespace, else EACCES
 * (amdkfd/kfd_chardev.c, kfd_ioctl()). A render node is for whoever has it open.
 */
#include "emu.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void call_note(struct call *call, const char *format, ...)
{
	size_t length = strlen(call->note);
	va_list args;

	va_start(args, format);
	vsnprintf(call->note + length, sizeof(call->note) - length, format, args);
	va_end(args);
}

int copy_from_caller(const struct call *call, uint64_t raddr, void *data, size_t size)
{
	return size ? remote_read(call->caller->tid, raddr, data, size) : 0;
}

int copy_to_caller(const struct call *call, uint64_t raddr, const void *data, size_t size)
{
	return size ? remote_write(call->caller->tid, raddr, data, size) : 0;
}

static const struct operation *operation_of(const struct call *call)
{
	const struct operation *operation = NULL;
	unsigned int type = _IOC_TYPE(call->cmd);

	if (call->file->kind == FILE_KFD && type == 'K')
		operation = kfd_operations;
	else if (call->file->kind == FILE_RENDER && type == 'd')
		operation = drm_operations;
	while (operation && operation->name && operation->nr != _IOC_NR(call->cmd))
		operation++;
	return operation && operation->name ? operation : NULL;
}

const char *call_name(struct call *call)
{
	static const char *const names[] = {"process_info", "checkpoint", "unpause", "restore",
					    "resume"};
	const struct operation *operation = operation_of(call);
	const struct kfd_criu *arg = (const void *)call->data;

	if (!operation)
		return NULL;
	call->name = operation->name;
	if (operation->run == run_criu)
		call->name = arg->op < 5 ? names[arg->op] : "criu";
	return call->name;
}

static bool is_capable(pid_t tid)
{
	long long caps = status_field(tid, "CapEff", 16);
	struct stat own, its;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/user", tid);
	if (stat("/proc/self/ns/user", &own) < 0 || stat(path, &its) < 0 ||
	    own.st_ino != its.st_ino)
		return false;
	return caps > 0 && (caps & (1LL << CAP_SYS_ADMIN | 1LL << CAP_CHECKPOINT_RESTORE));
}

static int check_kfd(struct call *call, bool is_criu)
{
	const struct process *process = call->process;
	bool is_tracer = is_criu &&
			 status_field(process->pid, "TracerPid", 10) == call->caller->tid;

	if (process_is_gone(process) || (process->pid != call->caller->pid && !is_tracer)) {
		call->wrong = is_criu ? "not-owner-or-tracer" : "not-owner";
		return -EBADF;
	}
	if (is_criu && !is_capable(call->caller->tid))
		return -EACCES;
	return 0;
}

int call_run(struct call *call)
{
	const struct operation *operation = operation_of(call);
	struct emu *emu = call->emu;
	int ret = 0;

	pthread_mutex_lock(&emu->lock);
	if (call->file->kind == FILE_KFD) {
		call->process = call->file->process;
		ret = check_kfd(call, operation->run == run_criu);
	}
	if (ret == 0)
		ret = operation->run(call);
	if (!call->is_quiet || ret < 0)
		log_call(emu, call, ret, NULL);
	pthread_mutex_unlock(&emu->lock);
	return ret;
}
