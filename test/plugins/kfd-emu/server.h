/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The file system before the emulator: names (nodes.c), what goes through open files (access.c),
 * the connection to the kernel, opening and closing (server.c).
 */
#ifndef KFD_EMU_SERVER_H
#define KFD_EMU_SERVER_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif

#include <fuse_lowlevel.h>

#include "emu.h"

enum { INO_CONTROL = 2, INO_LOG, INO_STATE, INO_KFD, INO_DRI, INO_DMABUF, INO_RENDER = 16 };

#define INO_BUFFERS (1ULL << 32) /* dma-bufs are from here on */

struct server {
	struct emu emu; /* first: find_file() is handed it */
	struct fuse_session *session;
	int fuse, kfd_memory;
	int32_t kfd_backing;
	char folder[4200];
	bool is_ended, has_begun;
};

struct server *server_of(fuse_req_t req);
struct caller caller_of(fuse_req_t req);
void sleep_us(long us);

/* ---- nodes.c ---- */

struct gpu *gpu_of_ino(struct emu *emu, fuse_ino_t ino);
/* log, state, control */
bool is_text(fuse_ino_t ino);
void serve_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void serve_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info);
void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *wanted, int to_set,
		   struct fuse_file_info *info);
void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		   struct fuse_file_info *info);

/* ---- access.c ---- */

/* What faults do before an operation: 0 if it is to go on. */
int strike(struct emu *emu, struct call *call);
void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *info);
void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		 struct fuse_file_info *info);
void serve_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		 struct fuse_file_info *info, unsigned int flags, const void *in, size_t in_size,
		 size_t out_size);
/* emu.find_file, emu.is_interrupted */
int find_file(struct emu *emu, const struct caller *caller, int fd, struct file **ret_file);
bool is_interrupted(const struct call *call);

#endif
