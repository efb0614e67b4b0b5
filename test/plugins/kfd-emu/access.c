// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes through an open file: ioctls, and read(2) and write(2), which drivers do not have and
 * which are here to be logged and to fail. Faults strike before, or instead, or after.
 */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Of our own: which open file is this? */
#define IDENTIFY _IOR(0xfb, 1, uint32_t)

struct server *server_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

void sleep_us(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

struct caller caller_of(fuse_req_t req)
{
	struct caller caller = {.tid = fuse_req_ctx(req)->pid};

	caller.pid = caller.tid ? (pid_t)status_field(caller.tid, "Tgid", 10) : 0;
	return caller;
}

/* ---- faults ---- */

bool is_interrupted(const struct call *call)
{
	return call->request && fuse_req_interrupted(call->request);
}

/* -EINTR if the caller gets a signal, and the hang lets it. */
static int hang(struct emu *emu, const struct call *call, bool is_hard)
{
	bool is_over = false;

	while (!is_over) {
		if (!is_hard && is_interrupted(call))
			return -EINTR;
		sleep_us(2000);
		pthread_mutex_lock(&emu->lock);
		is_over = !is_hanging(emu);
		pthread_mutex_unlock(&emu->lock);
	}
	return 0;
}

/* What faults do before an operation: 0 if it is to go on. */
int strike(struct emu *emu, struct call *call)
{
	static const char *const kinds[] = {"delay", "hang", "hang-hard", "kill", "error"};
	const struct fault *found[5];
	char name[24];
	long long values[5];
	int ret = 0;

	pthread_mutex_lock(&emu->lock);
	for (int i = 0; i < 5; i++) {
		found[i] = fault_strike(emu, call->name, node_name(call->file, name), kinds[i]);
		values[i] = found[i] ? found[i]->value : 0;
		if (found[i] && i == 4)
			ret = -(int)values[i];
		if (found[i])
			log_call(emu, call, ret, kinds[i]);
	}
	pthread_mutex_unlock(&emu->lock);
	if (found[0])
		sleep_us(values[0] * 1000);
	if ((found[1] || found[2]) && ret == 0)
		ret = hang(emu, call, found[2]);
	if (found[3])
		kill(call->caller->pid, (int)values[3]);
	return ret;
}

/* An operation that was done, and is to fail nevertheless. */
static int strike_after(struct emu *emu, struct call *call)
{
	const struct fault *fault;
	char name[24];
	int ret = 0;

	pthread_mutex_lock(&emu->lock);
	fault = fault_strike(emu, call->name, node_name(call->file, name), "done");
	if (fault) {
		ret = -(int)fault->value;
		log_call(emu, call, ret, "done");
	}
	pthread_mutex_unlock(&emu->lock);
	return ret;
}

/* ---- contents ---- */

/* By way of a copy: who has read it may close it before our call is over. */
static void read_text(fuse_req_t req, const char *text, size_t size, off_t offset)
{
	size_t length = text ? strlen(text) : 0;
	char *copy;

	if ((size_t)offset >= length)
		size = 0;
	else if (size > length - (size_t)offset)
		size = length - (size_t)offset;
	copy = malloc(size + 1);
	if (copy && size)
		memcpy(copy, text + offset, size);
	fuse_reply_buf(req, copy, copy ? size : 0);
	free(copy);
}

/* The object that has all of it, for the log; what is read or written elsewhere is an error. */
static int begin_access(struct call *call, size_t *size, off_t offset, struct object **ret_object)
{
	const struct fault *fault;
	struct object *object = NULL;
	int ret = 0;

	pthread_mutex_lock(&call->emu->lock);
	if (call->file->kind == FILE_RENDER)
		object = object_at(call->emu, call->file->gpu, (uint64_t)offset);
	if (!object)
		ret = -EINVAL;
	else if (*size > object->size - ((uint64_t)offset - object->offset))
		*size = object->size - ((uint64_t)offset - object->offset);
	fault = object ? fault_strike(call->emu, call->name, "renderD", "short") : NULL;
	if (fault)
		*size /= 2;
	if (object && object_is_busy(call, object))
		call->wrong = "busy";
	if (object)
		*ret_object = object_get(object);
	call_note(call, " bo=%u at=%llu size=%zu", object ? object->number : 0,
		  object ? (unsigned long long)((uint64_t)offset - object->offset) : 0, *size);
	log_call(call->emu, call, ret, fault ? "short" : NULL);
	pthread_mutex_unlock(&call->emu->lock);
	return ret;
}

static void end_access(struct emu *emu, struct object *object)
{
	pthread_mutex_lock(&emu->lock);
	object_put(emu, object);
	pthread_mutex_unlock(&emu->lock);
}

void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *info)
{
	struct emu *emu = &server_of(req)->emu;
	struct caller caller = caller_of(req);
	struct call call = {.emu = emu, .caller = &caller, .name = "read"};
	struct object *object = NULL;
	char *data;
	int ret;

	if (is_text(ino)) {
		read_text(req, (const char *)(uintptr_t)info->fh, size, offset);
		return;
	}
	call.file = (struct file *)(uintptr_t)info->fh;
	ret = strike(emu, &call);
	if (ret == 0)
		ret = begin_access(&call, &size, offset, &object);
	data = malloc(size ? size : 1);
	if (ret == 0)
		ret = object_read(object, (uint64_t)offset - object->offset, data, size);
	if (ret < 0)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_buf(req, data, size);
	free(data);
	end_access(emu, object);
}

static void write_command(fuse_req_t req, const char *data, size_t size)
{
	struct emu *emu = &server_of(req)->emu;
	char text[256];
	int ret = -EINVAL;

	if (size < sizeof(text)) {
		memcpy(text, data, size);
		text[size] = 0;
		pthread_mutex_lock(&emu->lock);
		ret = command_run(emu, text);
		pthread_mutex_unlock(&emu->lock);
	}
	if (ret < 0)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_write(req, size);
}

void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		 struct fuse_file_info *info)
{
	struct emu *emu = &server_of(req)->emu;
	struct caller caller = caller_of(req);
	struct call call = {.emu = emu, .caller = &caller, .name = "write"};
	struct object *object = NULL;
	int ret;

	if (ino == INO_CONTROL) {
		write_command(req, data, size);
		return;
	}
	if (is_text(ino)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	call.file = (struct file *)(uintptr_t)info->fh;
	ret = strike(emu, &call);
	if (ret == 0)
		ret = begin_access(&call, &size, offset, &object);
	if (ret == 0)
		ret = object_write(object, (uint64_t)offset - object->offset, data, size);
	if (ret < 0)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_write(req, size);
	end_access(emu, object);
}

/* ---- ioctls ---- */

/* As fget() does in a driver: the caller's descriptor is fetched, and asked which of our files it
 * is. */
int find_file(struct emu *emu, const struct caller *caller, int fd, struct file **ret_file)
{
	struct server *server = (struct server *)emu;
	struct file *file = NULL;
	uint32_t id = 0;
	int pidfd, own;
	struct stat st, our;

	pthread_mutex_unlock(&emu->lock);
	pidfd = (int)syscall(SYS_pidfd_open, caller->pid, 0);
	own = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (own >= 0 && (stat(server->folder, &our) < 0 || fstat(own, &st) < 0 ||
			 st.st_dev != our.st_dev || ioctl(own, IDENTIFY, &id) < 0))
		id = 0;
	if (own >= 0)
		close(own);
	if (pidfd >= 0)
		close(pidfd);
	pthread_mutex_lock(&emu->lock);
	if (id)
		file = file_by_id(emu, id);
	*ret_file = file;
	return file ? 0 : -EBADF;
}

/* The kernel copies as many bytes as the number of the ioctl says, as drivers do. */
void serve_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		 struct fuse_file_info *info, unsigned int flags, const void *in, size_t in_size,
		 size_t out_size)
{
	struct emu *emu = &server_of(req)->emu;
	struct caller caller = caller_of(req);
	struct call call = {.emu = emu, .caller = &caller, .cmd = cmd, .request = req};
	uint32_t id;
	int ret = 0;

	if (is_text(ino) || in_size > sizeof(call.data) || out_size > sizeof(call.data)) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	call.file = (struct file *)(uintptr_t)info->fh;
	if (cmd == IDENTIFY) {
		id = call.file->id;
		fuse_reply_ioctl(req, 0, &id, sizeof(id));
		return;
	}
	if (in_size)
		memcpy(call.data, in, in_size);
	call.size = _IOC_SIZE(cmd);
	if (!call_name(&call)) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	ret = strike(emu, &call);
	if (ret == 0)
		ret = call_run(&call);
	if (ret == 0)
		ret = strike_after(emu, &call);
	if (ret < 0)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_ioctl(req, 0, call.data, out_size);
}
