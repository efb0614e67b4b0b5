// SPDX-License-Identifier: GPL-2.0-only
/*
 * kfd-emu [OPTIONS] ROOT: emulates the driver of AMD GPUs at ROOT/dev and ROOT/topology until
 * SIGTERM, or until its parent ends. See README. Nodes are regular files, as FUSE has no devices;
 * they are large and never change their size. What a render node maps is a memory file of ours,
 * which the kernel maps in place of the FUSE file (FUSE passthrough, Linux 6.9): so clients,
 * readers and the emulator see the same pages, and no daemon copies. read(2) and write(2), which
 * drivers do not have, come here nevertheless, to be logged and to fail.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* ---- of linux/fuse.h, which may be older than the kernel ---- */

struct open_reply {
	uint64_t fh;
	uint32_t flags;
	int32_t backing;
};

struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t unused;
};

enum { OPEN_DIRECT_IO = 1 << 0, OPEN_NOFLUSH = 1 << 5, OPEN_PASSTHROUGH = 1 << 7 };
enum { INIT_FLAGS = 3, INIT_FLAGS2 = 8, INIT_STACK_DEPTH = 9, INIT_WORDS = 16 };
#define INIT_EXT          (1U << 30)
#define INIT2_PASSTHROUGH (1U << (37 - 32))
#define BACKING_OPEN      _IOW(229, 1, struct backing_map)

enum { THREADS = 64 };

/* What is read is as it was when it was opened. */
static void open_text(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct emu *emu = &server_of(req)->emu;
	char *text = NULL;

	pthread_mutex_lock(&emu->lock);
	if (ino == INO_STATE)
		text = state_text(emu);
	else if (ino == INO_LOG && emu->log_size)
		text = strdup(emu->log);
	pthread_mutex_unlock(&emu->lock);
	info->fh = (uintptr_t)text;
	info->direct_io = 1;
	if (fuse_reply_open(req, info) < 0)
		free(text);
}

/* What the kernel maps in place of the node; made with the first open. */
static int backing_of(struct server *server, struct gpu *gpu, int32_t *ret_backing)
{
	int32_t *place = gpu ? &gpu->backing : &server->kfd_backing;
	struct backing_map map = {.fd = gpu ? gpu->memory : server->kfd_memory};
	int backing;

	if (!*place) {
		backing = ioctl(server->fuse, BACKING_OPEN, &map);
		if (backing < 0)
			return -EOPNOTSUPP;
		*place = backing;
	}
	*ret_backing = *place;
	return 0;
}

static int fill_file(struct server *server, fuse_ino_t ino, struct file *file,
		     struct open_reply *reply, const struct caller *caller)
{
	struct emu *emu = &server->emu;

	reply->flags = OPEN_DIRECT_IO | OPEN_NOFLUSH;
	if (file->kind == FILE_DMABUF) {
		file->object = object_by_number(emu, (uint32_t)(ino - INO_BUFFERS));
		if (!file->object || !file->object->is_exported) {
			file->object = NULL;
			return -ENOENT;
		}
		object_get(file->object);
		return 0;
	}
	reply->flags |= OPEN_PASSTHROUGH;
	if (file->kind == FILE_RENDER) {
		file->gpu = gpu_of_ino(emu, ino);
		return backing_of(server, file->gpu, &reply->backing);
	}
	file->process = process_open(emu, caller);
	return file->process ? backing_of(server, NULL, &reply->backing) : -ENOMEM;
}

static void serve_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct server *server = server_of(req);
	struct emu *emu = &server->emu;
	struct caller caller = caller_of(req);
	struct call call = {.caller = &caller, .name = "open"};
	struct open_reply reply = {0};
	int ret;

	if (is_text(ino)) {
		open_text(req, ino, info);
		return;
	}
	pthread_mutex_lock(&emu->lock);
	call.file = file_open(emu,
			      ino == INO_KFD       ? FILE_KFD
			      : ino >= INO_BUFFERS ? FILE_DMABUF
						   : FILE_RENDER,
			      &caller);
	if (!call.file)
		abort();
	ret = fill_file(server, ino, call.file, &reply, &caller);
	if (ret < 0)
		file_put(emu, call.file);
	pthread_mutex_unlock(&emu->lock);
	if (ret < 0) {
		fuse_reply_err(req, -ret);
		return;
	}
	ret = strike(emu, &call);
	pthread_mutex_lock(&emu->lock);
	reply.fh = (uintptr_t)call.file;
	if (ret == 0)
		log_call(emu, &call, 0, NULL);
	pthread_mutex_unlock(&emu->lock);
	if (ret < 0)
		fuse_reply_err(req, -ret);
	/* The caller may have been killed meanwhile. */
	if (ret < 0 || fuse_reply_buf(req, (const char *)&reply, sizeof(reply)) < 0) {
		pthread_mutex_lock(&emu->lock);
		file_put(emu, call.file);
		pthread_mutex_unlock(&emu->lock);
	}
}

static void serve_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct emu *emu = &server_of(req)->emu;
	struct caller caller = caller_of(req);
	struct call call = {.caller = &caller, .name = "release"};

	if (is_text(ino)) {
		free((char *)(uintptr_t)info->fh);
	} else {
		call.file = (struct file *)(uintptr_t)info->fh;
		strike(emu, &call);
		pthread_mutex_lock(&emu->lock);
		log_call(emu, &call, 0, NULL);
		file_put(emu, call.file);
		pthread_mutex_unlock(&emu->lock);
	}
	fuse_reply_err(req, 0);
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

/* ---- the connection ---- */

static ssize_t receive(int fd, void *buffer, size_t size, void *userdata)
{
	return read(fd, buffer, size);
}

/* The first reply is that of INIT, to which libfuse cannot add passthrough. */
static ssize_t reply(int fd, struct iovec *iov, int count, void *userdata)
{
	struct server *server = userdata;
	uint32_t words[INIT_WORDS];
	struct iovec changed[2];

	if (server->has_begun || count != 2 || iov[1].iov_len != sizeof(words))
		return writev(fd, iov, count);
	server->has_begun = true;
	memcpy(words, iov[1].iov_base, sizeof(words));
	words[INIT_FLAGS] |= INIT_EXT;
	words[INIT_FLAGS2] |= INIT2_PASSTHROUGH;
	words[INIT_STACK_DEPTH] = 1;
	changed[0] = iov[0];
	changed[1] = (struct iovec){words, sizeof(words)};
	return writev(fd, changed, 2);
}

static void *run_device(void *arg)
{
	struct server *server = arg;

	while (!__atomic_load_n(&server->is_ended, __ATOMIC_SEQ_CST)) {
		emu_tick(&server->emu);
		sleep_us((long)__atomic_load_n(&server->emu.tick_us, __ATOMIC_RELAXED));
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

static int mount_at(struct server *server, const char *path)
{
	char options[128];

	server->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (server->fuse < 0)
		return -1;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 server->fuse);
	mkdir(path, 0755);
	return mount("kfd-emu", path, "fuse.kfd-emu", MS_NOSUID, options);
}

int main(int argc, char **argv)
{
	static const struct fuse_custom_io io = {.writev = reply, .read = receive};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct server *server = calloc(1, sizeof(*server));
	char folder[4200];
	const char *root;
	int ret = 1;

	if (!server || emu_configure(&server->emu, argc, argv, &root) < 0)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	pthread_mutex_init(&server->emu.lock, NULL);
	pthread_cond_init(&server->emu.changed, NULL);
	server->emu.tick_us = 1000;
	server->emu.minor = KFD_MINOR;
	server->emu.generation = 1;
	server->emu.find_file = find_file;
	server->emu.is_interrupted = is_interrupted;
	server->kfd_memory = memfd_create("kfd-emu", MFD_CLOEXEC);
	if (server->kfd_memory < 0 || ftruncate(server->kfd_memory, EMU_KFD_SIZE) < 0)
		return 1;
	for (unsigned int i = 0; i < server->emu.n_gpus; i++)
		if (pwrite(server->kfd_memory, &server->emu.gpus[i].id, 4,
			   KFD_OFFSET_MMIO | KFD_OFFSET_GPU(server->emu.gpus[i].id)) != 4)
			return 1;
	snprintf(folder, sizeof(folder), "%s/topology", root);
	if (topology_write(&server->emu, folder) < 0) {
		perror(folder);
		return 1;
	}
	snprintf(folder, sizeof(folder), "%s/dev", root);
	snprintf(server->folder, sizeof(server->folder), "%s", folder);
	server->session = fuse_session_new(&args, &serve, sizeof(serve), server);
	if (!server->session || mount_at(server, folder) < 0) {
		perror(folder);
		return 1;
	}
	if (fuse_session_custom_io(server->session, &io, server->fuse) == 0 &&
	    fuse_set_signal_handlers(server->session) == 0)
		ret = serve_mounted(server) < 0;
	umount2(folder, MNT_DETACH);
	fuse_session_destroy(server->session);
	return ret;
}
