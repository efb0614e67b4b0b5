// SPDX-License-Identifier: GPL-2.0-only
/*
 * fakedev FOLDER: mounts the fake device there and serves it until SIGTERM, or until its parent
 * ends. See fakedev.h. Nodes are regular files, as FUSE has no devices; they are large and never
 * change their size, as a mapping beyond the end of a file could not be used. What is mapped lies
 * in the page cache of the node, one for all who open it: so a read(2) sees what another process
 * wrote into its mapping, and what the device writes is put there.
 */
#define FUSE_USE_VERSION 312

#include "device.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { INO_CONTROL = 2, INO_LOG, INO_STATE, THREADS = 64 };

#define FOREVER 86400.0

static const char *const texts[] = {"control", "log", "state"};

struct server {
	struct device device;
	struct fuse_session *session;
	bool is_ended;
};

static struct server *server_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static struct caller caller_of(fuse_req_t req)
{
	struct caller caller = {.tid = fuse_req_ctx(req)->pid};

	caller.pid = caller.tid ? (pid_t)status_field(caller.tid, "Tgid") : 0;
	return caller;
}

static bool hang_has_ended(struct server *server)
{
	bool has_ended = true;

	pthread_mutex_lock(&server->device.lock);
	for (struct fault *fault = server->device.faults; fault; fault = fault->next)
		has_ended &= !fault->is_hang;
	pthread_mutex_unlock(&server->device.lock);
	return has_ended;
}

/* A thread of the server waits in place of the caller; there are enough of them. */
static int hang(struct server *server, fuse_req_t req, bool is_hard)
{
	while (!hang_has_ended(server)) {
		if (!is_hard && fuse_req_interrupted(req))
			return -EINTR;
		sleep_ms(2);
	}
	return 0;
}

/* What faults do to this operation: 0 if it is to go on. */
static int strike(fuse_req_t req, const char *op, const char *node)
{
	struct server *server = server_of(req);
	struct caller caller = caller_of(req);
	struct event event = {.op = op, .node = node, .caller = &caller};
	struct verdict verdict;
	int ret = 0;

	pthread_mutex_lock(&server->device.lock);
	verdict = faults_apply(&server->device, op, node);
	event.result = verdict.signal ? -EINTR : -verdict.error;
	if (verdict.signal || verdict.error || verdict.is_hang) {
		event.fault = verdict.is_hang ? "hang" : verdict.signal ? "signal" : "error";
		event_log(&server->device, &event);
	}
	pthread_mutex_unlock(&server->device.lock);
	if (verdict.delay_ms)
		sleep_ms(verdict.delay_ms);
	if (verdict.is_hang)
		ret = hang(server, req, verdict.is_hard);
	if (verdict.signal)
		kill(caller.pid, verdict.signal);
	return event.result ? event.result : ret;
}

static bool attributes_of(fuse_ino_t ino, struct stat *st)
{
	struct node node;

	*st = (struct stat){.st_ino = ino, .st_nlink = 1, .st_blksize = 4096};
	/* The times are as constant as the size: the kernel would drop its pages. */
	st->st_mtim.tv_sec = st->st_ctim.tv_sec = st->st_atim.tv_sec = 1700000000;
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0755;
		st->st_nlink = 2;
	} else if (ino >= INO_CONTROL && ino <= INO_STATE) {
		st->st_mode = S_IFREG | 0600;
	} else if (node_by_ino(ino, &node)) {
		st->st_mode = S_IFREG | 0666;
		st->st_size = (off_t)FAKEDEV_FILE_SIZE;
	} else {
		return false;
	}
	return true;
}

static void serve_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {
		.generation = 1, .attr_timeout = FOREVER, .entry_timeout = FOREVER};
	struct node node;

	for (unsigned int i = 0; i < 3; i++)
		if (strcmp(name, texts[i]) == 0)
			entry.ino = INO_CONTROL + i;
	if (!entry.ino && node_by_name(name, &node))
		entry.ino = node.ino;
	if (parent != FUSE_ROOT_ID || !entry.ino || !attributes_of(entry.ino, &entry.attr))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &entry);
}

static void serve_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct stat st;

	if (attributes_of(ino, &st))
		fuse_reply_attr(req, &st, FOREVER);
	else
		fuse_reply_err(req, ENOENT);
}

/* Nothing can be changed, and nobody needs to know: O_TRUNC comes here as well. */
static void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *wanted, int to_set,
			  struct fuse_file_info *info)
{
	serve_getattr(req, ino, info);
}

static void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			  struct fuse_file_info *info)
{
	static const char *const names[] = {".",  "..", "control", "log", "state", "a0",
					    "a1", "a2", "b0",      "b1",  "b2"};
	char buffer[2048];
	size_t used = 0;

	if (size > sizeof(buffer))
		size = sizeof(buffer);
	for (size_t i = (size_t)offset; i < sizeof(names) / sizeof(*names); i++) {
		struct node node;
		struct stat st = {.st_ino = i < 2 ? FUSE_ROOT_ID : i, .st_mode = S_IFREG};
		size_t entry;

		if (i < 2)
			st.st_mode = S_IFDIR;
		if (node_by_name(names[i], &node))
			st.st_ino = node.ino;
		entry = fuse_add_direntry(req, buffer + used, size - used, names[i], &st,
					  (off_t)i + 1);
		if (entry > size - used)
			break;
		used += entry;
	}
	fuse_reply_buf(req, buffer, used);
}

/* What is read is as it was when it was opened. */
static void open_text(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct server *server = server_of(req);
	char *text = NULL;

	pthread_mutex_lock(&server->device.lock);
	if (ino == INO_STATE)
		text = state_text(&server->device);
	else if (ino == INO_LOG && server->device.log_size)
		text = strdup(server->device.log);
	pthread_mutex_unlock(&server->device.lock);
	info->fh = (uintptr_t)text;
	info->direct_io = 1;
	if (fuse_reply_open(req, info) < 0)
		free(text);
}

static void serve_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct server *server = server_of(req);
	struct caller caller = caller_of(req);
	struct event event = {.op = "open", .caller = &caller};
	struct handle *handle;
	struct node node;
	int ret;

	if (!node_by_ino(ino, &node)) {
		open_text(req, ino, info);
		return;
	}
	ret = strike(req, "open", node.name);
	if (ret < 0) {
		fuse_reply_err(req, -ret);
		return;
	}
	pthread_mutex_lock(&server->device.lock);
	handle = handle_open(&server->device, &node, caller.pid);
	if (!handle)
		abort();
	event.node = node.name;
	event.handle = handle->id;
	event.opener = (uint32_t)caller.pid;
	event_log(&server->device, &event);
	info->fh = (uintptr_t)handle;
	info->keep_cache = 1;
	pthread_mutex_unlock(&server->device.lock);
	/* The caller may have been killed meanwhile. */
	if (fuse_reply_open(req, info) < 0) {
		pthread_mutex_lock(&server->device.lock);
		handle_close(&server->device, handle);
		pthread_mutex_unlock(&server->device.lock);
	}
}

static void serve_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct server *server = server_of(req);
	struct handle *handle = (struct handle *)(uintptr_t)info->fh;
	struct caller caller = caller_of(req);
	struct event event = {.op = "release", .caller = &caller};

	if (ino <= INO_STATE) {
		free((char *)(uintptr_t)info->fh);
	} else {
		strike(req, "release", handle->node.name);
		pthread_mutex_lock(&server->device.lock);
		event.node = handle->node.name;
		event.handle = handle->id;
		event.opener = (uint32_t)handle->opener;
		event.state = handle_state(&server->device, handle);
		event_log(&server->device, &event);
		handle_close(&server->device, handle);
		pthread_mutex_unlock(&server->device.lock);
	}
	fuse_reply_err(req, 0);
}

static void read_text(fuse_req_t req, const char *text, size_t size, off_t offset)
{
	size_t length = text ? strlen(text) : 0;

	if ((size_t)offset >= length)
		size = 0;
	else if (size > length - (size_t)offset)
		size = length - (size_t)offset;
	fuse_reply_buf(req, size ? text + offset : NULL, size);
}

static void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *info)
{
	struct server *server = server_of(req);
	struct node node;
	char *data;
	int ret;

	if (!node_by_ino(ino, &node)) {
		read_text(req, (const char *)(uintptr_t)info->fh, size, offset);
		return;
	}
	ret = strike(req, "read", node.name);
	data = ret < 0 ? NULL : malloc(size);
	if (!data) {
		fuse_reply_err(req, ret < 0 ? -ret : ENOMEM);
		return;
	}
	pthread_mutex_lock(&server->device.lock);
	node_read(&server->device, ino, (uint64_t)offset, data, size);
	pthread_mutex_unlock(&server->device.lock);
	fuse_reply_buf(req, data, size);
	free(data);
}

static void write_command(fuse_req_t req, const char *data, size_t size)
{
	struct server *server = server_of(req);
	char text[256];
	int ret = -EINVAL;

	if (size < sizeof(text)) {
		memcpy(text, data, size);
		text[size] = 0;
		pthread_mutex_lock(&server->device.lock);
		ret = command_run(&server->device, text);
		pthread_mutex_unlock(&server->device.lock);
	}
	if (ret < 0)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_write(req, size);
}

static void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
			struct fuse_file_info *info)
{
	struct server *server = server_of(req);
	struct node node;
	int ret;

	if (ino == INO_CONTROL) {
		write_command(req, data, size);
		return;
	}
	if (!node_by_ino(ino, &node)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	ret = strike(req, "write", node.name);
	if (ret < 0) {
		fuse_reply_err(req, -ret);
		return;
	}
	pthread_mutex_lock(&server->device.lock);
	node_write(&server->device, ino, (uint64_t)offset, data, size);
	pthread_mutex_unlock(&server->device.lock);
	fuse_reply_write(req, size);
}

/* The kernel copies as many bytes as the number of the ioctl says. */
static void serve_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
			struct fuse_file_info *info, unsigned int flags, const void *in,
			size_t in_size, size_t out_size)
{
	struct caller caller = caller_of(req);
	struct request request = {.cmd = cmd, .caller = &caller};
	const char *name = operation_name(cmd);
	const char *node = "control";
	int ret;

	if (ino != INO_CONTROL && ino <= INO_STATE)
		name = NULL;
	if (!name || in_size > sizeof(request.data) || out_size > sizeof(request.data)) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	if (ino > INO_STATE) {
		request.handle = (struct handle *)(uintptr_t)info->fh;
		node = request.handle->node.name;
	}
	memcpy(request.data, in, in_size);
	request.size = out_size;
	ret = strike(req, name, node);
	if (ret == 0)
		ret = operation_run(&server_of(req)->device, &request);
	if (ret < 0)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_ioctl(req, ret, request.data, request.size);
}

static void serve_fsync(fuse_req_t req, fuse_ino_t ino, int only_data, struct fuse_file_info *info)
{
	fuse_reply_err(req, 0);
}

static void serve_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->want &= ~(unsigned int)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE);
}

static const struct fuse_lowlevel_ops serve = {
	.init = serve_init,
	.lookup = serve_lookup,
	.getattr = serve_getattr,
	.setattr = serve_setattr,
	.readdir = serve_readdir,
	.open = serve_open,
	.release = serve_release,
	.read = serve_read,
	.write = serve_write,
	.ioctl = serve_ioctl,
	.fsync = serve_fsync,
};

static void store(void *context, uint64_t ino, uint64_t offset, const void *data, size_t size)
{
	struct server *server = context;
	struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(size);

	bytes.buf[0].mem = (void *)data;
	/* Not there if nobody has looked up the node any more: then nobody maps it. */
	fuse_lowlevel_notify_store(server->session, ino, (off_t)offset, &bytes, 0);
}

static void *run_device(void *arg)
{
	struct server *server = arg;

	while (!__atomic_load_n(&server->is_ended, __ATOMIC_SEQ_CST)) {
		device_tick(&server->device);
		sleep_ms((long)__atomic_load_n(&server->device.tick_ms, __ATOMIC_RELAXED));
	}
	return NULL;
}

static int serve_mounted(struct server *server)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	pthread_t device;
	int ret;

	if (!config || pthread_create(&device, NULL, run_device, server) != 0)
		return -1;
	fuse_loop_cfg_set_max_threads(config, THREADS);
	fuse_loop_cfg_set_idle_threads(config, THREADS);
	ret = fuse_session_loop_mt(server->session, config);
	__atomic_store_n(&server->is_ended, true, __ATOMIC_SEQ_CST);
	pthread_join(device, NULL);
	fuse_loop_cfg_destroy(config);
	return ret;
}

int main(int argc, char **argv)
{
	char *options[] = {argv[0], "-o", "fsname=fakedev,subtype=fakedev,allow_other", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, options);
	struct server server = {.device = {.lock = PTHREAD_MUTEX_INITIALIZER,
					   .changed = PTHREAD_COND_INITIALIZER,
					   .is_strict = true,
					   .tick_ms = 5,
					   .store = store}};
	int ret = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	server.device.context = &server;
	server.session = fuse_session_new(&args, &serve, sizeof(serve), &server);
	if (!server.session)
		return 1;
	if (fuse_set_signal_handlers(server.session) == 0) {
		if (fuse_session_mount(server.session, argv[1]) == 0) {
			ret = serve_mounted(&server) < 0;
			fuse_session_unmount(server.session);
		}
		fuse_remove_signal_handlers(server.session);
	}
	fuse_session_destroy(server.session);
	fuse_opt_free_args(&args);
	return ret;
}
