// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of the fake device, and who may do what when. What breaks a rule is logged with the
 *name of the rule and counted:
 *
 *	client-while-paused   a client used its device while its process was paused
 *	client-while-halted   the same, after a restore and before the process was resumed
 *	unpaused-read         state was read while the opener was not paused
 *	not-owner             state was asked for by somebody who is neither opener nor tracer
 *
 * The first two and the last are refused besides; a read of what runs is served, torn as it may be.
 */
#include "device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum operation_flags {
	ON_NODE = 1 << 0,    /* needs a handle */
	BY_CLIENT = 1 << 1,  /* not while paused or halted */
	BY_OWNER = 1 << 2,   /* the opener of the handle or its tracer */
	OF_PROCESS = 1 << 3, /* is about a process */
	BY_TRACER = 1 << 4,  /* that process or its tracer */
};

struct context {
	struct device *device;
	struct handle *handle;
	const struct caller *caller;
	void *data;
};

struct operation {
	unsigned int cmd;
	const char *name;
	unsigned int flags;
	int (*run)(struct context *context);
};

static int copy_from(const struct caller *caller, uint64_t raddr, void *data, size_t size)
{
	struct iovec here = {data, size}, there = {(void *)raddr, size};

	return process_vm_readv(caller->tid, &here, 1, &there, 1, 0) == (ssize_t)size ? 0 : -EFAULT;
}

static int copy_to(const struct caller *caller, uint64_t raddr, const void *data, size_t size)
{
	struct iovec here = {(void *)data, size}, there = {(void *)raddr, size};

	return process_vm_writev(caller->tid, &here, 1, &there, 1, 0) == (ssize_t)size ? 0
										       : -EFAULT;
}

static uint64_t *register_at(struct handle *handle, uint32_t index)
{
	uint32_t word = index & 0xff;

	if (index < FAKEDEV_REGISTERS)
		return &handle->registers[index];
	if (word >= FAKEDEV_WORDS)
		return NULL;
	if (index - word == FAKEDEV_OWN_WORD(0) && handle->buffer)
		return &handle->buffer->words[word];
	if (index - word == FAKEDEV_IMPORTED_WORD(0) && handle->imported)
		return &handle->imported->words[word];
	return NULL;
}

static int run_registers(struct context *context)
{
	struct fakedev_registers *arg = context->data;

	for (uint32_t i = 0; i < arg->n; i++) {
		uint64_t raddr = arg->registers + i * sizeof(struct fakedev_register);
		struct fakedev_register item;
		uint64_t *place;

		if (copy_from(context->caller, raddr, &item, sizeof(item)) < 0)
			return -EFAULT;
		place = register_at(context->handle, item.index);
		if (!place)
			return -EINVAL;
		if (arg->is_write) {
			*place = item.value;
			continue;
		}
		item.value = *place;
		if (copy_to(context->caller, raddr, &item, sizeof(item)) < 0)
			return -EFAULT;
	}
	return 0;
}

static int make_buffer(struct context *context, uint64_t size)
{
	struct handle *handle = context->handle;

	if (handle->buffer)
		return -EEXIST;
	if (!size || size % 4096 || size > FAKEDEV_MAX_SIZE)
		return -EINVAL;
	handle->buffer = buffer_new(context->device, handle->node.ino, size);
	return handle->buffer ? 0 : -ENOMEM;
}

static int run_buffer(struct context *context)
{
	struct fakedev_buffer *arg = context->data;
	int ret = make_buffer(context, arg->size);

	if (ret == 0)
		arg->offset = context->handle->buffer->offset;
	return ret;
}

static int run_run(struct context *context)
{
	struct fakedev_number *arg = context->data;

	context->handle->is_running = arg->number != 0;
	device_settle(context->device);
	return 0;
}

static int run_export(struct context *context)
{
	struct fakedev_number *arg = context->data;
	struct buffer *buffer = context->handle->buffer;

	if (!buffer)
		return -ENOENT;
	if (!buffer->exported)
		buffer->exported = ++context->device->last_export;
	arg->number = buffer->exported;
	return 0;
}

static int import(struct context *context, uint32_t number)
{
	struct buffer *buffer = buffer_by_export(context->device, number);

	if (!buffer)
		return -ENOENT;
	if (context->handle->imported)
		return -EEXIST;
	buffer->refs++;
	context->handle->imported = buffer;
	return 0;
}

static int run_import(struct context *context)
{
	return import(context, ((struct fakedev_number *)context->data)->number);
}

static int run_info(struct context *context)
{
	const struct handle *handle = context->handle;

	*(struct fakedev_info *)context->data = (struct fakedev_info){
		.handle = handle->id,
		.opener = (uint32_t)handle->opener,
		.state = handle_state(context->device, handle),
		.counter = handle->counter,
		.exported = handle->buffer ? handle->buffer->exported : 0,
		.size = handle->buffer ? handle->buffer->size : 0,
		.offset = handle->buffer ? handle->buffer->offset : 0,
	};
	return 0;
}

static int set_state(struct context *context, uint32_t flag, bool is_on)
{
	struct quiet *quiet = quiet_of(context->device, context->data, is_on);

	if (is_on && !quiet)
		return -ESRCH;
	if (!quiet || !(quiet->state & flag) == !is_on)
		return -EALREADY;
	quiet->state ^= flag;
	/* What was written last is written when this returns. */
	device_settle(context->device);
	return 0;
}

static int run_lock(struct context *context)
{
	return set_state(context, FAKEDEV_LOCKED, true);
}

static int run_unlock(struct context *context)
{
	return set_state(context, FAKEDEV_LOCKED, false);
}

static int run_pause(struct context *context)
{
	return set_state(context, FAKEDEV_PAUSED, true);
}

static int run_unpause(struct context *context)
{
	return set_state(context, FAKEDEV_PAUSED, false);
}

static int run_resume(struct context *context)
{
	const struct fakedev_process *arg = context->data;
	uint64_t start = process_start((pid_t)arg->pid);
	int n = 0;

	for (struct handle *handle = context->device->handles; handle; handle = handle->next)
		if (handle->is_halted && handle->owner == arg->owner &&
		    handle->opener == (pid_t)arg->pid && handle->opener_start == start) {
			handle->is_halted = false;
			n++;
		}
	return n ? 0 : -EALREADY;
}

static int run_checkpoint(struct context *context)
{
	struct fakedev_state *arg = context->data;
	const struct handle *handle = context->handle;
	const struct buffer *buffer = handle->buffer;
	static const uint64_t no_words[FAKEDEV_WORDS];
	int ret;

	ret = copy_to(context->caller, arg->registers, handle->registers,
		      sizeof(handle->registers));
	if (ret == 0)
		ret = copy_to(context->caller, arg->words, buffer ? buffer->words : no_words,
			      sizeof(no_words));
	if (ret < 0)
		return ret;
	arg->handle = handle->id;
	arg->exported = buffer ? buffer->exported : 0;
	arg->imported = handle->imported ? handle->imported->exported : 0;
	arg->is_running = handle->is_running;
	arg->counter = handle->counter;
	arg->size = buffer ? buffer->size : 0;
	arg->offset = buffer ? buffer->offset : 0;
	return 0;
}

static int run_restore(struct context *context)
{
	struct fakedev_state *arg = context->data;
	struct handle *handle = context->handle;
	uint64_t registers[FAKEDEV_REGISTERS], words[FAKEDEV_WORDS];
	int ret;

	if (handle->is_used)
		return -EBUSY;
	ret = copy_from(context->caller, arg->registers, registers, sizeof(registers));
	if (ret == 0)
		ret = copy_from(context->caller, arg->words, words, sizeof(words));
	if (ret == 0 && arg->imported)
		ret = import(context, arg->imported);
	if (ret == 0 && arg->size)
		ret = make_buffer(context, arg->size);
	if (ret < 0)
		return ret;
	memcpy(handle->registers, registers, sizeof(registers));
	handle->counter = arg->counter;
	handle->is_running = arg->is_running != 0;
	handle->is_halted = true;
	handle->owner = arg->owner;
	if (handle->buffer) {
		memcpy(handle->buffer->words, words, sizeof(words));
		handle->buffer->stamp = handle->counter;
		if (arg->exported)
			handle->buffer->exported = ++context->device->last_export;
		arg->exported = handle->buffer->exported;
		arg->offset = handle->buffer->offset;
	}
	arg->handle = handle->id;
	return 0;
}

static const struct operation operations[] = {
	{FAKEDEV_REGS, "regs", ON_NODE | BY_CLIENT, run_registers},
	{FAKEDEV_BUFFER, "buffer", ON_NODE | BY_CLIENT, run_buffer},
	{FAKEDEV_RUN, "run", ON_NODE | BY_CLIENT, run_run},
	{FAKEDEV_EXPORT, "export", ON_NODE | BY_CLIENT, run_export},
	{FAKEDEV_IMPORT, "import", ON_NODE | BY_CLIENT, run_import},
	{FAKEDEV_INFO, "info", ON_NODE, run_info},
	{FAKEDEV_LOCK, "lock", OF_PROCESS, run_lock},
	{FAKEDEV_UNLOCK, "unlock", OF_PROCESS, run_unlock},
	{FAKEDEV_PAUSE, "pause", OF_PROCESS | BY_TRACER, run_pause},
	{FAKEDEV_UNPAUSE, "unpause", OF_PROCESS | BY_TRACER, run_unpause},
	{FAKEDEV_RESUME, "resume", OF_PROCESS | BY_TRACER, run_resume},
	{FAKEDEV_CHECKPOINT, "checkpoint", ON_NODE | BY_OWNER, run_checkpoint},
	{FAKEDEV_RESTORE, "restore", ON_NODE | BY_OWNER, run_restore},
};

static const struct operation *operation_of(unsigned int cmd)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		if (operations[i].cmd == cmd)
			return &operations[i];
	return NULL;
}

const char *operation_name(unsigned int cmd)
{
	const struct operation *operation = operation_of(cmd);

	return operation ? operation->name : NULL;
}

/* As drivers have it: the process itself, or the very thread that traces it. Not strict: any thread
 * of the tracer's process. */
static bool may_look_at(const struct device *device, const struct caller *caller, pid_t pid)
{
	long tracer;

	if (caller->pid == pid)
		return true;
	tracer = status_field(pid, "TracerPid");
	if (tracer <= 0)
		return false;
	return tracer == caller->tid ||
	       (!device->is_strict && status_field((pid_t)tracer, "Tgid") == caller->pid);
}

static int check_client(struct device *device, const struct handle *handle, const char **ret_wrong)
{
	uint32_t state = handle_state(device, handle);

	if (state & FAKEDEV_PAUSED)
		*ret_wrong = "client-while-paused";
	else if (state & FAKEDEV_HALTED)
		*ret_wrong = "client-while-halted";
	return *ret_wrong ? -EBUSY : 0;
}

static int check_rules(struct device *device, const struct operation *operation,
		       const struct request *request, const char **ret_wrong)
{
	const struct handle *handle = request->handle;
	const struct fakedev_process *about = (const void *)request->data;

	if ((operation->flags & ON_NODE) && !handle)
		return -ENOTTY;
	if (operation->flags & BY_CLIENT)
		return check_client(device, handle, ret_wrong);
	if ((operation->flags & BY_OWNER) &&
	    !may_look_at(device, request->caller, handle->opener)) {
		*ret_wrong = "not-owner";
		return -EBADF;
	}
	if ((operation->flags & BY_TRACER) &&
	    !may_look_at(device, request->caller, (pid_t)about->pid)) {
		*ret_wrong = "not-owner";
		return -EPERM;
	}
	if (request->cmd == FAKEDEV_CHECKPOINT && !(handle_state(device, handle) & FAKEDEV_PAUSED))
		*ret_wrong = "unpaused-read";
	return 0;
}

int operation_run(struct device *device, struct request *request)
{
	const struct operation *operation = operation_of(request->cmd);
	struct context context = {device, request->handle, request->caller, request->data};
	struct event event = {.op = operation->name, .caller = request->caller};

	pthread_mutex_lock(&device->lock);
	event.result = check_rules(device, operation, request, &event.wrong);
	if (event.result == 0)
		event.result = operation->run(&context);
	event.node = request->handle ? request->handle->node.name : "control";
	if (request->handle) {
		event.handle = request->handle->id;
		event.opener = (uint32_t)request->handle->opener;
		event.state = handle_state(device, request->handle);
		if (request->cmd != FAKEDEV_INFO)
			request->handle->is_used = true;
	}
	if (operation->flags & OF_PROCESS)
		event.about = (const void *)request->data;
	event_log(device, &event);
	pthread_mutex_unlock(&device->lock);
	return event.result;
}
